/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Times of objects (RFC 3339, as the agent writes them) and how long ago that is, in the words of
 * kubectl (k8s.io/apimachinery, util/duration). */

#define AGE_SIZE 32

/* "2026-11-27T04:05:37Z", with a fraction and an offset or not. "BadTime" (-EINVAL). */
int age_time_parse(const char *text, int64_t *ret_realtime_ns, struct err *e);

/* "5s", "3m20s", "7h15m", "2d", "3y". */
void age_format(int64_t seconds, char ret[static AGE_SIZE]);

/* Since the time in `text`; "<unknown>" when it is NULL or no time. */
void age_since(const char *text, int64_t now_ns, char ret[static AGE_SIZE]);

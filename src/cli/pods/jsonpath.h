/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"

/* What `wait` waits for, in the part of kubectl's JSONPath that names one value:
 * {.status.conditions[0].type}, with "\." for a dot within a key; the braces and the first dot may
 * be left out. "BadUsage". */
int jsonpath_check(const char *path, struct err *e);
/* Adds the value as text (JSON for lists and maps); false when there is none. */
bool jsonpath_get(const char *path, const struct json_value *v, struct buf *out);

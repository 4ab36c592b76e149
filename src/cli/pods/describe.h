/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"
#include "base/util.h"

/* Objects with all that there is to say of them, as `kubectl describe` shows them. */

/* Two columns below `indent` blanks: "Name:         web". */
void describe_line(struct buf *out, int indent, int width, const char *key, const char *value);
void describe_linef(struct buf *out, int indent, int width, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* "a=1" and so on, a line each; <none>. */
void describe_map(struct buf *out, int width, const char *key, const struct json_value *map);

/* Of "Containers" or "Init Containers" (describe_container.c). */
void describe_containers(struct buf *out, const char *title, const struct json_value *specs,
                         const struct json_value *statuses);

void describe_pod(struct buf *out, const struct json_value *pod, int64_t now_ns);
/* `events`: a list, of this object only. */
void describe_events(struct buf *out, const struct json_value *events, int64_t now_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"
#include "pod/logs/logs.h"

/*
 * A place in a container's log, from which it is read on, over files that are rotated meanwhile.
 * The part of a log_reader that blocks: it belongs to one thread at a time and knows no loop. While
 * it waits it holds one descriptor and no buffer.
 */
struct log_cursor;

struct log_cursor *log_cursor_new(const char *path, const struct log_query *q);
void log_cursor_free(struct log_cursor *c);
DEFINE_AUTO(log_cursor);

enum log_step {
    LOG_MORE, /* there may be more right now */
    LOG_WAIT, /* there is more when the files have changed */
    LOG_END,
};

/* Appends what was asked for until `out` holds 64 KiB (128 KiB when the last record is long) or a
 * few MiB were read for it. `is_final`: nobody writes any more, so it ends where it would wait. The
 * step, or "NotFound", "LogFailed"; what was appended before a failure counts. */
int log_cursor_step(struct log_cursor *c, bool is_final, struct buf *out, struct err *e);

/* From any thread: a step that is being made ends soon. */
void log_cursor_cancel(struct log_cursor *c);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * Reads a container's log, which the worker writes in the CRI's line format and rotates
 * (worker/log_file.h): FILE, and before it FILE.1 (the newest of the rotated ones), FILE.2 ...
 * FILE is LOGS/SPACE_NAME_UID/CONTAINER/RESTART.log: the running container is the one with the
 * highest RESTART, `kubectl logs --previous` asks for the one before it.
 *
 * What is delivered are the lines as the container wrote them; bytes are bytes, nothing is decoded.
 * A line that came in pieces (P) is one line again, also for tail_lines and timestamps, and begins
 * when its first piece does. A record that is damaged is delivered as it is in the file.
 *
 * Files are read in the work pool; `data` is told on the loop's thread, as is all else.
 */
struct log_query {
    int64_t tail_lines;  /* -1: all; looked for before since_ns */
    int64_t since_ns;    /* realtime; 0: all */
    int64_t limit_bytes; /* of what is delivered, times included; 0: all */
    bool has_timestamps; /* each line begins with its time, as it is in the file, and a blank */
    bool is_followed; /* goes on until log_reader_end() or the end of the query; otherwise it ends
                       * with what is there at its begin */
};

struct log_reader;
/*
 * `data` gets what is asked for, up to 128 KiB a time, in order: whole records, so the end of a
 * line or of a piece of it, unless the limit cut it. It returns false to pause until
 * log_reader_resume(); nothing is called while it is paused. `ended` once, when all was delivered
 * or it failed (e->code). Both may free the reader, and neither is called from within a function
 * of this header.
 *
 * A file that is not there yet, or its folder, is waited for when it is followed, and "NotFound"
 * otherwise. What cannot be read is "LogFailed", from here only when it cannot be followed.
 */
int log_reader_new(struct loop *l, const char *path, const struct log_query *q,
                   bool (*data)(void *ctx, const void *data, size_t len),
                   void (*ended)(void *ctx, const struct err *e), void *ctx,
                   struct log_reader **ret, struct err *e);
void log_reader_resume(struct log_reader *r);
/* The container has ended: what is there is delivered, then `ended`. Once it is certain that its
 * worker has written all. */
void log_reader_end(struct log_reader *r);
/* A step in the work pool may still be under way after this; loop_free() must wait for it as for
 * any other work. */
void log_reader_free(struct log_reader *r);
DEFINE_AUTO(log_reader);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * Reads a container's log, which the worker writes in the CRI's line format and rotates
 * (worker/log_file.h): FILE, and before it FILE.1 (the newest of the rotated ones), FILE.2 ...
 * Bytes are bytes: nothing is decoded.
 */
struct log_query {
    int64_t tail_lines;  /* -1: all */
    int64_t since_ns;    /* realtime; 0: all */
    int64_t limit_bytes; /* of what is delivered; 0: all */
    bool has_timestamps; /* each line begins with its time and a blank */
    bool is_followed;    /* goes on until log_reader_end() or the end of the query */
};

struct log_reader;
/*
 * `data` gets what is asked for, in pieces that end with a line (or where a line was cut by the
 * limit); it returns false to pause until log_reader_resume(). `ended` once, when all was delivered
 * or it failed. A file that is not there yet is waited for when it is followed, and "NotFound"
 * otherwise.
 */
int log_reader_new(struct loop *l, const char *path, const struct log_query *q,
                   bool (*data)(void *ctx, const void *data, size_t len),
                   void (*ended)(void *ctx, const struct err *e), void *ctx,
                   struct log_reader **ret, struct err *e);
void log_reader_resume(struct log_reader *r);
/* The container has ended: what is there is delivered, then `ended`. */
void log_reader_end(struct log_reader *r);
void log_reader_free(struct log_reader *r);
DEFINE_AUTO(log_reader);

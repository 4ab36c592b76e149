/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * What the tools read from and write to. WASI has neither dup(2) nor pipe(2), so that the shell
 * cannot put a file or another tool behind descriptor 1; it passes streams instead. A stream is a
 * descriptor with a buffer for each direction, or memory: what was written to it is read from it.
 *
 * Counted, since `2>&1` makes one stream stand for two numbers. Reading is shared: `read x; cat`
 * sees no byte twice. Writing reports an error once and remembers it (`is_broken`); a stream that
 * is NULL is one that was closed.
 */
struct stream {
    int fd; /* negative for memory */
    int refs;
    bool is_owned; /* closes fd */
    bool is_broken;
    bool is_null;
    bool is_terminal;   /* somebody looks at it: whole lines do not wait */
    size_t limit_bytes; /* of memory: what may wait to be read */
    struct buf in;
    size_t in_pos;
    struct buf out;
};

struct stream *stream_new_fd(int fd, bool is_owned);
struct stream *stream_new_memory(size_t limit_bytes);
struct stream *stream_new_null(void);        /* always at its end, takes everything */
struct stream *stream_ref(struct stream *s); /* NULL gives NULL */
void stream_unref(struct stream *s);         /* NULL is fine; flushes with the last one */

/* The number of bytes, 0 at the end, negative errno. */
ssize_t stream_read(struct stream *s, void *data, size_t len);
/* Whether reading may have to wait: for standard input, of which nothing was read ahead. */
bool stream_may_wait(const struct stream *s);
/* One byte, or -1 at the end or after an error. */
int stream_getc(struct stream *s);
/* A line without its delimiter, into the emptied `line`; false at the end. A last line without a
 * delimiter counts; *ret_is_whole (may be NULL) tells. Stops at STREAM_LINE_MAX bytes. */
bool stream_line(struct stream *s, char delimiter, struct buf *line, bool *ret_is_whole);

#define STREAM_LINE_MAX ((size_t)16 << 20)

/* 0 or a negative errno: -EPIPE for memory that is full. */
int stream_write(struct stream *s, const void *data, size_t len);
int stream_puts(struct stream *s, const char *text);
int stream_printf(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int stream_flush(struct stream *s);

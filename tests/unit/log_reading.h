/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of logs share: a log in a folder of its own with the worker's writer, and somebody
 * who reads it. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "pod/logs/logs.h"
#include "worker/log_file.h"

#define PATIENCE_NS 30000000000

static char *root, *path; /* of one test: the folder, and "a.log" in it */
static int root_fd;
static struct loop *loop;

static inline int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    root = unit_temp_dir();
    path = path_join(root, "a.log");
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0 || loop_open(&loop, &e) < 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    loop_run(loop);
    loop_free(take_ptr(loop));
    close(root_fd);
    free(path);
    unit_remove(root);
    return 0;
}

/* ---- Writing ---- */

static inline struct log_file *writer_new(uint64_t limit_bytes, unsigned files)
{
    struct log_file *l = NULL;
    struct err e = ERR_INIT;

    assert_ok(log_file_open(root_fd, "a.log", limit_bytes, files, &l, &e));
    return l;
}

static inline void put(struct log_file *l, int which, const char *text, size_t len)
{
    struct engine_stream s = log_file_stream(l, which);

    assert_int_equal(s.transfer(s.ctx, (void *)(uintptr_t)text, len), len);
}

static inline void puts_to(struct log_file *l, int which, const char *text)
{
    put(l, which, text, strlen(text));
}

/* Appends to the file as somebody who knows no format. */
static inline void raw(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    autofd fd = openat(root_fd, "a.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    assert_ok(fd_write_all(fd, text, len, &e));
}

static inline void raws(const char *text)
{
    raw(text, strlen(text));
}

/* ---- Reading ---- */

struct reading {
    struct log_reader *reader;
    struct loop_timer *patience;
    struct buf got;
    int datas, ends;
    struct err end;
    bool pauses, frees_at_data, frees_at_end;
    size_t wanted;                     /* bytes at which the loop stops */
    void (*at_data)(struct reading *); /* what is done when something came */
    struct log_file *writer;
    int n;
};

static inline bool data(void *ctx, const void *bytes, size_t len)
{
    struct reading *r = ctx;

    assert_int_equal(r->ends, 0);
    assert_true(len > 0 && len <= 128 << 10);
    r->datas++;
    buf_add(&r->got, bytes, len);
    if (r->at_data)
        r->at_data(r);
    if (r->frees_at_data)
        log_reader_free(take_ptr(r->reader));
    if (r->pauses || (r->wanted && r->got.len >= r->wanted))
        loop_stop(loop);
    return !r->pauses;
}

static inline void ended(void *ctx, const struct err *e)
{
    struct reading *r = ctx;

    r->ends++;
    r->end = *e;
    if (r->frees_at_end)
        log_reader_free(take_ptr(r->reader));
    loop_stop(loop);
}

static inline void too_late(void *ctx)
{
    struct reading *r = ctx;

    fail_msg("nothing comes any more; %zu bytes of %zu are there", r->got.len, r->wanted);
}

static const struct log_query all = {.tail_lines = -1};

static inline void reading_begin(struct reading *r, const struct log_query *q)
{
    struct err e = ERR_INIT;

    assert_ok(log_reader_new(loop, path, q, data, ended, r, &r->reader, &e));
}

static inline void run(struct reading *r)
{
    r->patience = loop_timer_new(loop, too_late, r);
    loop_timer_set(r->patience, clock_monotonic_ns() + PATIENCE_NS);
    loop_run(loop);
    loop_timer_free(r->patience);
}

static inline void run_until(struct reading *r, const char *wanted)
{
    r->wanted = strlen(wanted);
    while (r->got.len < r->wanted && !r->ends)
        run(r);
    assert_string_equal(buf_str(&r->got), wanted);
}

static inline void run_to_end(struct reading *r)
{
    r->wanted = 0;
    while (!r->ends)
        run(r);
    assert_int_equal(r->ends, 1);
}

static inline void reading_done(struct reading *r)
{
    log_reader_free(r->reader);
    buf_done(&r->got);
}

/* What a query that is not followed gives. */
static inline char *answer(const struct log_query *q)
{
    struct reading r = {0};

    reading_begin(&r, q);
    run_to_end(&r);
    if (r.end.code)
        fail_msg("%s", r.end.msg);
    log_reader_free(r.reader);
    return buf_take(&r.got);
}

static inline void assert_answer(const struct log_query *q, const char *wanted)
{
    autofree char *got = answer(q);

    assert_string_equal(got, wanted);
}

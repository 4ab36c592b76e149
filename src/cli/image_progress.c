/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/image.h"

#define PAUSE_NS UINT64_C(100000000) /* between two changes of the line */
#define BLOBS    64                  /* that are followed; beyond it they are not shown */

struct blob {
    const struct image_descriptor *descriptor;
    uint64_t begun_ns;
    int64_t first, have;
    bool is_done;
};

struct image_progress {
    struct blob blobs[BLOBS];
    size_t n;
    uint64_t shown_ns;
    const char *what;
    bool is_quiet, is_terminal, has_line;
};

struct image_progress *image_progress_new(const char *what, bool is_quiet)
{
    struct image_progress *p = xcalloc(1, sizeof(*p));

    p->what = what;
    p->is_quiet = is_quiet;
    p->is_terminal = isatty(STDERR_FILENO);
    return p;
}

static void line_end(struct image_progress *p)
{
    if (p->has_line)
        dprintf(STDERR_FILENO, "\r\x1b[K");
    p->has_line = false;
}

void image_progress_free(struct image_progress *p)
{
    line_end(p);
    free(p);
}

/* What is there when a blob is first told of was there before. */
static struct blob *find(struct image_progress *p, const struct image_descriptor *d, int64_t have)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->blobs[i].descriptor == d)
            return &p->blobs[i];
    if (p->n == BLOBS)
        return NULL;
    p->blobs[p->n] =
        (struct blob){.descriptor = d, .begun_ns = clock_monotonic_ns(), .first = have};
    return &p->blobs[p->n++];
}

/* Bytes a second, in words. */
static void rate_format(int64_t bytes, uint64_t ns, char ret[static SIZE_TEXT_SIZE])
{
    size_bytes_format(ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0, ret);
}

static void complete_tell(struct image_progress *p, const struct blob *b, uint64_t now)
{
    char size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    uint64_t ns = now - b->begun_ns;

    line_end(p);
    size_bytes_format((uint64_t)b->have, size);
    rate_format(b->have - b->first, ns, rate);
    if (b->first == b->descriptor->size)
        dprintf(STDERR_FILENO, "%.19s: %s, already here\n", b->descriptor->digest, size);
    else
        dprintf(STDERR_FILENO, "%.19s: %s in %.1f s, %s/s\n", b->descriptor->digest, size,
                (double)ns / 1e9, rate);
}

static void line_show(struct image_progress *p, uint64_t now)
{
    char have_text[SIZE_TEXT_SIZE], all_text[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    uint64_t have = 0, all = 0;
    int64_t moved = 0;
    uint64_t begun = now;

    for (size_t i = 0; i < p->n; i++) {
        const struct blob *b = &p->blobs[i];

        if (b->is_done)
            continue;
        have += (uint64_t)b->have;
        all += (uint64_t)b->descriptor->size;
        moved += b->have - b->first;
        begun = b->begun_ns < begun ? b->begun_ns : begun;
    }
    if (!all)
        return;
    size_bytes_format(have, have_text);
    size_bytes_format(all, all_text);
    rate_format(moved, now - begun, rate);
    dprintf(STDERR_FILENO, "\r%s: %s of %s, %s/s\x1b[K", p->what, have_text, all_text, rate);
    p->has_line = true;
    p->shown_ns = now;
}

void image_progress_tell(void *ctx, const struct image_descriptor *d, int64_t have)
{
    struct image_progress *p = ctx;
    struct blob *b = find(p, d, have);
    uint64_t now = clock_monotonic_ns();

    if (p->is_quiet || !b || b->is_done)
        return;
    b->have = have;
    if (have == d->size) {
        complete_tell(p, b, now);
        b->is_done = true;
    } else if (p->is_terminal && now - p->shown_ns > PAUSE_NS) {
        line_show(p, now);
    }
}

void image_progress_unpacking(void *ctx, uint64_t elapsed_ms)
{
    struct image_progress *p = ctx;

    if (p->is_quiet || !p->is_terminal)
        return;
    dprintf(STDERR_FILENO, "\rtaking the program out of the layers: %llu s\x1b[K",
            (unsigned long long)(elapsed_ms / 1000));
    p->has_line = true;
}

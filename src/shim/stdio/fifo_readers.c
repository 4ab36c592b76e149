/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stdio/fifo_readers.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/strv.h"

#define AGAIN_MS 100

struct fifo_readers {
    struct loop *loop;
    struct loop_timer *timer; /* at once when all have one, else the limit */
    struct strv paths;        /* of those that had none: whatever becomes of their names */
    int *holds;               /* what the paths name */
    size_t n_holds;
    int *fds; /* writing ends, in any order */
    size_t n_fds;
    int *releases; /* both ends of those that are waited for no longer */
    size_t n_releases;
    bool is_working; /* in the work pool, on paths and fds */
    bool is_dropped;
    void (*done)(void *ctx);
    void *ctx;
};

static void fds_close(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close_cleanup_(&fds[i]);
    free(fds);
}

static void readers_destroy(struct fifo_readers *r)
{
    loop_timer_free(r->timer);
    fds_close(r->fds, r->n_fds);
    fds_close(r->releases, r->n_releases);
    fds_close(r->holds, r->n_holds);
    strv_done(&r->paths);
    free(r);
}

static void tell(struct fifo_readers *r)
{
    void (*done)(void *ctx) = take_ptr(r->done);

    if (done)
        done(r->ctx);
}

/* Whoever waits to open an end goes on when there are both. Without descriptors for that, again
 * later. */
static void release(struct fifo_readers *r)
{
    if (!r->releases)
        r->releases = xcalloc(r->paths.n, sizeof(*r->releases));
    while (r->n_releases < r->paths.n) {
        int fd = open(r->paths.v[r->n_releases], O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd < 0) {
            loop_timer_set(r->timer, clock_monotonic_ns() + AGAIN_MS * UINT64_C(1000000));
            return;
        }
        r->releases[r->n_releases++] = fd;
    }
}

static void timer_fired(void *ctx)
{
    struct fifo_readers *r = ctx;

    if (r->is_working)
        release(r);
    else
        tell(r);
}

/* Opening an end waits for the other one. */
static void work(void *ctx)
{
    struct fifo_readers *r = ctx;

    for (size_t i = 0; i < r->paths.n; i++)
        r->fds[r->n_fds++] = open(r->paths.v[i], O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

static void worked(void *ctx)
{
    struct fifo_readers *r = ctx;

    r->is_working = false;
    loop_timer_clear(r->timer);
    if (r->is_dropped)
        readers_destroy(r);
    else
        tell(r);
}

static void hold(struct fifo_readers *r, const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return;
    r->holds[r->n_holds++] = fd;
    strv_addf(&r->paths, "/proc/self/fd/%d", fd);
}

struct fifo_readers *fifo_readers_await(struct loop *l, const char *const *paths, size_t n,
                                        uint64_t limit_ms, void (*done)(void *ctx), void *ctx)
{
    struct fifo_readers *r = xcalloc(1, sizeof(*r));

    *r = (struct fifo_readers){.loop = l, .done = done, .ctx = ctx};
    r->timer = loop_timer_new(l, timer_fired, r);
    r->fds = xcalloc(n + 1, sizeof(*r->fds));
    r->holds = xcalloc(n + 1, sizeof(*r->holds));
    for (size_t i = 0; i < n; i++) {
        int fd = open(paths[i], O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

        if (fd >= 0)
            r->fds[r->n_fds++] = fd;
        else if (errno == ENXIO)
            hold(r, paths[i]);
    }
    if (r->paths.n) {
        r->is_working = true;
        loop_work(l, work, worked, r);
    }
    loop_timer_set(r->timer, r->is_working ? clock_monotonic_ns() + limit_ms * 1000000 : 0);
    return r;
}

void fifo_readers_free(struct fifo_readers *r)
{
    if (!r)
        return;
    r->done = NULL;
    r->is_dropped = true;
    if (r->is_working)
        release(r);
    else
        readers_destroy(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/line_writer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "worker/streams.h"

/* What the reader has not taken this long after the end is lost. */
#define END_NS UINT64_C(1000000000)

struct line_writer {
    struct fd_stream fd_stream;
    struct engine_stream out;
    int end_fd; /* eventfd, readable once it is ending */
    size_t limit_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t is_filled;
    struct buf waiting;
    uint64_t lost;
    bool is_ending, is_broken;
};

static bool is_late(uint64_t deadline)
{
    return deadline && clock_monotonic_ns() >= deadline;
}

/* Waits until the descriptor takes something; false once it is ending and its time is over. */
static bool wait_to_write(const struct line_writer *w, uint64_t *deadline)
{
    struct pollfd p[2] = {
        {.fd = w->out.wait_fd, .events = POLLOUT},
        {.fd = w->end_fd,      .events = POLLIN }
    };

    for (;;) {
        if (is_late(*deadline))
            return false;
        p[1].fd = *deadline ? -1 : w->end_fd;
        poll(p, 2, clock_wait_ms(*deadline));
        if (p[0].revents)
            return true;
        if (p[1].revents)
            *deadline = clock_monotonic_ns() + END_NS;
    }
}

/* False when nobody reads any more, or not in time. */
static bool lines_write(const struct line_writer *w, const struct buf *lines)
{
    uint64_t deadline = 0;

    for (size_t done = 0; done < lines->len;) {
        ssize_t n;

        if (is_late(deadline))
            return false;
        n = w->out.transfer(w->out.ctx, lines->data + done, lines->len - done);
        if (n == -EAGAIN && wait_to_write(w, &deadline))
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void *write_all(void *arg)
{
    struct line_writer *w = arg;
    struct buf taken = BUF_INIT;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct buf swapped;
        bool is_written;

        while (!w->waiting.len && !w->is_ending)
            pthread_cond_wait(&w->is_filled, &w->lock);
        if (!w->waiting.len)
            break;
        swapped = w->waiting;
        w->waiting = taken;
        taken = swapped;
        pthread_mutex_unlock(&w->lock);
        is_written = lines_write(w, &taken);
        buf_clear(&taken);
        pthread_mutex_lock(&w->lock);
        if (!is_written) {
            w->is_broken = true; /* what comes is only counted */
            buf_clear(&w->waiting);
        }
    }
    pthread_mutex_unlock(&w->lock);
    buf_done(&taken);
    return NULL;
}

int line_writer_new(int fd, size_t limit_bytes, struct line_writer **ret, struct err *e)
{
    struct line_writer *w = xcalloc(1, sizeof(*w));
    int r;

    w->end_fd = eventfd(0, EFD_CLOEXEC);
    if (w->end_fd < 0) {
        free(w);
        return err_errno(e, -errno, "StartFailed", "cannot make an eventfd for the log");
    }
    fd_stream_init(&w->fd_stream, fd, false, &w->out);
    w->limit_bytes = limit_bytes;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->is_filled, NULL);
    r = pthread_create(&w->thread, NULL, write_all, w);
    if (r) {
        close(w->end_fd);
        free(w);
        return err_errno(e, -r, "StartFailed", "cannot start a thread for the log");
    }
    *ret = w;
    return 0;
}

void line_writer_add(struct line_writer *w, const struct buf *line)
{
    pthread_mutex_lock(&w->lock);
    if (w->is_broken || w->waiting.len + line->len > w->limit_bytes) {
        w->lost++;
    } else {
        if (!w->waiting.len)
            pthread_cond_signal(&w->is_filled);
        buf_add(&w->waiting, line->data, line->len);
    }
    pthread_mutex_unlock(&w->lock);
}

uint64_t line_writer_lost(struct line_writer *w)
{
    uint64_t lost;

    pthread_mutex_lock(&w->lock);
    lost = w->lost;
    pthread_mutex_unlock(&w->lock);
    return lost;
}

void line_writer_free(struct line_writer *w)
{
    fd_event(w->end_fd);
    pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    pthread_cond_signal(&w->is_filled);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    buf_done(&w->waiting);
    close(w->end_fd);
    pthread_cond_destroy(&w->is_filled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

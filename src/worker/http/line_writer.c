/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/line_writer.h"

#include <pthread.h>

#include "base/fds.h"

struct line_writer {
    int fd;
    size_t limit_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t is_filled;
    struct buf waiting;
    uint64_t lost;
    bool is_ending, is_broken;
};

static void *write_all(void *arg)
{
    struct line_writer *w = arg;
    struct buf taken = BUF_INIT;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct buf swapped;
        struct err e = ERR_INIT;
        int r;

        while (!w->waiting.len && !w->is_ending)
            pthread_cond_wait(&w->is_filled, &w->lock);
        if (!w->waiting.len)
            break;
        swapped = w->waiting;
        w->waiting = taken;
        taken = swapped;
        pthread_mutex_unlock(&w->lock);
        r = fd_write_all(w->fd, taken.data, taken.len, &e);
        buf_clear(&taken);
        pthread_mutex_lock(&w->lock);
        if (r < 0)
            w->is_broken = true; /* nobody reads any more: what comes is only counted */
    }
    pthread_mutex_unlock(&w->lock);
    buf_done(&taken);
    return NULL;
}

int line_writer_new(int fd, size_t limit_bytes, struct line_writer **ret, struct err *e)
{
    struct line_writer *w = xcalloc(1, sizeof(*w));
    int r;

    w->fd = fd;
    w->limit_bytes = limit_bytes;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->is_filled, NULL);
    r = pthread_create(&w->thread, NULL, write_all, w);
    if (r) {
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
    pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    pthread_cond_signal(&w->is_filled);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    buf_done(&w->waiting);
    pthread_cond_destroy(&w->is_filled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

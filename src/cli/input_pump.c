/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input_pump.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "base/fds.h"

enum { PIECE_BYTES = 32768 };

/* `piece` and `len` belong to the thread until it has posted, then to the loop until `next_fd` is
 * counted up. */
struct input_pump {
    struct loop *loop;
    int fd, next_fd, stop_fd;
    pthread_t thread;
    void (*data)(void *ctx, const void *data, size_t len);
    void *ctx;
    size_t len;
    atomic_bool is_posted; /* and not called yet */
    bool is_freed;
    char piece[PIECE_BYTES];
};

static void destroy(struct input_pump *p)
{
    close_cleanup_(&p->next_fd);
    close_cleanup_(&p->stop_fd);
    free(p);
}

static void on_piece(void *ctx)
{
    struct input_pump *p = ctx;

    atomic_store(&p->is_posted, false);
    if (p->is_freed)
        destroy(p);
    else
        p->data(p->ctx, p->piece, p->len);
}

/* False when the pump is to end. */
static bool wait_for(const struct input_pump *p, int fd)
{
    struct pollfd fds[] = {
        {.fd = p->stop_fd, .events = POLLIN},
        {.fd = fd,         .events = POLLIN}
    };

    while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
        if (errno != EINTR)
            return false;
    return !fds[0].revents;
}

/* Bytes, 0 for the end; less than 0 when the pump is to end. */
static ssize_t piece_read(struct input_pump *p)
{
    ssize_t n;

    do {
        if (!wait_for(p, p->fd))
            return -1;
        n = read(p->fd, p->piece, sizeof(p->piece));
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    return n < 0 ? 0 : n;
}

static void *run(void *ctx)
{
    struct input_pump *p = ctx;
    uint64_t count;
    ssize_t n;

    do {
        n = piece_read(p);
        if (n < 0)
            return NULL;
        p->len = (size_t)n;
        atomic_store(&p->is_posted, true);
        loop_post(p->loop, on_piece, p);
        if (!n || !wait_for(p, p->next_fd))
            return NULL;
    } while (read(p->next_fd, &count, sizeof(count)) == sizeof(count));
    return NULL;
}

int input_pump_start(struct loop *l, int fd, void (*data)(void *ctx, const void *data, size_t len),
                     void *ctx, struct input_pump **ret, struct err *e)
{
    struct input_pump *p = xcalloc(1, sizeof(*p));
    int code;

    p->loop = l;
    p->fd = fd;
    p->data = data;
    p->ctx = ctx;
    p->next_fd = eventfd(0, EFD_CLOEXEC);
    p->stop_fd = eventfd(0, EFD_CLOEXEC);
    code = p->next_fd < 0 || p->stop_fd < 0 ? errno : pthread_create(&p->thread, NULL, run, p);
    if (code) {
        destroy(p);
        return err_errno(e, -code, "ThreadFailed", "cannot begin to read the input");
    }
    *ret = p;
    return 0;
}

void input_pump_next(struct input_pump *p)
{
    fd_event(p->next_fd);
}

void input_pump_free(struct input_pump *p)
{
    if (!p)
        return;
    fd_event(p->stop_fd);
    pthread_join(p->thread, NULL);
    p->is_freed = true;
    /* Else the loop, which has it, frees it. */
    if (!atomic_load(&p->is_posted))
        destroy(p);
}

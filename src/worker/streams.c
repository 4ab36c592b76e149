/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/streams.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/util.h"

static bool is_ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, 0) > 0;
}

static ssize_t input(void *ctx, void *buf, size_t len)
{
    const struct fd_stream *s = ctx;
    ssize_t n;

    if (!s->is_regular && !is_ready(s->fd, POLLIN))
        return -EAGAIN;
    do
        n = read(s->fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t output(void *ctx, void *buf, size_t len)
{
    const struct fd_stream *s = ctx;
    ssize_t n;

    if (!s->is_regular && !s->is_socket) {
        if (!is_ready(s->fd, POLLOUT))
            return -EAGAIN;
        /* A pipe that is writable takes this much without blocking (pipe(7)). */
        len = len < PIPE_BUF ? len : PIPE_BUF;
    }
    do
        n = s->is_socket ? send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                         : write(s->fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

void fd_stream_init(struct fd_stream *s, int fd, bool is_input, struct engine_stream *ret)
{
    struct stat st = {0};

    *s = (struct fd_stream){.fd = fd};
    if (fstat(fd, &st) == 0) {
        s->is_regular = S_ISREG(st.st_mode);
        s->is_socket = S_ISSOCK(st.st_mode);
    }
    *ret = (struct engine_stream){
        .ctx = s,
        .transfer = is_input ? input : output,
        .wait_fd = fd,
        .is_terminal = S_ISCHR(st.st_mode) && isatty(fd),
    };
}

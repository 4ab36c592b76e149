/* SPDX-License-Identifier: Apache-2.0 */

/* WASI 0.1 makes no sockets; what it does with the descriptors that there are must be an error. */

#include "check.h"

#include <fcntl.h>
#include <unistd.h>
#include <wasi/api.h>

#define DIR_PATH WORK "/sockets"

/* All four calls, with `wanted` as the one errno that each must give. */
static void check_refused(int fd, int wanted, const char *what)
{
    uint8_t byte = 'x';
    __wasi_iovec_t in = {.buf = &byte, .buf_len = 1};
    __wasi_ciovec_t out = {.buf = &byte, .buf_len = 1};
    __wasi_size_t n;
    __wasi_roflags_t flags;
    __wasi_fd_t peer;

    errno = __wasi_sock_recv(fd, &in, 1, 0, &n, &flags);
    check_true(errno == wanted, what, "sock_recv");
    errno = __wasi_sock_send(fd, &out, 1, 0, &n);
    check_true(errno == wanted, what, "sock_send");
    errno = __wasi_sock_shutdown(fd, __WASI_SDFLAGS_RD | __WASI_SDFLAGS_WR);
    check_true(errno == wanted, what, "sock_shutdown");
    errno = __wasi_sock_accept(fd, 0, &peer);
    check_true(errno == wanted, what, "sock_accept");
}

int main(void)
{
    int fd, dir;

    work_make(DIR_PATH);
    file_put(DIR_PATH "/f", "file");
    fd = open(DIR_PATH "/f", O_RDWR);
    dir = open(DIR_PATH, O_RDONLY | O_DIRECTORY);
    check_refused(999, EBADF, "a bad descriptor is no socket");
    check_refused(fd, ENOTSOCK, "a file is no socket");
    check_refused(dir, ENOTSOCK, "a folder is no socket");
    check_refused(STDOUT_FILENO, ENOTSOCK, "stdout is no socket");
    close(fd);
    check_refused(fd, EBADF, "a closed descriptor is no socket");
    close(dir);
    work_remove(DIR_PATH);
    return check_status();
}

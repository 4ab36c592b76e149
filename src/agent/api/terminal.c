/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { SLAVE_FLAGS = O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK };

static int failed(struct err *e)
{
    return err_errno(e, -errno, "StartFailed", "cannot make a terminal for the command");
}

int terminal_open(struct channel_size size, int *ret_master, int ret_slaves[3], struct err *e)
{
    autofd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), in = -EBADF, out = -EBADF,
           err = -EBADF;

    if (master < 0 || unlockpt(master) < 0)
        return failed(e);
    /* By the master, not by a path: /dev/pts may be another than the one it is of. */
    in = ioctl(master, TIOCGPTPEER, SLAVE_FLAGS);
    if (in < 0)
        return failed(e);
    out = fcntl(in, F_DUPFD_CLOEXEC, 3);
    err = fcntl(in, F_DUPFD_CLOEXEC, 3);
    if (out < 0 || err < 0)
        return failed(e);
    if (size.width)
        terminal_resize(master, size);
    *ret_master = take_fd(&master);
    ret_slaves[0] = take_fd(&in);
    ret_slaves[1] = take_fd(&out);
    ret_slaves[2] = take_fd(&err);
    return 0;
}

void terminal_resize(int master, struct channel_size size)
{
    struct winsize w = {.ws_col = size.width, .ws_row = size.height};

    /* It has no reason to fail, and a guest with the old size is none to end it. */
    (void)ioctl(master, TIOCSWINSZ, &w);
}

bool terminal_interrupts(int master, struct text data)
{
    struct termios t;

    /* The settings are one for both ends. */
    return tcgetattr(master, &t) == 0 && t.c_lflag & ISIG && t.c_cc[VINTR] != _POSIX_VDISABLE &&
           data.len && memchr(data.data, t.c_cc[VINTR], data.len);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/terminal.h"

#include <fcntl.h>
#include <termios.h>

#include "base/pty.h"

static int failed(int code, struct err *e)
{
    return err_errno(e, code, "StartFailed", "cannot make a terminal for the command");
}

int terminal_open(struct channel_size size, int *ret_master, int ret_slaves[3], struct err *e)
{
    autofd master = -EBADF, in = -EBADF, out = -EBADF, err = -EBADF;
    int r = pty_open(O_NONBLOCK, &master, &in);

    if (r < 0)
        return failed(r, e);
    out = fcntl(in, F_DUPFD_CLOEXEC, 3);
    err = fcntl(in, F_DUPFD_CLOEXEC, 3);
    if (out < 0 || err < 0)
        return failed(-errno, e);
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
    pty_resize(master, size.width, size.height);
}

bool terminal_interrupts(int master, struct text data)
{
    struct termios t;

    /* The settings are one for both ends. */
    return tcgetattr(master, &t) == 0 && t.c_lflag & ISIG && t.c_cc[VINTR] != _POSIX_VDISABLE &&
           data.len && memchr(data.data, t.c_cc[VINTR], data.len);
}

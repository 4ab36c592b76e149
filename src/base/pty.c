/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pty.h"

#include <fcntl.h>
#include <sys/ioctl.h>

int pty_slave(int master, int slave_flags)
{
    int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | slave_flags);

    return fd < 0 ? -errno : fd;
}

int pty_open(int slave_flags, int *ret_master, int *ret_slave)
{
    autofd master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int slave;

    if (master < 0 || unlockpt(master) < 0)
        return -errno;
    slave = pty_slave(master, slave_flags);
    if (slave < 0)
        return slave;
    *ret_master = take_fd(&master);
    *ret_slave = slave;
    return 0;
}

void pty_resize(int master, unsigned short width, unsigned short height)
{
    struct winsize w = {.ws_col = width, .ws_row = height};

    /* It has no reason to fail, and a program with the old size is none to end it. */
    (void)ioctl(master, TIOCSWINSZ, &w);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/util.h"

/*
 * Pseudo-terminals. All descriptors are close-on-exec, and opening one makes it nobody's
 * controlling terminal. Returned are negative errnos, without a message.
 */

/* A new one; `slave_flags` may be O_NONBLOCK. */
int pty_open(int slave_flags, int *ret_master, int *ret_slave);

/* The slave once more, by the master and not by a path: /dev/pts may be another than the one it is
 * of. The descriptor. */
int pty_slave(int master, int slave_flags);

/* Who has it as the controlling terminal gets SIGWINCH. */
void pty_resize(int master, unsigned short width, unsigned short height);

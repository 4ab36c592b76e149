/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "wire/channels.h"

/*
 * A pseudo-terminal for a guest. The agent has the master, the guest the slave as its three
 * streams; the kernel's line discipline is between them: it echoes, edits lines, makes 0x04 the end
 * of input and turns \n into \r\n.
 *
 * What it cannot do is signal a guest, which is no process and has no controlling terminal. So who
 * writes to the master asks terminal_interrupts() before.
 */

/* The master, and the slave once for each stream; all are closed on exec, and none becomes
 * anybody's controlling terminal. The slave does not block, as nobody else has it: so it never
 * holds the thread of the guest. A `size` of 0 by 0: not known. "StartFailed". */
int terminal_open(struct channel_size size, int *ret_master, int ret_slaves[3], struct err *e);

/* To be written for an input that ends: of two the first ends a line that was begun, if one was. */
#define TERMINAL_END "\4\4"

void terminal_resize(int master, struct channel_size size);

/* Whether these bytes have the character that interrupts (0x03), while it is one. */
bool terminal_interrupts(int master, struct text data);

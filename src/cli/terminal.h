/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "wire/channels.h"

/*
 * This process's terminal while another machine's is shown on it: every key goes there, also
 * Ctrl-C, and what comes from there is shown as it is.
 */

/* Raw until terminal_restore(), or until a signal ends this process, which restores it first. One
 * at a time. "NoTerminal". */
int terminal_raw(int fd, struct err *e);
void terminal_restore(void); /* nothing when it is not raw */

/* False when it is not known: a serial line. */
bool terminal_size(int fd, struct channel_size *ret);

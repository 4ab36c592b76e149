/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"

/*
 * Reads a descriptor that the loop cannot watch, or must not: a file, or a terminal, which others
 * have open too and which must not become non-blocking for them. A thread does it, one piece at a
 * time, and waits until that has been dealt with: so what is not taken is not read.
 */
struct input_pump;

/* `data` is called on the loop's thread; len 0 is the end of input, also when reading failed, and
 * the last call. `fd` stays the caller's. "ThreadFailed". */
int input_pump_start(struct loop *l, int fd, void (*data)(void *ctx, const void *data, size_t len),
                     void *ctx, struct input_pump **ret, struct err *e);
/* The piece has been dealt with: the next may come. */
void input_pump_next(struct input_pump *p);
void input_pump_free(struct input_pump *p); /* ends the thread; NULL is fine */

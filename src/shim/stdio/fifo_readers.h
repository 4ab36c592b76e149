/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/util.h"
#include "loop/loop.h"

/*
 * Whether somebody reads from the FIFOs of a process's output before it starts. What it has written
 * when it ends lies in a FIFO only as long as somebody has that open, and a client may open its end
 * later than a quick process ends: so the start waits for it, as with containerd's own shim.
 *
 * Each writing end that was opened to find out is kept, since a reader would take its closing for
 * the end of output: until fifo_readers_free(), which is due when others are open.
 */
struct fifo_readers;

/* `done` once, from the loop, when each has a reader, or after that long. What is no FIFO, or
 * cannot be opened, is not waited for. The paths are copied. */
struct fifo_readers *fifo_readers_await(struct loop *l, const char *const *paths, size_t n,
                                        uint64_t limit_ms, void (*done)(void *ctx), void *ctx);
/* `done` is not called any more. NULL is fine. */
void fifo_readers_free(struct fifo_readers *r);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

/*
 * Lines from many threads to one descriptor whose reader may be slow: a thread of its own writes
 * them, and whoever adds one never waits. What does not fit any more is dropped, by whole lines,
 * and counted.
 */
struct line_writer;

/* Writes to `fd`, which stays the caller's; holds back at most limit_bytes. */
int line_writer_new(int fd, size_t limit_bytes, struct line_writer **ret, struct err *e);

/* From any thread. The text ends with its newline. */
void line_writer_add(struct line_writer *w, const struct buf *line);

uint64_t line_writer_lost(struct line_writer *w); /* lines */

/* Writes what is left, as far as the reader takes it within a second, and ends. */
void line_writer_free(struct line_writer *w);
DEFINE_AUTO(line_writer);

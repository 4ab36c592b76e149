/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/* What a termination message takes of a log (Kubernetes: FallbackToLogsOnError). */
#define LOG_TAIL_LINES 80
#define LOG_TAIL_BYTES 2048

/*
 * The end of what a container said: of the last bytes of its log, in the CRI's line format, the
 * text of the last lines, of which at most the last LOG_TAIL_BYTES. `is_cut`: the first line may
 * not be whole. What is in no such format is left out.
 */
void log_tail_text(const char *log, size_t len, bool is_cut, struct buf *out);

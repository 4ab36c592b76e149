/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "engine/engine.h"

/*
 * A guest's output as a log file in the format of the Kubernetes CRI (logging.go of the kubelet):
 *
 *     <RFC 3339 time with nanoseconds> stdout|stderr F|P <text>
 *
 * F ends a line of the guest, P a piece of one that is longer than LOG_LINE_LIMIT. The file is
 * rotated by size: NAME becomes NAME.1, that NAME.2, and what is beyond the number kept is deleted.
 * When the disk is full, lines are lost and counted; the guest goes on.
 */
#define LOG_LINE_LIMIT (16u << 10)

struct log_file;

/* Opens (appends to) `name` in the folder; `dirfd` must stay open as long. */
int log_file_open(int dirfd, const char *name, uint64_t limit_bytes, unsigned files,
                  struct log_file **ret, struct err *e);

/* A stream that writes lines marked stdout (1) or stderr (2). */
struct engine_stream log_file_stream(struct log_file *l, int which);

uint64_t log_file_lost_bytes(const struct log_file *l);

/* Writes what is left without a newline, and closes. NULL is fine. */
void log_file_close(struct log_file *l);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Runs a function that reads what strangers wrote, in a child process that can do little else: it
 * has the descriptors that it was given, may read, write, seek and cut them, get memory, and end
 * (seccomp(2), no_new_privs); it opens nothing, and its CPU time, memory and output are limited
 * (setrlimit(2)). It ends with the thread that waits for it.
 *
 * The child is made by fork() alone, so the function finds all memory of this process, and what it
 * writes there is lost. It must not wait for other threads, and whatever the C library loads at
 * first use (locales, converters) has to be loaded before. fstat(2) is among what it may not do:
 * the C library makes of it a call that takes paths too.
 */
struct confine_limits {
    unsigned cpu_s;        /* seconds of CPU time; not 0 */
    uint64_t memory_bytes; /* of address space, beyond what this process has */
    uint64_t output_bytes; /* of each file that it writes */
};

/* Who is told every quarter of a second that it is not done yet; `tell` may be NULL. */
struct confine_watch {
    void (*tell)(void *ctx, uint64_t elapsed_ms);
    void *ctx;
};

struct confine {
    const char *what; /* is read, for messages */
    struct confine_limits limits;
    const int *fds; /* what it may use, each above STDERR_FILENO */
    size_t n_fds;
    const char *const *reasons; /* that the function may fail with; ends with NULL */
    int (*run)(void *ctx, struct err *e);
    void *ctx;
    struct confine_watch watch;
};

/*
 * Returns what the function returned, with its error if it failed. Otherwise the child did not come
 * to an end:
 *   "CpuLimit" (-ETIME), "MemoryLimit" (-ENOMEM; also when the function returned that), or
 *   "OutputLimit" (-EFBIG): it needed more than it may have;
 *   "ForbiddenCall" (-EPERM): it tried to do something else, so the input may have taken it over;
 *   "ReaderDied" (-EIO): of another signal;
 *   "ConfineFailed": the system has no means to confine it.
 */
int confine_run(const struct confine *c, struct err *e);

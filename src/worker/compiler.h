/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "guest/job.h"

/*
 * The compiler in a process of its own: this same program, started anew with limits and with
 * nothing but the program's file and two files in memory (compiler_confine.h), so that whatever a
 * hostile program does to it ends there.
 */

/* What the compiler may have unless compiler_limits_set() says otherwise; of memory then not more
 * than three quarters of the machine's. */
#define COMPILER_CPU_LIMIT_MS       (1800 * 1000)
#define COMPILER_MEMORY_LIMIT_BYTES (INT64_C(12) << 30)
#define COMPILER_TIME_LIMIT_MS      (3600 * 1000)

/* Once, before threads exist. What is 0 in `l` is as it was. */
void compiler_limits_set(const struct compile_limits *l);

/* Puts this process under the limits of memory and CPU time. */
void compiler_limits_apply(void);

struct compiler_options {
    const char *name;
    size_t program_bytes;
    bool is_interruptible, is_concurrent; /* as in engine_options */
    bool has_progress;
    int stop_fd;
};

/* Compiles the program behind `program_fd` into an anonymous file, *ret_fd. "InvalidWasm",
 * "CompileFailed", -ECANCELED "Stopped". May be called from any thread. */
int compiler_run(int program_fd, const struct compiler_options *o, int *ret_fd, struct err *e);

/* The child: the program on standard input, code to standard output, an error as text to standard
 * error. `form` is what compiler_run() passed on. The exit status. */
int compiler_main(const char *form);

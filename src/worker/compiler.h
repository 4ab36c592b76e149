/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * The compiler in a process of its own: this same program, started anew with the limits below and
 * three descriptors, so that whatever a hostile file does to it ends there.
 */
#define COMPILER_CPU_LIMIT_S        1800
#define COMPILER_MEMORY_LIMIT_BYTES (UINT64_C(12) << 30)

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

/* The child: the program on descriptor 3, code to 4, an error as text to 5. `form` is what
 * compiler_run() passed on. The exit status. */
int compiler_main(const char *form);

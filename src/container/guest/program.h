/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "guest/contract.h"
#include "loop/loop.h"

/*
 * What a program is and its machine code, before a process exists that runs it: for guest_spec's
 * `code_fd`. A program that was seen costs a look into the compile cache in the work pool and no
 * process. Else a child compiles it, `wherry-worker` with the job "prepare" under its own limits: a
 * few at a time, one for all that wait for the same program.
 *
 * The code is in the form that the job "run" wants: that of a command, which its process ends with,
 * and of an HTTP service that of a server (guest_spec's `listeners`, and no `invoke`).
 */
struct programs;

#define PROGRAM_LIMIT_BYTES (INT64_C(1) << 30)

/* The path of wherry-worker, and the compile cache's folder (--cache-dir). */
struct programs *programs_new(struct loop *l, const char *worker, const char *cache_dir);
void programs_free(struct programs *s); /* after all of its requests; NULL is fine */
DEFINE_AUTO(programs);

struct prepared {
    enum contract contract;
    int code_fd;          /* closed after the call, unless it is taken by take_fd() */
    struct digest digest; /* of the program */
};

struct program_request;
/*
 * Finds or makes the code of the program in the regular file behind `program_fd`, which is the
 * caller's and is used during this call only. `known_digest` is "sha256:<hex>" of its bytes where
 * the caller has verified that, and saves reading them; else NULL.
 *
 * `done` is called once, from the loop and not from within this call, with *e or with *p; after
 * that the request is gone. Errors are what the worker's job fails with, "NotWasm", "InvalidWasm",
 * "UnknownWasmVersion", "UnknownImport", "NotRunnable" (code -ENOEXEC), "CompileFailed",
 * "CacheFailed", "UntrustedFolder"; "TooLarge", "BadDigest", "ReadFailed", "ProgramChanged",
 * "ProgramMissing" and "StartFailed"; "PrepareFailed" of a worker that does not answer.
 */
struct program_request *
program_prepare(struct programs *s, int program_fd, const char *known_digest,
                void (*done)(void *ctx, const struct err *e, struct prepared *p), void *ctx);

/* `done` is not called any more. NULL is fine. */
void program_cancel(struct program_request *r);

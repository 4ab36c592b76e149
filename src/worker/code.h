/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "guest/command.h"
#include "guest/contract.h"
#include "store/cache.h"

/*
 * From a program's bytes to machine code: what it is, then the cache, then a compiler in a child
 * process with limits, because a hostile program may make the compiler slow, large or broken.
 */

/* A program file in memory. */
struct program {
    int fd;          /* the file */
    bool is_fd_own;  /* of an image; otherwise the caller's */
    bool has_digest; /* of an image, where it was verified */
    struct digest digest;
    const void *data;
    size_t len;
    struct artifact artifact;
    enum contract contract;
    char *why;                    /* of the contract */
    struct guest_command command; /* of a container's image */
};

/*
 * Maps the file and recognises it: `fd` itself, which has to stay open as long as the program, or
 * the program of the image in the folder behind `fd`; `command` is what came with it
 * (guest/spec.h). With `validate` all of it is validated. On failure nothing is held. Errors:
 * -ENOEXEC "NotWasm", "InvalidWasm", "UnknownWasmVersion"; of images what layout_program_open() and
 * images_find_at() fail with.
 */
int program_open(int64_t fd, const char *image, const char *command, bool validate,
                 struct program *ret, struct err *e);
void program_done(struct program *p);

/* That of its bytes, computed unless it is known. */
void program_digest(const struct program *p, struct digest *ret);

/* Which engine it needs (engine_options.is_concurrent). */
static inline bool program_is_concurrent(const struct program *p)
{
    return contract_is_concurrent(p->contract, &p->artifact);
}

/* Fails with -ENOEXEC when nothing in the program can be run: `invoke` is the export asked for,
 * NULL for the entry point. "UnknownImport", "NotRunnable". */
int program_check_runnable(const struct program *p, const char *invoke, struct err *e);

struct code_options {
    struct cache *cache;   /* NULL: nothing is kept */
    bool is_for_cache;     /* what the cache cannot take need not be compiled */
    bool is_interruptible; /* engine.h */
    bool has_progress;     /* show what takes long on the terminal at stderr */
    int stop_fd;           /* becoming readable ends the compilation; -1: nothing does */
    int code_fd;           /* the code, for which a supervisor vouches: nothing else is looked at;
                            * stays the caller's. -1: it is found or made */
};

/*
 * Opens the machine code of the program: from the cache, or compiled now. *ret_was_cached may be
 * NULL. A cache that cannot be used is warned about and not used, but with `is_for_cache`
 * ("CacheFailed"). Errors: "InvalidWasm", "CompileFailed" (the compiler ran into its limits or
 * died), -ECANCELED "Stopped".
 */
int code_obtain(const struct program *p, const char *name, const struct code_options *o,
                int *ret_fd, bool *ret_was_cached, struct err *e);

/* The name of the code's entry in a cache. */
void code_key(const struct program *p, const struct code_options *o,
              char ret[static CACHE_KEY_SIZE]);

/* Whether the cache has the code; what it could not be asked counts as no. */
bool code_is_cached(const struct program *p, const struct code_options *o);

/* Says that the cache cannot be used, which costs time and nothing else. */
void code_warn_cache(const struct err *e);

/* As code_obtain(), and lets the engine map it. What the cache has and the engine refuses was
 * damaged; it is thrown away and made anew. What was given is not: "CodeStale". *ret_fd, which may
 * be NULL, gets the code's file. */
struct engine;
struct engine_code;
int code_open(const struct program *p, const char *name, const struct code_options *o,
              struct engine *engine, int *ret_fd, struct engine_code **ret, struct err *e);

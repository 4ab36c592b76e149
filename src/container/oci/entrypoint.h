/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/mount_view.h"

/*
 * What the program of a container is, from its bytes: so that guests and native processes can be in
 * one pod, whatever its annotations say.
 */
enum entrypoint_kind {
    ENTRYPOINT_NONE,   /* no such file in the container */
    ENTRYPOINT_WASM,   /* begins with "\0asm" */
    ENTRYPOINT_NATIVE, /* anything else: the native runtime says what is wrong with it */
};

struct entrypoint {
    enum entrypoint_kind kind;
    int fd;         /* of a WebAssembly program, open for reading; else -EBADF */
    char *function; /* of "FILE#FUNCTION" (containerd-shim-wasm, RuntimeContext::entrypoint);
                     * heap; NULL: the entry point, or no WebAssembly */
};

/*
 * Looks for args[0] as exec does: a path, a relative one from the process's cwd, or else a file of
 * that name in the folders of its PATH, all of it where the process will see it. Without arguments
 * there is none. A file that cannot be read is native; "ReadFailed" when that says nothing about
 * the file: the disk fails, or there are no descriptors or memory.
 */
int entrypoint_find(const struct mount_view *v, const struct oci_process *process,
                    struct entrypoint *ret, struct err *e);
void entrypoint_done(struct entrypoint *p);

/* That of FILE#FUNCTION, on the heap; NULL when the word has none. */
char *entrypoint_function(const char *word);

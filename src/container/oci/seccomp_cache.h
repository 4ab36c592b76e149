/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "container/oci/seccomp_filter.h"

/*
 * Compiled filters: the containers of a machine mostly have the same profile, and compiling one
 * takes milliseconds. Kept is the last one in this process, and in a folder, if there is one, what
 * any process has compiled: a file for each, with the digest of profile and compiler as its name.
 * Who may write there decides what containers may call, so it must be a folder of root alone, and
 * better one that is gone after a restart of the machine (/run). At most 256 files are kept. What
 * the folder is not good for is compiled.
 *
 * For one thread at a time in a process, and any number of processes in the folder.
 */
struct seccomp_cache {
    int dir_fd; /* the caller's; -EBADF: no folder */
    struct digest key;
    struct seccomp_program program;
};

#define SECCOMP_CACHE_INIT ((struct seccomp_cache){.dir_fd = -EBADF})

/* As seccomp_program_compile(), with its errors; *ret lives until the next call. */
int seccomp_cache_compile(struct seccomp_cache *c, const struct oci_seccomp *s, bool is_native,
                          const struct seccomp_program **ret, struct err *e);
void seccomp_cache_done(struct seccomp_cache *c);

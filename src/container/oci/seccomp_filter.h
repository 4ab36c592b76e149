/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <linux/filter.h>

#include "container/oci/oci_config.h"

/*
 * The filter of a container's system calls (OCI runtime specification, config-linux.md, Seccomp):
 * compiled here, loaded by the process that becomes the container.
 *
 * As runc does it:
 * - A name that nobody knows is skipped: profiles name calls of kernels to come.
 * - The machine's own architecture is always among those of the profile. Calls of one that is not
 *   end the thread.
 * - With two conditions on the same argument, each is a rule of its own; otherwise all have to
 * hold.
 * - A rule that does what is done by default is left out.
 * - A call of a number beyond all that the profile names does not exist (ENOSYS), so that a C
 *   library falls back to an older one, where the profile refuses by default with another errno.
 *   This holds for the machine's own architecture.
 *
 * errnoRet with an action that has none is an error (as the specification says), and so is
 * SCMP_ACT_NOTIFY: nobody here would hand its descriptor on to the listener.
 */
struct seccomp_program {
    struct sock_filter *v; /* heap */
    size_t n;
    unsigned flags; /* of seccomp(2) */
};

/*
 * With is_native only the machine's own architecture may make calls, whatever others the profile
 * has: for a process whose program is known, such as a worker. That takes an eighth of the time to
 * compile (3.5 of 27 ms with the profile of containerd or Podman), and half of it to load.
 *
 * "BadSeccomp" for what the profile says wrong or the library cannot compile; "SeccompNotSupported"
 * (-ENOTSUP).
 */
int seccomp_program_compile(const struct oci_seccomp *s, bool is_native,
                            struct seccomp_program *ret, struct err *e);
void seccomp_program_done(struct seccomp_program *p);

/* Puts the calling thread, and what it starts, under the filter for ever. It needs no_new_privs or
 * CAP_SYS_ADMIN in its user namespace. Makes one system call and nothing else, so it may follow
 * fork() in a process with threads. Returns a negative errno, without a message. */
int seccomp_program_load(const struct seccomp_program *p);

/* Who keeps programs for later: another number may make another program of the same profile. */
uint32_t seccomp_compiler_version(void);

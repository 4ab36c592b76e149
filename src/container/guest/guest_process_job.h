/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/guest/guest_process.h"

/* What the worker of a guest's process is told: for guest_process.c. */

/* Everything of it that needs no file of the container; the job is initialised here. Descriptors
 * are those of this process. `listener_fd` is where the child puts the listening socket. */
int guest_process_job_begin(const struct guest_process_options *o, struct guest_job *j,
                            struct err *e);
unsigned guest_process_job_port(const struct guest_process_options *o); /* 0: it listens nowhere */

/* The rest, in the work pool: what the container's own files say. *ret_ca_fd is open while the
 * job is used, or -EBADF. */
void guest_process_job_finish(const struct guest_mounts *m, struct guest_job *j, int *ret_ca_fd);

/* As a sealed file. "TooLarge", "BadJson" for a text that is not UTF-8. */
int guest_process_job_file(const struct guest_job *j, int *ret_fd, struct err *e);

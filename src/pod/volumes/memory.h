/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/util.h"

/* File systems in memory. For the work pool. */

/* Whether the folder is on one. */
bool memory_is(int fd);

/*
 * Mounts an empty tmpfs on the folder `name`, which is emptied before, unless one is mounted there;
 * `limit_bytes` 0: the kernel's default, half of the memory. Opens it. -EPERM, without a message:
 * this process may not mount. "MountFailed"
 */
int memory_mount(int dirfd, const char *name, int64_t limit_bytes, int *ret_fd, struct err *e);

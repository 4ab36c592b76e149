/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"

/*
 * What the compiler needs when it has a hostile program before it: its three standard descriptors,
 * memory and threads. Everything else is given up for good: other descriptors, and (by a system
 * call filter, seccomp(2)) opening files, sockets, other programs, and signals to other processes.
 * What is not allowed fails with EPERM. Where the kernel has no filters there is none.
 */
int compiler_confine(struct err *e);

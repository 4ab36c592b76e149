/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"

/*
 * `-info`: prints what the runtime is and can do, a containerd.types.RuntimeInfo (containerd,
 * api/types/introspection.proto), for the options on standard input, which change nothing of it.
 */
int shim_info(struct err *e);

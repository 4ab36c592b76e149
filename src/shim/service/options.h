/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/messages/messages.h"
#include "shim/task/task.h"

/*
 * The runtime's options of Create: containerd.runc.v1.Options, or the TOML table of
 * runtimeoptions.v1.Options with the same names (SystemdCgroup, BinaryName, Root, NoPivotRoot,
 * NoNewKeyring). Names that are not known are ignored, as they are for runc.
 */

/* Decodes into a zeroed *ret; NULL, and options of another type, are none. "BadOptions" */
int task_options_decode(const Types__Any *any, struct task_options *ret, struct err *e);

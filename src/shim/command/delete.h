/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/command/flags.h"

/*
 * `delete`: what a shim that was killed has left of a container is taken away, by the record in its
 * bundle (shim/bundle/record.h), and how it ended is printed, a task DeleteResponse. containerd
 * also calls it after a Delete that the daemon has answered: then there is nothing left to do.
 * Other containers of the pod are not touched.
 */
int shim_delete(const struct shim_flags *f, struct err *e);

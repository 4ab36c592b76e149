/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/spec.h"

/*
 * Checks that the path of a hostPath volume is what its type says, and makes it where the type says
 * so: folders with their parents (0755), a file (0644) in a folder that is there. Links are
 * followed, as the administrator who allows such volumes made them. A volume without a type must be
 * there too: nothing is made that nobody asked for. Opens it (O_PATH). "HostPathFailed"
 */
int host_path_open(const struct pod_volume *v, int *ret_fd, struct err *e);

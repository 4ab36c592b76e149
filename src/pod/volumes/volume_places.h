/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/volumes/volumes.h"

/* Where the volumes of a pod are: for volumes.c and volume_mounts.c. */

/* Whether it can be the name of a folder: of A-Za-z0-9._-, not beginning with a dot, and at most
 * 253 characters. "BadName" otherwise. */
int volume_name_check(const char *what, const char *name, struct err *e);

/* Opens STATE/pods/UID/SUB, or the same of MEMORY, making what is missing if asked to. -ENOENT,
 * without a message, when it is not there (or there is no usable MEMORY) and is not to be made. */
int volume_state_open(const struct volumes_places *p, const char *uid, const char *sub,
                      bool is_made, int *ret_fd, struct err *e);
int volume_memory_open(const struct volumes_places *p, const char *uid, const char *sub,
                       bool is_made, int *ret_fd, struct err *e);

/* Opens a prepared volume: a folder for reading, or, of a host path, O_PATH whatever it is.
 * `ret_is_memory`: it is below MEMORY. */
int volume_open(const struct volumes_places *p, const struct pod_spec *s,
                const struct pod_volume *v, int *ret_fd, bool *ret_is_memory, struct err *e);

/* One of the kinds that a projection is written into. */
bool volume_is_projection(const struct pod_volume *v);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * Opens a path inside a volume (O_PATH), for a subPath. Links are followed as far as they stay in
 * the volume: what leads out of it, at this moment or by a swap while it is opened, is refused.
 * What is missing is made as a folder, with the mode of the volume's own folder, if `is_made`.
 * "BadSubPath"
 */
int subpath_open(int volume, const char *path, bool is_made, int *ret_fd, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/volumes/projection.h"

/*
 * Writes a projection into the folder of its volume as a kubelet does (pkg/volume/util,
 * AtomicWriter), so that programs that watch such volumes work:
 *
 *   ..2026_11_27_03_07_30.x7Kq2e/  the files, in folders of their paths
 *   ..data                         -> ..2026_11_27_03_07_30.x7Kq2e
 *   NAME                           -> ..data/NAME, for each file and folder at the top
 *
 * New content is a new folder, to which ..data is turned by one rename: who opens through ..data
 * sees the old files or the new ones. A failure, such as a full disk, leaves the old ones; so does
 * the end of the process at any moment, and the next call removes what it left. Content and modes
 * that are there already are not written again. One call at a time for one folder.
 *
 * "VolumeFull" (-ENOSPC, -EDQUOT) or "WriteFailed".
 */
int atomic_write(int dirfd, const struct projection *p, bool *ret_is_changed, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"

/*
 * The file below /proc/sys of a name in linux.sysctl, which has dots for slashes, or slashes where
 * a dot is in the name (sysctl(8)); heap. "BadConfig": it is none, or would change the host's,
 * since it belongs to no namespace that the document has (config-linux.md, Sysctl).
 */
int oci_sysctl_path(const struct oci_config *c, const char *name, char **ret, struct err *e);

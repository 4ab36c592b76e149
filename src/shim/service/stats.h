/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "container/cgroup/cgroup.h"

/* Packs the figures as io.containerd.cgroups.v2.Metrics (containerd/cgroups, cgroup2/stats). */
void stats_pack(const struct cgroup_stats *s, struct buf *ret);

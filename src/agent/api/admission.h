/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "pod/spec.h"

/*
 * Whether a pod fits beside those that are there, as a kubelet decides it before it runs one
 * (pkg/kubelet/lifecycle/predicate.go). What does not fit is not waited for: the pod has failed.
 */
struct node_capacity {
    int64_t cpu_milli, memory_bytes;
};

/* What this process may use: processors and memory of the machine, or less where its control group
 * says so. */
void node_capacity_read(struct node_capacity *ret);

/* What the containers ask for together: those that run at the same time are added, and init
 * containers, which run one after another, count where they need more. */
void admission_requests(const struct pod_spec *s, int64_t *ret_cpu_milli,
                        int64_t *ret_memory_bytes);

/* `next` gives one after the other of the pods that are there and not over, then NULL. Reasons are
 * the kubelet's: "OutOfcpu", "OutOfmemory", "NodePorts" (-ENOSPC, -EADDRINUSE). */
int admission_check(const struct node_capacity *node, const struct pod_spec *s,
                    const struct pod_spec *(*next)(void *ctx), void *ctx, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "pod/spec.h"

/*
 * What a pod can be told about itself: Kubernetes' downward API, for variables and for files of
 * volumes. (Kubernetes, concepts/workloads/pods/downward-api; pkg/fieldpath; pkg/api/v1/resource.)
 */
struct pod_fields {
    const struct pod_spec *spec;
    struct strv host_ips, pod_ips; /* the first is the one that counts; empty until known */
    /* What the node has to give; stands for a limit that a container does not set. */
    int64_t node_cpu_milli, node_memory_bytes, node_ephemeral_bytes;
};

enum pod_field_use {
    POD_FIELD_VARIABLE,
    POD_FIELD_FILE, /* has metadata.labels and metadata.annotations as a whole, but no status */
};

/*
 * Appends the value of a field path. A label or annotation that is not there is empty, as is an
 * address that is not known yet. All labels or annotations are lines key="value" in the order of
 * their keys, with Go's escapes in the value and no newline behind the last.
 * "BadFieldPath" (-EINVAL)
 */
int pod_field_add(const struct pod_fields *f, const char *path, enum pod_field_use use,
                  struct buf *out, struct err *e);

/*
 * Appends limits.cpu, limits.memory, limits.ephemeral-storage or the same of requests, as a whole
 * number of divisors (bytes or thousandths of a core; 0: 1 byte, 1 core), rounded up. A request
 * that is not said is the limit that is said, or 0. "BadResource" (-EINVAL)
 */
int pod_resource_add(const struct pod_fields *f, const struct pod_container *c, const char *key,
                     int64_t divisor, struct buf *out, struct err *e);

/* What gethostname() is to say in the pod: at most 63 characters. Heap. */
char *pod_hostname(const struct pod_spec *s);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "manifest/pod_fields.h"

/* The parts of a pod, from plain fields to its spec, which may be half filled on failure (private
 * to this folder). `at` is the path of what is decoded. Validation is that of the API server
 * (pkg/apis/core/validation), defaults are those of pkg/apis/core/v1/defaults.go. */

int pod_volumes_decode(struct decode *d, const struct raw_pod_spec *raw, struct pod_spec *s);

/* Needs the volumes. */
int pod_container_decode(struct decode *d, const char *at, const struct raw_container *raw,
                         bool is_init, struct pod_spec *s, struct pod_container *c);

/* Needs the container's ports. */
int pod_actions_decode(struct decode *d, const char *at, const struct raw_container *raw,
                       struct pod_spec *s, struct pod_container *c);

/* Environment, and what is asked of its references. */
int pod_variables_decode(struct decode *d, const char *at, const struct raw_container *raw,
                         struct pod_spec *s, struct pod_container *c);

/* A field of the pod that can be referred to; in files labels and annotations as a whole too. */
int pod_field_check(struct decode *d, const char *at, const struct raw_field_ref *raw,
                    bool is_file);

/* A resource of a container: its divisor, in bytes or thousandths of a core. */
int pod_resource_ref_check(struct decode *d, const char *at, const struct raw_resource_ref *raw,
                           int64_t *ret_divisor);

/* What the annotations wherry.dev/... give to the containers. */
int pod_grants_decode(struct decode *d, struct pod_spec *s);

/* An amount in JSON: a number or a string. */
int pod_quantity_decode(struct decode *d, const char *at, const char *json, int64_t scale,
                        int64_t *ret);

/* Relative, and leads nowhere up. */
bool pod_path_is_inside(const char *path);

/* A path that begins with '/' and has no ".." in it. */
int pod_absolute_check(struct decode *d, const char *at, const char *path);

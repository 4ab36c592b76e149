/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "image/registry.h"

/*
 * Sending a WebAssembly program to a registry.
 */
enum push_format {
    /* The CNCF wasm artifact (tag-runtime, "wasm OCI artifact layout"): a manifest of OCI with one
     * layer application/wasm and a config application/vnd.wasm.config.v0+json. */
    PUSH_ARTIFACT,
    /* The image of a container (image-spec 1.1) for container engines: the file is its one layer
     * and its entry point; annotations are labels, too. */
    PUSH_IMAGE,
};

struct push_program {
    int fd;           /* the file, for reading */
    const char *path; /* its name, of which that in an image is made */
    bool is_component;
    struct strv imports, exports; /* of a component: the names of its world */
};

struct push_options {
    struct registry_options registry;
    enum push_format format;
    struct strv annotations; /* NAME=VALUE, of the manifest */
};

/* Sends what the registry does not have, then the manifest under the reference's tag; the digest of
 * that. "BadReference": a digest cannot be chosen. */
int image_push(const struct push_program *p, const struct reference *r,
               const struct push_options *o, struct digest *ret, struct err *e);

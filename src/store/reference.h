/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/util.h"

/*
 * The name of an image in a registry, as people write it: [HOST[:PORT]/]PATH[:TAG][@sha256:HEX]
 * (distribution/reference of the CNCF distribution project; OCI distribution-spec 1.1, "Pulling
 * manifests"). The first part is a host when it has a '.', a ':' or a capital letter in it, or is
 * "localhost"; otherwise the image is one of docker.io, and there one of "library/" when its path
 * has one part only.
 */
struct reference {
    char *host;       /* "docker.io", "127.0.0.1:5000", "[::1]:5000" */
    char *repository; /* "library/alpine" */
    char *tag; /* "latest" when neither tag nor digest was written; NULL for a digest alone */
    struct digest digest;
    bool has_digest; /* what the image has to be, whatever the tag says */
};

#define REFERENCE_LIMIT  512 /* bytes, as it was written and in full */
#define REFERENCE_DOCKER "docker.io"

/* "BadReference" (-EINVAL) says what is wrong with the text, and where. */
int reference_parse(const char *text, struct reference *ret, struct err *e);
void reference_done(struct reference *r);

/* In full, which every spelling of a name has in common: HOST/PATH[:TAG][@sha256:HEX]. Heap. */
char *reference_format(const struct reference *r);

/* What a registry calls it: the digest, or else the tag. Heap. */
char *reference_version(const struct reference *r);

/* Where the image store keeps what the name stands for (images.h), below its folder. Heap. */
char *reference_store_path(const struct reference *r);

/* Whether the text has no host: what it stands for, registries.h says. */
bool reference_is_short(const char *text);

/* Whether the text says by itself that it is no path: it has a host, a tag or a digest. */
bool reference_is_plain(const char *text);

/* REFERENCE_DOCKER for every name that Docker's registry goes by, otherwise the host. */
const char *reference_registry(const char *host);

/* The host to talk to: that of docker.io has another name. In the reference or static. */
const char *reference_server(const struct reference *r);

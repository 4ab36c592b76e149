/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

/*
 * What the agent's API has, by the names that people use for it, and paths of that API
 * (docs/internals/local-api.md).
 */
enum resource_kind {
    RESOURCE_POD,
    RESOURCE_CONFIG,
    RESOURCE_SECRET,
    RESOURCE_CLAIM,
    RESOURCE_EVENT
};

struct resource {
    enum resource_kind kind;
    const char *plural;   /* "pods", as in paths */
    const char *singular; /* "pod", as in what commands say */
    const char *brief;    /* "po" */
    const char *name;     /* "Pod": the kind of its objects */
};

/* By any of the names, in capitals or not. "UnknownResource" (-EINVAL) suggests one. */
int resource_find(const char *word, const struct resource **ret, struct err *e);
const struct resource *resource_of(enum resource_kind kind);

/* One object, or with name NULL all of a kind. */
struct resource_ref {
    const struct resource *resource;
    const char *name; /* points into the operand */
};

struct resource_refs {
    struct resource_ref *v;
    size_t n;
};

/*
 * What the operands of a command say: RESOURCE, RESOURCE NAME..., or RESOURCE/NAME...; with a
 * `usual` one also NAME... alone. No mixture ("BadUsage"). RESOURCE may be several with commas
 * between. The operands outlive the result.
 */
int resource_refs_parse(const struct strv *operands, const struct resource *usual,
                        struct resource_refs *ret, struct err *e);
void resource_refs_done(struct resource_refs *r);
#define autorefs __attribute__((cleanup(resource_refs_done))) struct resource_refs

/* "/api/v1/namespaces/NS/pods/NAME", without a name (NULL) the list; without a space, which takes
 * no name, the list of all of them. */
void resource_path_add(struct buf *out, const struct resource *r, const char *space,
                       const char *name);
/* "?key=value" or "&key=value" where there is one already, with what a URL needs escaped. NULL adds
 * nothing. */
void resource_query_add(struct buf *path, const char *key, const char *value);
void resource_query_addf(struct buf *path, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Checks a label selector of the command line ("BadSelector"), so that a slip is told where it was
 * typed: a, !a, a=b, a==b, a!=b, a in (b,c), a notin (b,c), with commas between. */
int resource_selector_check(const char *text, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "manifest/objects.h"

/*
 * What the agent does with objects besides keeping them: pure functions.
 */

/* The object as it was stored once more, for nobody else yet: it can be stamped. Heap. "BadStored"
 * cannot happen with what object_encode() wrote, but is told. */
int object_copy(const struct object *o, struct object **ret, struct err *e);

/* The same content, in whatever order of members: what it is asked to be, and the annotations that
 * have an effect ("wherry.dev/..."). */
bool object_spec_is_same(const struct object *a, const struct object *b);
/* That, and labels and annotations but for the one named. */
bool object_is_same(const struct object *a, const struct object *b, const char *but);

/* Sets an annotation of an object that nobody else has (BUG); value NULL takes it out. */
void object_annotate(struct object *o, const char *name, const char *value);

/* The status of a claim, which is bound as soon as it is there. Appends. */
void object_claim_status_write(const struct object *o, struct buf *out);

/* A random UUID of version 4 (RFC 9562). */
#define UUID_SIZE 37
void uuid_new(char ret[static UUID_SIZE]);

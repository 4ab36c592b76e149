/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "pod/spec.h"

/*
 * Objects of Kubernetes' API as a person writes them in YAML or JSON: Pod, ConfigMap, Secret and
 * PersistentVolumeClaim, all of v1, and List, which is taken apart. What is accepted, what has no
 * effect and what is refused: docs/internals/manifests.md.
 *
 * An object is constant once it was stamped, counted, and lives in an arena, which is overwritten
 * before it is freed: any object may hold what its owner keeps to himself, a secret always does.
 */
enum object_kind { OBJECT_POD, OBJECT_CONFIG, OBJECT_SECRET, OBJECT_CLAIM };
#define OBJECT_KINDS 4

/* Of one object as JSON, as the API server has it. One that is stored may have twice as many, for
 * it has grown by what it was stamped with, and by Base64. */
#define OBJECT_LIMIT_BYTES (3u << 20)
#define OBJECT_LIMIT       10000 /* objects of one run */

/* A file that a ConfigMap or Secret has: any bytes, and a NUL behind them that `len` does not
 * count. */
struct object_datum {
    const char *key;
    const char *data;
    size_t len;
};

struct object_data {
    struct object_datum *v; /* by key */
    size_t n;
    const char *type; /* of a Secret: "Opaque" unless said; NULL for a ConfigMap */
    bool is_immutable;
};

struct object_claim {
    struct pod_words access_modes; /* "ReadWriteOnce" and so on; at least one */
    int64_t bytes;                 /* requested; not 0 */
    const char *storage_class;     /* NULL: not said */
};

/* A member of the object as JSON, such as "spec": as it was given, with defaults, and with absolute
 * paths for programs that are files. Neither kind and metadata nor status. */
struct object_part {
    const char *key;
    const char *json;
    size_t len;
};

struct object {
    unsigned refs;
    struct arena *arena;
    enum object_kind kind;
    const char *space; /* the namespace */
    const char *name;
    struct pod_pairs labels, annotations;
    struct object_part *parts;
    size_t n_parts;
    const char *file; /* where it came from, for people, with its line */
    unsigned line;
    /* What whoever keeps objects gives them (object_stamp()); NULL and -1 without. */
    const char *uid;
    const char *version; /* resourceVersion */
    const char *created; /* RFC 3339 */
    const char *deleted; /* when it will be gone, likewise */
    int64_t deletion_grace_s;
    union {
        struct pod_spec *pod;    /* one reference; its uid is the object's */
        struct object_data data; /* ConfigMap and Secret */
        struct object_claim claim;
    };
};

struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is fine */

/* "Pod" and so on. */
const char *object_kind_name(enum object_kind kind);
/* For tables of objects, and for telling most apart at once. */
uint64_t object_key_hash(enum object_kind kind, const char *space, const char *name);
/* The key of an object's data; NULL without it. */
const struct object_datum *object_datum_find(const struct object_data *d, const char *key);

/* Sets what is not NULL, while nobody else has the object (BUG). The text is copied. */
void object_stamp(struct object *o, const char *uid, const char *version, const char *created);
void object_stamp_deleted(struct object *o, const char *deleted, int64_t grace_s);

struct objects_options {
    const char *file; /* what errors begin with: "app.yaml" */
    const char
        *base_dir; /* absolute: what a relative path of a program begins at; NULL: there is none */
    const char *space; /* of objects that name none; NULL: "default" */
    /* The text was written by object_encode(): uid, resourceVersion and times in it count. Those
     * that a stranger wrote are ignored, as the API server does. */
    bool is_stored;
};

/* Objects of one run, in the order of their texts. */
struct objects {
    struct object **v; /* one reference each */
    size_t n, cap;
    size_t *table; /* by kind, namespace and name: place + 1 */
    size_t n_table;
};

/*
 * Appends what the text has. Errors are "BadYaml" and "BadManifest" (-EINVAL, or -ERANGE),
 * "NotSupported"
 * (-ENOTSUP: known to Kubernetes and not to wherry), "UnknownKind", "TooLarge" (-EFBIG) and
 * "Duplicate" (-EEXIST: the same kind, namespace and name twice in one run). They begin with file,
 * line and place: "app.yaml:12: $.spec.containers[0].imge: unknown field; did you mean 'image'?"
 */
int objects_parse(struct text text, const struct objects_options *o, struct objects *into,
                  struct err *e);
void objects_done(struct objects *s);
#define autoobjects __attribute__((cleanup(objects_done))) struct objects

const struct object *objects_find(const struct objects *s, enum object_kind kind, const char *space,
                                  const char *name);

/*
 * Appends the object as the API has it: apiVersion, kind, metadata, what it was asked to be, and
 * `status` (JSON text; NULL: none). objects_parse() reads it back to the same. A secret goes only
 * into a buffer that wipes itself; room for all of it is made first.
 */
void object_encode(const struct object *o, const char *status, struct buf *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"
#include "manifest/document.h"
#include "manifest/objects.h"

/*
 * What decoders of the kinds have in common (private to this folder): an object goes from its
 * document by a table of json.h to a struct of plain fields, and from there, checked, into its
 * final form.
 */
struct decode {
    const struct objects_options *options;
    const struct document_node *root; /* of the object: "$" */
    struct arena *scratch;            /* ends with the decoding, overwritten; paths are made here */
    struct document_edit *edits;      /* heap; their texts are scratch's */
    size_t n_edits, cap_edits;
    struct err *e;
};

/* Fails with "FILE:LINE: PATH: what". The reason follows from the code: objects_parse(). */
int decode_bad(struct decode *d, int code, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Gives an error of another parser, which names no place, the place `at`. */
int decode_bad_at(struct decode *d, const char *at, const struct err *inner);

/* A member that the stored text has and the given one has not; json NULL takes it out. */
void decode_edit(struct decode *d, const char *at, const char *key, const char *json);
void decode_edit_string(struct decode *d, const char *at, const char *key, const char *value);

/* A path below another one, of scratch. */
#define decode_path(d, ...) arena_printf((d)->scratch, __VA_ARGS__)

/* By the table, with unknown fields refused, and the line in errors. */
int decode_fields(struct decode *d, const struct json_field *fields, void *target);

/* A name that `is_name` has to say yes to. */
int decode_name(struct decode *d, const char *at, const char *name, bool (*is_name)(const char *),
                const char *rule);

/* One of `words` (NULL-terminated): its place, `otherwise` without a text. */
int decode_word(struct decode *d, const char *at, const char *text, const char *const *words,
                int otherwise, int *ret);

/* Pairs to an arena. */
void decode_pairs(struct arena *a, const struct json_pairs *from, struct pod_pairs *to);
void decode_words(struct arena *a, const struct strv *from, struct pod_words *to);

/* ---- The kinds ---- */

struct raw_meta {
    char *name, *space, *uid, *version, *created, *deleted;
    int64_t deletion_grace_s;
    bool has_deletion_grace_s;
    struct json_pairs labels, annotations;
};

struct raw_head {
    char *api_version, *kind;
    struct raw_meta meta;
};

extern const struct json_field raw_meta_fields[];

/* The rows that every kind's table begins with; the struct has a raw_head `head`. */
#define RAW_HEAD_ROWS(struct_)                                                                     \
    JSON_REQUIRED("apiVersion", FIELD_STRING, struct_, head.api_version),                          \
        JSON_REQUIRED("kind", FIELD_STRING, struct_, head.kind),                                   \
        {.name = "metadata",                                                                       \
         .type = FIELD_OBJECT,                                                                     \
         .is_required = true,                                                                      \
         .offset = offsetof(struct_, head.meta),                                                   \
         .fields = raw_meta_fields},                                                               \
    {                                                                                              \
        .name = "status", .type = FIELD_IGNORED, .why = "it is said by wherry, not to it"          \
    }

/* Checks metadata and puts it into *o. */
int object_head_decode(struct decode *d, const struct raw_head *head, struct object *o);

int object_pod_decode(struct decode *d, struct object *o);
int object_config_decode(struct decode *d, struct object *o);
int object_secret_decode(struct decode *d, struct object *o);
int object_claim_decode(struct decode *d, struct object *o);

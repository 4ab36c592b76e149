/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/*
 * Text in YAML, in which JSON is contained, as a row of documents: trees of values that know the
 * line that each was written on.
 *
 * Words mean what they mean to kubectl (sigs.k8s.io/yaml, which is YAML 1.1): yes, no, on, off, y
 * and n are booleans, 0644, 0o644 and 0x1a4 the same number, everything quoted a string. Merge keys
 * (<<) work. Keys that are numbers or booleans become strings. Stricter than kubectl: a key that is
 * there twice is an error, and so are infinities, NUL characters, and tags other than YAML's own
 * simple ones.
 *
 * An alias stands for the very node of its anchor, so that a document whose aliases multiply
 * takes no memory; how large it would be when written out is counted while it is read, over all
 * documents of the text, and is an error at the line that goes beyond the limit.
 */
#define DOCUMENT_LIMIT_BYTES   (32u << 20) /* of the text */
#define DOCUMENT_LIMIT         10000       /* documents in it; empty ones count too */
#define DOCUMENT_LIMIT_DEPTH   30          /* of lists and maps within each other */
#define DOCUMENT_LIMIT_NODES   2000000     /* of all documents, aliases written out */
#define DOCUMENT_LIMIT_MERGED  1000000     /* members that merge keys bring, of all documents */
#define DOCUMENT_LIMIT_JSON    (64u << 20) /* bytes of all documents as JSON, the same */
#define DOCUMENT_LIMIT_ANCHORS 256         /* of one document */

enum document_type {
    DOCUMENT_NULL,
    DOCUMENT_BOOL,
    DOCUMENT_NUMBER,
    DOCUMENT_STRING,
    DOCUMENT_LIST,
    DOCUMENT_MAP,
};

struct document_node;

struct document_entry {
    const char *key;       /* NULL in a list */
    unsigned line, column; /* of the key */
    const struct document_node *value;
};

/* Constant, in the document's arena. */
struct document_node {
    enum document_type type;
    unsigned line, column; /* from 1 */
    const char *text;      /* of a string; of anything else but lists and maps how JSON writes it */
    struct document_entry *entries;
    size_t n;
    /* Written out: */
    size_t nodes, bytes; /* at most so many as JSON */
    int depth;
};

struct document {
    struct arena *arena;
    const struct document_node *root; /* never a null */
};

/* What is written instead of what the text says: a member of the map at `path` ("$.spec"). */
struct document_edit {
    const char *path, *key;
    const char *json; /* NULL: the member is left out */
};

/* Reads one document after the other. `text` and `name`, which errors begin with, outlive it. */
struct document_reader;

/* "TooLarge" */
int document_reader_open(struct text text, const char *name, struct document_reader **ret,
                         struct err *e);
void document_reader_free(struct document_reader *r);
DEFINE_AUTO(document_reader);

/*
 * The next document that is not empty; *ret is NULL behind the last one. "BadYaml" (-EINVAL) and
 * "TooLarge" (-EFBIG) begin with "NAME:LINE:COLUMN: ". After an error nothing more can be read.
 */
int document_next(struct document_reader *r, struct document **ret, struct err *e);

/* Overwrites what it frees, which may be a secret. (libyaml's own buffers are not overwritten.) */
void document_free(struct document *d);
DEFINE_AUTO(document);

/* The value of a key in a map; NULL without it, or when `map` is something else. */
const struct document_node *document_find(const struct document_node *map, const char *key);

/*
 * Where the value at a path ("$.spec.containers[0].image") was written, or the nearest thing
 * around it that is there. The path ends where the text does or with a colon, so that it may be
 * the message of json_decode().
 */
void document_locate(const struct document_node *root, const char *path, unsigned *ret_line,
                     unsigned *ret_column);

/* Appends the JSON text of a node, whose path is `at` to the edits. Room for all of it is made
 * first, so that a secret is in one place only. */
void document_json_add(const struct document_node *node, const char *at,
                       const struct document_edit *edits, size_t n_edits, struct buf *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"

/*
 * JSON to structs by table, and structs to JSON by a writer. The library behind it does not show.
 *
 * A document may hold secrets. What decoding takes for itself and what json_fields_done() and
 * json_members_done() free is wiped first; a syntax error of json_decode() may quote a word of the
 * text, one of json_members_decode() does not.
 */

enum field_type {
    FIELD_STRING,  /* char *, heap; NULL when absent */
    FIELD_BOOL,    /* bool */
    FIELD_INT64,   /* int64_t within min and max; a number with a fraction or exponent is refused */
    FIELD_UINT64,  /* uint64_t; above INT64_MAX only with JSON_WRAP_UINT64 */
    FIELD_INT64S,  /* a heap array of whole numbers, each within min and max: int64_t * at `offset`,
                    * its size_t count at `count_offset` */
    FIELD_STRINGS, /* struct strv */
    FIELD_OBJECT,  /* a struct inside the target, decoded by `fields` */
    FIELD_OBJECTS, /* a heap array of structs: T * at `offset`, its size_t count at `count_offset`
                    */
    FIELD_RAW,     /* char *, heap: the value's JSON text, whatever it is, for a second decoder */
    FIELD_CUSTOM,  /* a string that `parse` turns into the field at `offset` */
    FIELD_PAIRS,   /* struct json_pairs: an object whose keys are not known before, of strings */
    FIELD_IGNORED, /* whatever it is; nothing is stored */
    FIELD_REFUSED, /* known, but an error (-ENOTSUP) that says `why` */
};

/* The members of an object, in the order of the text. Heap. */
struct json_pair {
    char *name, *value;
};

struct json_pairs {
    struct json_pair *v;
    size_t n;
};

struct json_field {
    const char *name;
    enum field_type type;
    size_t offset; /* of the field in the target */
    bool is_required;

    /* Where a bool says that the field was there: absent and zero differ. JSON null counts as
     * absent. Rows that need none leave has_offset 0 and has_flag false. */
    bool has_flag;
    size_t has_offset;

    int64_t min, max;   /* FIELD_INT64, FIELD_INT64S; both 0: any */
    size_t limit;       /* bytes of a string, entries of a list or of pairs; 0: any */
    bool takes_numbers; /* FIELD_PAIRS: a number as a value is taken as its text */
    const char *why;    /* FIELD_REFUSED: what to do instead; FIELD_IGNORED: why it is harmless */
    const struct json_field *fields; /* of the object or of each element; ends with a NULL name */
    size_t elem_size;                /* FIELD_OBJECTS */
    size_t count_offset;             /* FIELD_OBJECTS, FIELD_INT64S */
    int (*parse)(const char *text, void *field,
                 struct err *e); /* FIELD_CUSTOM; allocates nothing */
};

/* Shorthands for rows: JSON_FIELD("name", FIELD_STRING, struct s, member). */
#define JSON_FIELD(name_, type_, struct_, member_)                                                 \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct_, member_)                     \
    }
#define JSON_REQUIRED(name_, type_, struct_, member_)                                              \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct_, member_),                    \
        .is_required = true                                                                        \
    }
/* With `bool has_<member>` beside the member. */
#define JSON_OPTIONAL(name_, type_, struct_, member_)                                              \
    {                                                                                              \
        .name = (name_), .type = (type_), .offset = offsetof(struct_, member_), .has_flag = true,  \
        .has_offset = offsetof(struct_, has_##member_)                                             \
    }

struct json_limits {
    size_t bytes; /* of the document; must not be 0 */
    int depth;    /* of nested arrays and objects; must not be 0 */
};

enum json_decode_flags {
    /* A field that is not in the table is an error, which suggests a name of the table that is
     * spelt nearly the same. */
    JSON_REFUSE_UNKNOWN = 1 << 0,
    /* Whole numbers from 2^63 to 2^64 - 1, otherwise bad syntax, become the negative number with
     * the same 64 bits. FIELD_UINT64 gives them back, and takes -1 for 2^64 - 1; an integer that
     * must not be one of them has a `min` in its row. */
    JSON_WRAP_UINT64 = 1 << 1,
};

/*
 * Decodes one JSON object of `len` bytes into *target, which the caller zeroed (or filled with
 * defaults for bools and integers). Errors are -EINVAL ("BadJson"), -EFBIG ("TooLarge"), -ENOTSUP
 * or -ERANGE and name the place: "$.dirs[1].guest: expected a string", and line and column for bad
 * syntax. Duplicate keys, invalid UTF-8 and NUL characters are errors. On failure whatever had been
 * allocated is released again as by json_fields_done().
 */
int json_decode(const char *text, size_t len, struct json_limits limits,
                const struct json_field *fields, int flags, void *target, struct err *e);

/*
 * Whether json_decode() would take this struct when it was written with all of its fields: ranges,
 * limits, what is required, UTF-8. Errors are those of json_decode(). For tables of strings, bools,
 * integers, objects and lists; texts of FIELD_RAW are taken to be JSON.
 */
int json_fields_check(const struct json_field *fields, const void *target, struct err *e);

/* Frees what json_decode() allocated in *target and leaves NULL and 0 there. */
void json_fields_done(const struct json_field *fields, void *target);

/*
 * An object whose keys are not known before, such as a map: its keys with the JSON text of each
 * value, in the order of the text. A value is the very bytes of the text (numbers, escapes and
 * white space inside are as they were written), is not terminated, and lives as long as the text.
 */
struct json_member {
    char *key; /* decoded; heap */
    const char *value;
    size_t len;
};

struct json_members {
    struct json_member *v;
    size_t n;
};

/* Checks the text as json_decode() does and lists what its one object holds. */
int json_members_decode(const char *text, size_t len, struct json_limits limits,
                        struct json_members *ret, struct err *e);

/* NULL when there is none of that name. */
const struct json_member *json_member_find(const struct json_members *m, const char *key);

void json_members_done(struct json_members *m);

/*
 * Appends JSON text to a buffer, with commas and escapes where they belong. A string that is not
 * UTF-8 makes json_writer_finish() fail; nothing needs to be checked before. Misuse (an end without
 * a begin, a key outside an object) is a BUG.
 */
#define JSON_WRITER_DEPTH 32

struct json_writer {
    struct buf *out;
    bool is_pretty;
    int depth;
    bool is_object[JSON_WRITER_DEPTH];
    bool has_items[JSON_WRITER_DEPTH];
    bool has_key; /* a key was written and its value is due */
    bool is_bad;  /* some string was not UTF-8 */
};

/* Pretty means two spaces of indentation and a newline at the end, for people. */
void json_writer_init(struct json_writer *w, struct buf *out, bool is_pretty);

void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);

void json_str(struct json_writer *w, const char *s); /* NULL writes null */
void json_strn(struct json_writer *w, const char *s, size_t len);
void json_int(struct json_writer *w, int64_t value);
void json_uint(struct json_writer *w, uint64_t value);
void json_double(struct json_writer *w, double value); /* must be finite */
void json_bool(struct json_writer *w, bool value);
void json_null_value(struct json_writer *w);
void json_strings(struct json_writer *w, const struct strv *s);
void json_raw(struct json_writer *w, const char *json, size_t len); /* trusted JSON text */

/* Checks that everything is closed (BUG) and was UTF-8 (-EILSEQ, "BadText"). */
int json_writer_finish(struct json_writer *w, struct err *e);

/* key and value in one. */
void json_key_str(struct json_writer *w, const char *key, const char *value);
void json_key_int(struct json_writer *w, const char *key, int64_t value);
void json_key_uint(struct json_writer *w, const char *key, uint64_t value);
void json_key_bool(struct json_writer *w, const char *key, bool value);
void json_key_strings(struct json_writer *w, const char *key, const struct strv *value);

/* True when the bytes are well-formed UTF-8 (no surrogates, nothing above U+10FFFF). */
bool utf8_is_valid(const char *s, size_t len);

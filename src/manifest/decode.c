/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/decode.h"

#include "base/options.h"
#include "base/secret.h"
#include "base/text.h"
#include "manifest/names.h"

/* An annotation of Kubernetes: all of an object's together. */
#define ANNOTATIONS_LIMIT (256u << 10)
#define PAIRS_LIMIT       1000

static const char *reason_of(int code)
{
    switch (code) {
    case -EFBIG:
        return "TooLarge";
    case -ENOTSUP:
        return "NotSupported";
    case -ENOENT:
        return "UnknownKind";
    default:
        return "BadManifest";
    }
}

int decode_bad(struct decode *d, int code, const char *at, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    unsigned line, column;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    document_locate(d->root, at, &line, &column);
    err_set(d->e, code == -ENOENT ? -EINVAL : code, reason_of(code), "%.120s:%u: %.150s: %.210s",
            d->options->file, line, at, buf_str(&text));
    text_mute(d->e->msg, strlen(d->e->msg), false);
    return d->e->code;
}

int decode_bad_at(struct decode *d, const char *at, const struct err *inner)
{
    return decode_bad(d, inner->code, at, "%s", inner->msg);
}

void decode_edit(struct decode *d, const char *at, const char *key, const char *json)
{
    if (d->n_edits == d->cap_edits) {
        d->cap_edits = d->cap_edits ? 2 * d->cap_edits : 32;
        d->edits = xrealloc(d->edits, d->cap_edits, sizeof(*d->edits));
    }
    d->edits[d->n_edits++] = (struct document_edit){at, key, json};
}

void decode_edit_string(struct decode *d, const char *at, const char *key, const char *value)
{
    struct json_writer w;
    autobuf json = BUF_INIT;

    json_writer_init(&w, &json, false);
    json_str(&w, value);
    decode_edit(d, at, key, arena_strdup(d->scratch, buf_str(&json)));
}

/* The commonest mistake: 1 and true, where "1" and "true" are meant. */
static bool is_quoting_missed(const char *msg)
{
    static const char end[] = ": expected a string";
    size_t len = strlen(msg);

    return len >= sizeof(end) && str_eq(msg + len - strlen(end), end);
}

int decode_fields(struct decode *d, const struct json_field *fields, void *target)
{
    const struct json_limits limits = {OBJECT_LIMIT_BYTES, DOCUMENT_LIMIT_DEPTH + 1};
    autosecretbuf json = BUF_INIT;
    struct err inner = ERR_INIT;
    unsigned line, column;

    document_json_add(d->root, "$", NULL, 0, &json);
    if (json_decode(json.data, json.len, limits, fields, JSON_REFUSE_UNKNOWN, target, &inner) == 0)
        return 0;
    document_locate(d->root, inner.msg, &line, &column);
    err_set(d->e, inner.code, reason_of(inner.code), "%.120s:%u: %.330s%s", d->options->file, line,
            inner.msg, is_quoting_missed(inner.msg) ? "; write it in quotes" : "");
    text_mute(d->e->msg, strlen(d->e->msg), false);
    return d->e->code;
}

int decode_name(struct decode *d, const char *at, const char *name, bool (*is_name)(const char *),
                const char *rule)
{
    if (is_name(name))
        return 0;
    return decode_bad(d, -EINVAL, at, "'%.80s' is not allowed; write %s", name, rule);
}

int decode_word(struct decode *d, const char *at, const char *text, const char *const *words,
                int otherwise, int *ret)
{
    autobuf known = BUF_INIT;
    const char *near;

    *ret = otherwise;
    if (!text)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (str_eq(text, words[i])) {
            *ret = i;
            return 0;
        }
        buf_addf(&known, "%s%s", known.len ? ", " : "", words[i]);
    }
    near = options_suggest(text, words);
    return decode_bad(d, -EINVAL, at, "'%.60s' is none of %s%s%s%s", text, buf_str(&known),
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

void decode_pairs(struct arena *a, const struct json_pairs *from, struct pod_pairs *to)
{
    to->n = from->n;
    to->v = arena_array(a, from->n, sizeof(*to->v));
    for (size_t i = 0; i < from->n; i++)
        to->v[i] =
            (struct pod_pair){arena_strdup(a, from->v[i].name), arena_strdup(a, from->v[i].value)};
}

void decode_words(struct arena *a, const struct strv *from, struct pod_words *to)
{
    to->n = from->n;
    to->v = arena_array(a, from->n, sizeof(*to->v));
    for (size_t i = 0; i < from->n; i++)
        to->v[i] = arena_strdup(a, from->v[i]);
}

/* ---- Metadata ---- */

static const char server[] = "whoever keeps the objects says it";

const struct json_field raw_meta_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_meta, name),
    JSON_FIELD("namespace", FIELD_STRING, struct raw_meta, space),
    {.name = "labels",
                                                         .type = FIELD_PAIRS,
                                                         .offset = offsetof(struct raw_meta, labels),
                                                         .limit = PAIRS_LIMIT},
    {.name = "annotations",
                                                         .type = FIELD_PAIRS,
                                                         .offset = offsetof(struct raw_meta, annotations),
                                                         .limit = PAIRS_LIMIT},
    JSON_FIELD("uid", FIELD_STRING, struct raw_meta, uid),
    JSON_FIELD("resourceVersion", FIELD_STRING, struct raw_meta, version),
    JSON_FIELD("creationTimestamp", FIELD_STRING, struct raw_meta, created),
    JSON_FIELD("deletionTimestamp", FIELD_STRING, struct raw_meta, deleted),
    JSON_OPTIONAL("deletionGracePeriodSeconds", FIELD_INT64, struct raw_meta, deletion_grace_s),
    {.name = "generation",               .type = FIELD_IGNORED, .why = server},
    {.name = "managedFields",              .type = FIELD_IGNORED, .why = server},
    {.name = "selfLink", .type = FIELD_IGNORED, .why = server},
    {.name = "ownerReferences",               .type = FIELD_IGNORED, .why = server},
    {.name = "generateName",
                                                         .type = FIELD_REFUSED,
                                                         .why = "the same manifest twice would be two objects; write a name"},
    {.name = "finalizers",                     .type = FIELD_REFUSED, .why = "nobody would remove them"},
    {0           },
};

static int labels_check(struct decode *d, const struct json_pairs *labels)
{
    for (size_t i = 0; i < labels->n; i++) {
        const char *at = decode_path(d, "$.metadata.labels.%s", labels->v[i].name);

        TRY(decode_name(d, at, labels->v[i].name, name_is_qualified, NAME_QUALIFIED_RULE));
        TRY(decode_name(d, at, labels->v[i].value, name_is_label_value, NAME_LABEL_VALUE_RULE));
    }
    return 0;
}

static int annotations_check(struct decode *d, const struct json_pairs *annotations)
{
    size_t bytes = 0;

    for (size_t i = 0; i < annotations->n; i++) {
        const char *name = annotations->v[i].name;

        TRY(decode_name(d, decode_path(d, "$.metadata.annotations.%s", name), name,
                        name_is_qualified, NAME_QUALIFIED_RULE));
        bytes += strlen(name) + strlen(annotations->v[i].value);
    }
    if (bytes > ANNOTATIONS_LIMIT)
        return decode_bad(d, -EFBIG, "$.metadata.annotations", "more than %u KiB",
                          ANNOTATIONS_LIMIT >> 10);
    return 0;
}

static bool is_uid(const char *s)
{
    return *s && strlen(s) <= 64 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") ==
               strlen(s);
}

int object_head_decode(struct decode *d, const struct raw_head *head, struct object *o)
{
    const struct raw_meta *m = &head->meta;
    const char *space = d->options->space ? d->options->space : "default";

    TRY(decode_name(d, "$.metadata.name", m->name, name_is_subdomain, NAME_SUBDOMAIN_RULE));
    if (m->space && *m->space)
        TRY(decode_name(d, "$.metadata.namespace", m->space, name_is_label, NAME_LABEL_RULE));
    TRY(labels_check(d, &m->labels));
    TRY(annotations_check(d, &m->annotations));
    o->name = arena_strdup(o->arena, m->name);
    o->space = arena_strdup(o->arena, m->space && *m->space ? m->space : space);
    decode_pairs(o->arena, &m->labels, &o->labels);
    decode_pairs(o->arena, &m->annotations, &o->annotations);
    if (!d->options->is_stored)
        return 0;
    if (m->uid)
        TRY(decode_name(d, "$.metadata.uid", m->uid, is_uid, "at most 64 of A-Za-z0-9 and '-'"));
    o->uid = arena_strdup(o->arena, m->uid);
    o->version = arena_strdup(o->arena, m->version);
    o->created = arena_strdup(o->arena, m->created);
    o->deleted = arena_strdup(o->arena, m->deleted);
    o->deletion_grace_s = m->has_deletion_grace_s ? m->deletion_grace_s : -1;
    return 0;
}

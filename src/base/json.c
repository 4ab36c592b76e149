/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

#include "base/json_load.h"
#include "base/options.h"
#include "base/secret.h"
#include "base/text.h"

/*
 * Where the decoder stands: a chain of stack frames, from which the path is only built when there
 * is an error to report.
 */
struct place {
    const struct place *up;
    const char *key; /* of an object's field; NULL: an array's entry */
    size_t index;
};

static void place_add(struct buf *out, const struct place *at)
{
    if (!at) {
        buf_addc(out, '$');
        return;
    }
    place_add(out, at->up);
    if (at->key)
        buf_addf(out, ".%.60s", at->key);
    else
        buf_addf(out, "[%zu]", at->index);
}

static int bad(const struct place *at, struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int bad(const struct place *at, struct err *e, int code, const char *fmt, ...)
{
    autobuf path = BUF_INIT;
    autobuf text = BUF_INIT;
    va_list ap;

    place_add(&path, at);
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    return err_set(e, code, code == -EFBIG ? "TooLarge" : "BadJson", "%.200s: %.250s",
                   buf_str(&path), buf_str(&text));
}

static int fields_decode(json_t *object, const struct json_field *fields, int flags, char *target,
                         const struct place *at, struct err *e);

static int length_check(size_t len, const struct json_field *f, const struct place *at,
                        struct err *e)
{
    if (f->limit && len > f->limit)
        return bad(at, e, -EFBIG, "longer than %zu bytes", f->limit);
    return 0;
}

static int count_check(size_t n, const struct json_field *f, const struct place *at, struct err *e)
{
    if (f->limit && n > f->limit)
        return bad(at, e, -EFBIG, "more than %zu entries", f->limit);
    return 0;
}

static int string_check(json_t *value, const struct json_field *f, const struct place *at,
                        struct err *e)
{
    if (!json_is_string(value))
        return bad(at, e, -EINVAL, "expected a string");
    return length_check(json_string_length(value), f, at, e);
}

static int range_check(int64_t number, const struct json_field *f, const struct place *at,
                       struct err *e)
{
    if ((f->min || f->max) && (number < f->min || number > f->max))
        return bad(at, e, -ERANGE, "%" PRId64 " is not between %" PRId64 " and %" PRId64, number,
                   f->min, f->max);
    return 0;
}

static int int_decode(json_t *value, const struct json_field *f, int64_t *field,
                      const struct place *at, struct err *e)
{
    if (!json_is_integer(value))
        return bad(at, e, -EINVAL, "expected a whole number");
    TRY(range_check(json_integer_value(value), f, at, e));
    *field = json_integer_value(value);
    return 0;
}

static int uint_decode(json_t *value, int flags, uint64_t *field, const struct place *at,
                       struct err *e)
{
    if (!json_is_integer(value))
        return bad(at, e, -EINVAL, "expected a whole number");
    if (json_integer_value(value) < 0 && !(flags & JSON_WRAP_UINT64))
        return bad(at, e, -ERANGE, "%" PRId64 " is negative", (int64_t)json_integer_value(value));
    *field = (uint64_t)json_integer_value(value);
    return 0;
}

static int list_check(json_t *value, const struct json_field *f, const char *what,
                      const struct place *at, struct err *e)
{
    if (!json_is_array(value))
        return bad(at, e, -EINVAL, "expected a list of %s", what);
    return count_check(json_array_size(value), f, at, e);
}

static int ints_decode(json_t *value, const struct json_field *f, char *target,
                       const struct place *at, struct err *e)
{
    int64_t **array = (int64_t **)(void *)(target + f->offset);
    size_t *count = (size_t *)(void *)(target + f->count_offset), i;
    json_t *item;

    TRY(list_check(value, f, "whole numbers", at, e));
    if (!json_array_size(value))
        return 0;
    *array = xcalloc(json_array_size(value), sizeof(**array));
    *count = json_array_size(value);
    json_array_foreach(value, i, item)
    {
        struct place here = {at, NULL, i};

        TRY(int_decode(item, f, *array + i, &here, e));
    }
    return 0;
}

static int strings_decode(json_t *value, const struct json_field *f, struct strv *field,
                          const struct place *at, struct err *e)
{
    size_t i;
    json_t *item;

    TRY(list_check(value, f, "strings", at, e));
    json_array_foreach(value, i, item)
    {
        struct place here = {at, NULL, i};

        if (!json_is_string(item))
            return bad(&here, e, -EINVAL, "expected a string");
        strv_add(field, json_string_value(item));
    }
    return 0;
}

static int objects_decode(json_t *value, const struct json_field *f, int flags, char *target,
                          const struct place *at, struct err *e)
{
    void **array = (void **)(target + f->offset);
    size_t *count = (size_t *)(target + f->count_offset), i;
    json_t *item;

    TRY(list_check(value, f, "objects", at, e));
    if (!json_array_size(value))
        return 0;
    *array = xcalloc(json_array_size(value), f->elem_size);
    json_array_foreach(value, i, item)
    {
        struct place here = {at, NULL, i};

        /* Counted first, so that a failure inside it is released with the rest. */
        *count = i + 1;
        TRY(fields_decode(item, f->fields, flags, (char *)*array + i * f->elem_size, &here, e));
    }
    return 0;
}

static int pairs_decode(json_t *value, const struct json_field *f, struct json_pairs *field,
                        const struct place *at, struct err *e)
{
    const char *key;
    json_t *item;

    if (!json_is_object(value))
        return bad(at, e, -EINVAL, "expected an object of strings");
    TRY(count_check(json_object_size(value), f, at, e));
    field->v = xcalloc(json_object_size(value) + 1, sizeof(*field->v));
    json_object_foreach(value, key, item)
    {
        struct place here = {at, key, 0};
        char *text = NULL;

        if (json_is_string(item))
            text = xstrdup(json_string_value(item));
        else if (f->takes_numbers && json_is_number(item))
            text = json_dumps(item, JSON_ENCODE_ANY);
        if (!text)
            return bad(&here, e, -EINVAL,
                       f->takes_numbers ? "expected a string or a number" : "expected a string");
        field->v[field->n++] = (struct json_pair){xstrdup(key), text};
    }
    return 0;
}

static int field_decode(json_t *value, const struct json_field *f, int flags, char *target,
                        const struct place *at, struct err *e)
{
    void *field = target + f->offset;
    struct err inner = ERR_INIT;

    switch (f->type) {
    case FIELD_STRING:
        TRY(string_check(value, f, at, e));
        *(char **)field = xstrdup(json_string_value(value));
        return 0;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return bad(at, e, -EINVAL, "expected true or false");
        *(bool *)field = json_is_true(value);
        return 0;
    case FIELD_INT64:
        return int_decode(value, f, field, at, e);
    case FIELD_UINT64:
        return uint_decode(value, flags, field, at, e);
    case FIELD_INT64S:
        return ints_decode(value, f, target, at, e);
    case FIELD_STRINGS:
        return strings_decode(value, f, field, at, e);
    case FIELD_OBJECT:
        return fields_decode(value, f->fields, flags, field, at, e);
    case FIELD_OBJECTS:
        return objects_decode(value, f, flags, target, at, e);
    case FIELD_RAW:
        *(char **)field = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        return *(char **)field ? 0 : bad(at, e, -ENOMEM, "cannot be copied");
    case FIELD_CUSTOM:
        TRY(string_check(value, f, at, e));
        if (f->parse(json_string_value(value), field, &inner) < 0)
            return bad(at, e, inner.code, "%s", inner.msg);
        return 0;
    case FIELD_PAIRS:
        return pairs_decode(value, f, field, at, e);
    case FIELD_IGNORED:
        return 0;
    case FIELD_REFUSED:
        return bad(at, e, -ENOTSUP, "not supported: %s", f->why);
    }
    return 0;
}

/* A table has at most as many rows as are looked at here; more would only go without suggestion. */
static const char *name_suggest(const struct json_field *fields, const char *key)
{
    const char *names[128];
    size_t n = 0;

    for (const struct json_field *f = fields; f->name && n + 1 < ARRAY_SIZE(names); f++)
        if (f->type != FIELD_REFUSED)
            names[n++] = f->name;
    names[n] = NULL;
    return options_suggest(key, names);
}

static int unknown_check(json_t *object, const struct json_field *fields, const struct place *at,
                         struct err *e)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        const struct json_field *f = fields;
        struct place here = {at, key, 0};

        while (f->name && !str_eq(f->name, key))
            f++;
        if (!f->name) {
            const char *near = name_suggest(fields, key);

            return bad(&here, e, -EINVAL, "unknown field%s%s%s", near ? "; did you mean '" : "",
                       near ? near : "", near ? "'?" : "");
        }
    }
    return 0;
}

static int fields_decode(json_t *object, const struct json_field *fields, int flags, char *target,
                         const struct place *at, struct err *e)
{
    if (!json_is_object(object))
        return bad(at, e, -EINVAL, "expected an object");
    if (flags & JSON_REFUSE_UNKNOWN)
        TRY(unknown_check(object, fields, at, e));
    for (const struct json_field *f = fields; f->name; f++) {
        json_t *value = json_object_get(object, f->name);
        struct place here = {at, f->name, 0};

        if (!value || json_is_null(value)) {
            if (f->is_required)
                return bad(&here, e, -EINVAL, "is missing");
            continue;
        }
        TRY(field_decode(value, f, flags, target, &here, e));
        if (f->has_flag)
            *(bool *)(target + f->has_offset) = true;
    }
    return 0;
}

/* The library's own depth limit (2048) is fixed when it is built; ours is the caller's. */
static int depth_check(const char *text, size_t len, int limit, struct err *e)
{
    bool is_string = false;
    int depth = 0;

    for (size_t i = 0; i < len; i++) {
        if (is_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                is_string = false;
        } else if (text[i] == '"') {
            is_string = true;
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > limit)
                return err_set(e, -EINVAL, "BadJson", "nested deeper than %d levels", limit);
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
    }
    return 0;
}

static void wiping_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void library_init(void)
{
    json_set_alloc_funcs(malloc, wiping_free);
}

/* How the library ends a message that quotes the text. */
#define QUOTE " near '"

int json_text_load(const char *text, size_t len, struct json_limits limits, bool may_quote,
                   json_t **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t error;
    char *quote;

    BUG_ON(!limits.bytes || limits.depth <= 0);
    pthread_once(&once, library_init);
    if (len > limits.bytes)
        return err_set(e, -EFBIG, "TooLarge", "the JSON text is larger than %zu bytes",
                       limits.bytes);
    TRY(depth_check(text, len, limits.depth, e));
    *ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (*ret)
        return 0;
    quote = may_quote ? NULL : strstr(error.text, QUOTE);
    if (quote)
        *quote = 0;
    return err_set(e, -EINVAL, "BadJson", "line %d, column %d: %s", error.line, error.column,
                   error.text);
}

/* Whether this is a whole number that only 64 bits without a sign hold. */
static bool is_wide(const char *number, size_t len, uint64_t *ret)
{
    char text[TEXT_UINT_SIZE + 1] = "";

    if (len > TEXT_UINT_SIZE || strspn(memcpy(text, number, len), "0123456789") != len)
        return false;
    errno = 0;
    *ret = strtoull(text, NULL, 10);
    return !errno && *ret > INT64_MAX;
}

/* Copies what may not be JSON at all, but for its wide numbers. */
static void wide_wrap(const char *text, size_t len, struct buf *out)
{
    size_t from = 0, at = 0, end;
    uint64_t number;

    while (at < len) {
        if (text[at] == '"') {
            for (at++; at < len && text[at] != '"'; at++)
                at += text[at] == '\\';
            at++;
            continue;
        }
        for (end = at; end < len && text[end] && strchr("0123456789+-.eE", text[end]); end++)
            ;
        if (end > at && is_wide(text + at, end - at, &number)) {
            buf_add(out, text + from, at - from);
            buf_addf(out, "%" PRId64, (int64_t)number);
            from = end;
        }
        at = end > at ? end : at + 1;
    }
    buf_add(out, text + from, len - from);
}

int json_decode(const char *text, size_t len, struct json_limits limits,
                const struct json_field *fields, int flags, void *target, struct err *e)
{
    autosecretbuf wrapped = BUF_INIT;
    json_t *root = NULL;
    int r;

    if (flags & JSON_WRAP_UINT64 && len <= limits.bytes) {
        /* A number of 19 digits gets a sign. */
        buf_reserve(&wrapped, len + len / 19);
        wide_wrap(text, len, &wrapped);
        text = buf_str(&wrapped);
        len = wrapped.len;
        limits.bytes = len > limits.bytes ? len : limits.bytes;
    }
    TRY(json_text_load(text, len, limits, true, &root, e));
    r = fields_decode(root, fields, flags, target, NULL, e);
    json_decref(root);
    if (r < 0)
        json_fields_done(fields, target);
    return r;
}

/* ---- Checking what was not decoded ---- */

static int fields_check(const struct json_field *fields, const char *target, const struct place *at,
                        struct err *e);

static int text_check(const char *text, const struct json_field *f, const struct place *at,
                      struct err *e)
{
    size_t len = strlen(text);

    TRY(length_check(len, f, at, e));
    return utf8_is_valid(text, len) ? 0 : bad(at, e, -EINVAL, "not UTF-8");
}

static int texts_check(const struct strv *texts, const struct json_field *f, const struct place *at,
                       struct err *e)
{
    static const struct json_field any = {0};

    TRY(count_check(texts->n, f, at, e));
    for (size_t i = 0; i < texts->n; i++) {
        struct place here = {at, NULL, i};

        TRY(text_check(texts->v[i], &any, &here, e));
    }
    return 0;
}

static int ints_check(const struct json_field *f, const char *target, const struct place *at,
                      struct err *e)
{
    const int64_t *array = *(const int64_t *const *)(const void *)(target + f->offset);
    size_t n = *(const size_t *)(const void *)(target + f->count_offset);

    TRY(count_check(n, f, at, e));
    for (size_t i = 0; i < n; i++) {
        struct place here = {at, NULL, i};

        TRY(range_check(array[i], f, &here, e));
    }
    return 0;
}

static int objects_check(const struct json_field *f, const char *target, const struct place *at,
                         struct err *e)
{
    const char *array = *(const char *const *)(const void *)(target + f->offset);
    size_t n = *(const size_t *)(const void *)(target + f->count_offset);

    TRY(count_check(n, f, at, e));
    for (size_t i = 0; i < n; i++) {
        struct place here = {at, NULL, i};

        TRY(fields_check(f->fields, array + i * f->elem_size, &here, e));
    }
    return 0;
}

static int field_check(const struct json_field *f, const char *target, const struct place *at,
                       struct err *e)
{
    const void *field = target + f->offset;
    const char *text;

    switch (f->type) {
    case FIELD_STRING:
        text = *(const char *const *)field;
        if (!text)
            return f->is_required ? bad(at, e, -EINVAL, "is missing") : 0;
        return text_check(text, f, at, e);
    case FIELD_INT64:
        return range_check(*(const int64_t *)field, f, at, e);
    case FIELD_INT64S:
        return ints_check(f, target, at, e);
    case FIELD_STRINGS:
        return texts_check(field, f, at, e);
    case FIELD_OBJECT:
        return fields_check(f->fields, field, at, e);
    case FIELD_OBJECTS:
        return objects_check(f, target, at, e);
    case FIELD_BOOL:
    case FIELD_UINT64:
    case FIELD_RAW:
        return 0;
    case FIELD_CUSTOM:
    case FIELD_PAIRS:
    case FIELD_IGNORED:
    case FIELD_REFUSED:
        break;
    }
    BUG_ON(true);
}

static int fields_check(const struct json_field *fields, const char *target, const struct place *at,
                        struct err *e)
{
    for (const struct json_field *f = fields; f->name; f++) {
        struct place here = {at, f->name, 0};

        TRY(field_check(f, target, &here, e));
    }
    return 0;
}

int json_fields_check(const struct json_field *fields, const void *target, struct err *e)
{
    return fields_check(fields, target, NULL, e);
}

/* ---- Members ----
 *
 * The library says what the keys are and that the text is JSON, but not where a value is; these
 * find it in text that is known to be well-formed. The library keeps the order of the text. */

static size_t space_skip(const char *text, size_t len, size_t at)
{
    while (at < len && strchr(" \t\r\n", text[at]))
        at++;
    BUG_ON(at >= len);
    return at;
}

static size_t string_skip(const char *text, size_t len, size_t at)
{
    BUG_ON(text[at] != '"');
    for (at++; at < len && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at + 1;
}

static size_t value_skip(const char *text, size_t len, size_t at)
{
    int depth = 0;

    do {
        BUG_ON(at >= len);
        depth += (text[at] == '{' || text[at] == '[') - (text[at] == '}' || text[at] == ']');
        at = text[at] == '"' ? string_skip(text, len, at) : at + 1;
        BUG_ON(at >= len);
    } while (depth || !strchr(",} \t\r\n", text[at]));
    return at;
}

/* One member of which `at` is the start; returns what follows its comma or the closing brace. */
static size_t member_take(const char *text, size_t len, size_t at, struct json_member *m)
{
    at = space_skip(text, len, at);
    at = string_skip(text, len, at);
    at = space_skip(text, len, at);
    BUG_ON(text[at] != ':');
    at = space_skip(text, len, at + 1);
    m->value = text + at;
    at = value_skip(text, len, at);
    m->len = (size_t)(text + at - m->value);
    return space_skip(text, len, at) + 1;
}

int json_members_decode(const char *text, size_t len, struct json_limits limits,
                        struct json_members *ret, struct err *e)
{
    struct json_members m = {0};
    json_t *root = NULL, *value;
    const char *key;
    size_t at;

    TRY(json_text_load(text, len, limits, false, &root, e));
    if (!json_is_object(root)) {
        json_decref(root);
        return bad(NULL, e, -EINVAL, "expected an object");
    }
    m.v = xcalloc(json_object_size(root) + 1, sizeof(*m.v));
    at = space_skip(text, len, 0) + 1;
    json_object_foreach(root, key, value)
    {
        at = member_take(text, len, at, &m.v[m.n]);
        m.v[m.n++].key = xstrdup(key);
    }
    json_decref(root);
    *ret = m;
    return 0;
}

const struct json_member *json_member_find(const struct json_members *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->v[i].key, key))
            return &m->v[i];
    return NULL;
}

void json_members_done(struct json_members *m)
{
    for (size_t i = 0; i < m->n; i++)
        secret_free(m->v[i].key);
    free(m->v);
    *m = (struct json_members){0};
}

static void pairs_done(struct json_pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        secret_free(p->v[i].name);
        secret_free(p->v[i].value);
    }
    free(p->v);
    *p = (struct json_pairs){0};
}

static void objects_done(const struct json_field *f, char *target)
{
    void **array = (void **)(target + f->offset);
    size_t *count = (size_t *)(target + f->count_offset);

    for (size_t i = 0; i < *count; i++)
        json_fields_done(f->fields, (char *)*array + i * f->elem_size);
    free(*array);
    *array = NULL;
    *count = 0;
}

void json_fields_done(const struct json_field *fields, void *target)
{
    for (const struct json_field *f = fields; f->name; f++) {
        void *field = (char *)target + f->offset;

        switch (f->type) {
        case FIELD_STRING:
        case FIELD_RAW:
            secret_free(*(char **)field);
            *(char **)field = NULL;
            break;
        case FIELD_STRINGS:
            strv_done(field);
            break;
        case FIELD_OBJECT:
            json_fields_done(f->fields, field);
            break;
        case FIELD_OBJECTS:
            objects_done(f, target);
            break;
        case FIELD_PAIRS:
            pairs_done(field);
            break;
        case FIELD_INT64S:
            free(*(int64_t **)field);
            *(int64_t **)field = NULL;
            *(size_t *)(void *)((char *)target + f->count_offset) = 0;
            break;
        case FIELD_IGNORED:
        case FIELD_REFUSED:
        case FIELD_BOOL:
        case FIELD_INT64:
        case FIELD_UINT64:
        case FIELD_CUSTOM:
            break;
        }
    }
}

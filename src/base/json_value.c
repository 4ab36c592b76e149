/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_value.h"

#include <inttypes.h>

#include "base/json_load.h"

/* The library's functions take no constant trees and change nothing of them. */
static json_t *tree(const struct json_value *v)
{
    return (json_t *)(uintptr_t)v;
}

int json_value_parse(const char *text, size_t len, struct json_limits limits,
                     struct json_value **ret, struct err *e)
{
    json_t *root;

    TRY(json_text_load(text, len, limits, false, &root, e));
    *ret = (struct json_value *)root;
    return 0;
}

void json_value_free(struct json_value *v)
{
    json_decref(tree(v));
}

enum json_value_type json_value_type(const struct json_value *v)
{
    if (!v)
        return JSON_VALUE_NULL;
    switch (json_typeof(tree(v))) {
    case JSON_OBJECT:
        return JSON_VALUE_MAP;
    case JSON_ARRAY:
        return JSON_VALUE_LIST;
    case JSON_STRING:
        return JSON_VALUE_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_VALUE_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_VALUE_BOOL;
    case JSON_NULL:
    default:
        return JSON_VALUE_NULL;
    }
}

const struct json_value *json_value_member(const struct json_value *map, const char *key)
{
    return (const struct json_value *)json_object_get(tree(map), key);
}

const struct json_value *json_value_at(const struct json_value *v, const char *path)
{
    while (v && *path) {
        size_t len = strcspn(path, ".");
        autofree char *key = xstrndup(path, len);

        v = json_value_member(v, key);
        path += len + (path[len] == '.');
    }
    return v;
}

size_t json_value_count(const struct json_value *v)
{
    return json_is_object(tree(v)) ? json_object_size(tree(v)) : json_array_size(tree(v));
}

const struct json_value *json_value_item(const struct json_value *list, size_t i)
{
    return (const struct json_value *)json_array_get(tree(list), i);
}

const char *json_value_str(const struct json_value *v, const char *path)
{
    return json_string_value(tree(json_value_at(v, path)));
}

int64_t json_value_int(const struct json_value *v, const char *path, int64_t otherwise)
{
    const json_t *at = tree(json_value_at(v, path));

    return json_is_integer(at) ? json_integer_value(at) : otherwise;
}

bool json_value_bool(const struct json_value *v, const char *path)
{
    return json_is_true(tree(json_value_at(v, path)));
}

void json_value_number_add(const struct json_value *v, struct buf *out)
{
    char *text = json_dumps(tree(v), JSON_ENCODE_ANY);

    buf_addstr(out, text ? text : "0");
    free(text);
}

bool json_value_next(const struct json_value *map, struct json_value_each *i)
{
    i->at = i->at ? json_object_iter_next(tree(map), i->at) : json_object_iter(tree(map));
    if (!i->at)
        return false;
    i->key = json_object_iter_key(i->at);
    i->value = (const struct json_value *)json_object_iter_value(i->at);
    return true;
}

static int dump_add(const char *text, size_t len, void *out)
{
    buf_add(out, text, len);
    return 0;
}

void json_value_write(const struct json_value *v, bool is_pretty, struct buf *out)
{
    json_dump_callback(tree(v), dump_add, out,
                       JSON_ENCODE_ANY | (is_pretty ? (size_t)JSON_INDENT(4) : JSON_COMPACT));
}

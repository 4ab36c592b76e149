/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"

/*
 * JSON that is looked at, where a table of fields (json.h) says too much: a tree of constant
 * values. Everything is NULL-safe: what is absent, null or of another type reads as the default, so
 * that who shows a stranger's object writes what he wants to see and no checks. All values live as
 * long as the root, which json_value_free() ends (and wipes).
 */
struct json_value;

enum json_value_type {
    JSON_VALUE_NULL, /* also: absent */
    JSON_VALUE_BOOL,
    JSON_VALUE_NUMBER,
    JSON_VALUE_STRING,
    JSON_VALUE_LIST,
    JSON_VALUE_MAP,
};

/* Any one value but a bare string or number: an object or a list. Errors as those of json_decode(),
 * but nothing of the text is repeated in them. */
int json_value_parse(const char *text, size_t len, struct json_limits limits,
                     struct json_value **ret, struct err *e);
void json_value_free(struct json_value *v); /* the root only */
DEFINE_AUTO(json_value);

enum json_value_type json_value_type(const struct json_value *v);

/* The member of that very name. */
const struct json_value *json_value_member(const struct json_value *map, const char *key);
/* Down through maps: "status.phase". Keys that have dots are for json_value_member(). */
const struct json_value *json_value_at(const struct json_value *v, const char *path);

/* Of a list, or a map. */
size_t json_value_count(const struct json_value *v);
/* Of a list; NULL behind its end. */
const struct json_value *json_value_item(const struct json_value *list, size_t i);

/* What is at the path ("": the value itself) when it is of the type asked for. */
const char *json_value_str(const struct json_value *v, const char *path); /* NULL: none */
int64_t json_value_int(const struct json_value *v, const char *path, int64_t otherwise);
bool json_value_bool(const struct json_value *v, const char *path);
/* A number as JSON writes it. */
void json_value_number_add(const struct json_value *v, struct buf *out);

/* The members of a map in the order of the text: `struct json_value_each i = {0};
 * while (json_value_next(map, &i))`. */
struct json_value_each {
    const char *key;
    const struct json_value *value;
    void *at;
};
bool json_value_next(const struct json_value *map, struct json_value_each *i);

/* Appends it as JSON: is_pretty with four blanks for each level, as kubectl does. */
void json_value_write(const struct json_value *v, bool is_pretty, struct buf *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/*
 * TOML 1.0 as the configuration files of container tools use it: tables, arrays of tables, dotted
 * and quoted keys, inline tables, arrays, strings of one line, true and false, decimal integers.
 * What TOML has besides (other numbers, dates, strings of several lines) is an error that says so,
 * and so is everything that TOML itself refuses, such as a key that is there twice.
 */
enum toml_type { TOML_STRING, TOML_BOOL, TOML_ARRAY, TOML_TABLE, TOML_INTEGER };

/* One value of a document, which owns what is in it. */
struct toml {
    enum toml_type type;
    unsigned line;      /* where it begins, from 1 */
    char *key;          /* in its table; NULL in an array, and of the document */
    char *string;       /* TOML_STRING: UTF-8 without a NUL in it; TOML_INTEGER: [-]digits */
    bool is_true;       /* TOML_BOOL */
    struct toml *items; /* of an array or a table, in the order of the text */
    size_t n;
    int origin; /* of an array or a table; for the reader */
};

#define TOML_LIMIT_BYTES (1u << 20) /* of a text */
#define TOML_DEPTH_LIMIT 16         /* of tables and arrays within each other */
#define TOML_ITEMS_LIMIT 10000      /* of one table or array */

/* The document is a table. "BadToml" (-EINVAL) begins with `name` and the line: "NAME:12: ...". */
int toml_parse(struct text text, const char *name, struct toml *ret, struct err *e);
void toml_done(struct toml *t);
#define autotoml __attribute__((cleanup(toml_done))) struct toml

/* The value of a key in a table; NULL without it. */
const struct toml *toml_find(const struct toml *table, const char *key);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/util.h"

/*
 * A growable vector of owned strings.
 *
 * `v` is NULL while nothing was added, otherwise v[n] is NULL, so it can be passed to execve().
 */
struct strv {
    char **v;
    size_t n;
};

#define STRV_INIT ((struct strv){0})

void strv_add(struct strv *s, const char *text); /* copies */
void strv_addn(struct strv *s, const char *text, size_t len);
void strv_addf(struct strv *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_add_owned(struct strv *s, char *text); /* takes `text`, a heap string */

/* Copies every string of a NULL-terminated array; NULL counts as empty. */
void strv_addv(struct strv *s, char *const *v);

/* Moves the whole vector to the caller and leaves an empty one. */
struct strv strv_take(struct strv *s);

/* The strings as an array that ends with NULL, also when nothing was added. */
const char *const *strv_array(const struct strv *s);

/* Of NAME=VALUE strings the one with the name that `text` has; NULL when there is none. */
char **strv_variable_find(const struct strv *s, const char *text);

/* Takes NAME=VALUE, a heap string, in the place of the one with that name, or at the end. */
void strv_variable_put(struct strv *s, char *text);

bool strv_contains(const struct strv *s, const char *text);

void strv_done(struct strv *s);

/* A local vector that is released at the end of its scope: `autostrv s = STRV_INIT;` */
#define autostrv __attribute__((cleanup(strv_done))) struct strv

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guests that check themselves share. A program makes everything below one folder,
 * reports each check with a line `ok <what>` or `FAIL <what>: <detail>`, and returns
 * check_status() from main(), after it removed the folder.
 */

#ifndef GUESTS_CHECK_H
#define GUESTS_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* The host's folder that every family is given. */
#define WORK "/work"

/* errno is cleared first, so that a failed comparison does not blame an older failure. */
#define CHECK(what, expr) (errno = 0, check_true((expr), (what), #expr))

/* Holds if `call` gives -1 with the errno `wanted`. */
#define CHECK_FAILS(what, call, wanted) (errno = 0, check_errno((call), (wanted), (what), #call))

bool check_true(bool held, const char *what, const char *expr);
bool check_errno(long long result, int wanted, const char *what, const char *call);

/* 0 if every check so far held, else 1. */
int check_status(void);

/* Makes an empty folder, after removing what a run that was killed may have left. */
void work_make(const char *path);

/* Removes the folder and all in it, without following links, and checks that this works. */
void work_remove(const char *path);

/* Writes a whole file, or reads one as text into `text`, which is always terminated. */
bool file_put(const char *path, const char *text);
bool file_get(const char *path, char *text, size_t size);
bool file_is(const char *path, const char *text);

#endif

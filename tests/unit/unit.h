/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every unit test includes: cmocka needs these headers before its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

/* The call succeeds; otherwise its message is shown. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        int unit_r_ = (call);                                                                      \
        if (unit_r_ < 0) {                                                                         \
            fail_msg("%s: %s", #call, e.msg);                                                      \
            __builtin_unreachable(); /* which cmocka does not declare */                           \
        }                                                                                          \
    } while (0)

/* The call fails with this errno and reason, in *e. */
#define assert_fails(call, code_, reason_)                                                         \
    do {                                                                                           \
        assert_int_equal((call), (code_));                                                         \
        assert_int_equal(e.code, (code_));                                                         \
        assert_string_equal(e.reason, (reason_));                                                  \
    } while (0)

#define assert_contains(text, part)                                                                \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("'%s' is not in '%s'", (part), (text));                                       \
    } while (0)

/* A fresh folder below /tmp; the caller frees the name and removes the folder. */
static inline char *unit_temp_dir(void)
{
    char *path = strdup("/tmp/wherry-unit-XXXXXX");

    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline int unit_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Removes the folder with all that is in it, and frees its name. */
static inline void unit_remove(char *dir)
{
    assert_int_equal(nftw(dir, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(dir);
}

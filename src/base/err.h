/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

/*
 * An error that can be told to a person.
 *
 * The caller owns the storage and passes it down; a function that fails fills it once and returns
 * the same negative errno that it put into `code`. Functions leave their outputs untouched on
 * failure. Passing NULL is not allowed. The layout is part of the ABI between C and the engine
 * crate (src/engine/src/err.rs).
 */
struct err {
    int code; /* negative errno; 0 while nothing failed */
    const char
        *reason;   /* stable CamelCase word in static storage, for tests, metrics, Kubernetes */
    char msg[488]; /* a sentence for people: what failed, on what, why, what to do next */
};

#define ERR_INIT ((struct err){0})

/* The text of an errno value, in static storage; NULL when there is no such error. */
const char *err_text(int errno_value);

/* Fills *e and returns `code`, so that a failing path is one return statement. */
int err_set(struct err *e, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* As err_set(), with ": <text of errno -code>" appended. */
int err_errno(struct err *e, int code, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "<formatted text>: " in front of the message that *e already carries; returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds what another attempt of the same kind said: "<one>; <another>". The first of them gives code
 * and reason; of each there is a part when both do not fit. Returns e->code. */
int err_join(struct err *e, const struct err *another);

#ifdef __clang_analyzer__
/* It does not see that these never succeed, and would warn of what follows then. */
static inline int err_negative_(int code)
{
    __builtin_assume(code < 0);
    return code;
}
#define err_set(...)    err_negative_(err_set(__VA_ARGS__))
#define err_errno(...)  err_negative_(err_errno(__VA_ARGS__))
#define err_prefix(...) err_negative_(err_prefix(__VA_ARGS__))
#endif

/* The only macro that hides a return: passes a negative result up. */
#define TRY(x)                                                                                     \
    do {                                                                                           \
        int try_result_ = (x);                                                                     \
        if (try_result_ < 0)                                                                       \
            return try_result_;                                                                    \
    } while (0)

/* Ends the process for a contradiction inside wherry; never for input. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            bug_(__FILE__, __LINE__, #cond);                                                       \
    } while (0)

_Noreturn void bug_(const char *file, int line, const char *what);

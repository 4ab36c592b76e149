/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __clang_analyzer__
#undef err_set
#undef err_errno
#undef err_prefix
#endif

int err_set(struct err *e, int code, const char *reason, const char *fmt, ...)
{
    va_list ap;

    BUG_ON(code >= 0);
    e->code = code;
    e->reason = reason;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    return code;
}

const char *err_text(int errno_value)
{
#ifdef __GLIBC__
    /* strerror() is neither thread-safe nor free of locale lookups here; this is a table. */
    return strerrordesc_np(errno_value);
#else
    return strerror(errno_value);
#endif
}

int err_errno(struct err *e, int code, const char *reason, const char *fmt, ...)
{
    va_list ap;
    size_t used;

    BUG_ON(code >= 0);
    e->code = code;
    e->reason = reason;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    used = strlen(e->msg);
    const char *text = err_text(-code);
    if (text)
        snprintf(e->msg + used, sizeof(e->msg) - used, ": %s", text);
    else
        snprintf(e->msg + used, sizeof(e->msg) - used, ": error %d", -code);
    return code;
}

/* What does not fit is cut off. */
static void msg_add(struct err *e, const char *text)
{
    size_t used = strlen(e->msg), n = strnlen(text, sizeof(e->msg) - 1 - used);

    memcpy(e->msg + used, text, n);
    e->msg[used + n] = 0;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof(e->msg)];
    va_list ap;

    memcpy(old, e->msg, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
    va_end(ap);
    msg_add(e, ": ");
    msg_add(e, old);
    return e->code;
}

int err_join(struct err *e, const struct err *another)
{
    const size_t half = sizeof(e->msg) / 2;
    size_t used;

    if (!e->code) {
        *e = *another;
        return e->code;
    }
    used = strlen(e->msg);
    if (used > half && used + strlen(another->msg) > sizeof(e->msg) - sizeof("; "))
        e->msg[half] = 0;
    msg_add(e, "; ");
    msg_add(e, another->msg);
    return e->code;
}

_Noreturn void bug_(const char *file, int line, const char *what)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "wherry: BUG at %s:%d: %s\n", file, line, what);
    size_t len = n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;

    /* Straight to the descriptor: stdio may be in any state here. */
    if (write(STDERR_FILENO, text, len) < 0)
        abort();
    abort();
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Ownership helpers. A local that owns something carries its cleanup attribute and is given away
 * with take_ptr() or take_fd(), which leave NULL or -EBADF behind.
 */

static inline void free_cleanup_(void *p)
{
    free(*(void **)p);
}

static inline void close_cleanup_(const int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

#define autofree __attribute__((cleanup(free_cleanup_)))
#define autofd   __attribute__((cleanup(close_cleanup_))) int

/* AUTO(thing) declares `struct thing *` released by thing_free(); needs DEFINE_AUTO(thing). */
#define DEFINE_AUTO(name)                                                                          \
    static inline void name##_cleanup_(struct name **p)                                            \
    {                                                                                              \
        if (*p)                                                                                    \
            name##_free(*p);                                                                       \
    }                                                                                              \
    struct name
#define AUTO(name) __attribute__((cleanup(name##_cleanup_))) struct name *

#define take_ptr(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -EBADF;
    return taken;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Of an errno, whatever its sign. */
static inline bool errno_is_disk_full(int code)
{
    return abs(code) == ENOSPC || abs(code) == EDQUOT;
}

static inline bool str_eq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* The length of what comes before the suffix; 0 when that is nothing, or the text ends otherwise.
 */
static inline size_t str_stem(const char *s, const char *suffix)
{
    size_t len = strlen(s), end = strlen(suffix);

    return len > end && str_eq(s + len - end, suffix) ? len - end : 0;
}

/* The struct that a link of it is in. */
#define LINK_OF(type, member, link) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Small allocations that cannot sensibly fail: they end the process instead. Sizes that come from
 * outside are checked by the caller first. */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));
void *xrealloc(void *p, size_t n, size_t size) __attribute__((alloc_size(2, 3)));
char *xstrdup(const char *s) __attribute__((malloc));
char *xstrndup(const char *s, size_t n) __attribute__((malloc));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc));

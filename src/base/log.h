/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * Messages for people, on standard error: "wherry: <text>". One line is one write(2), so lines of
 * several threads and processes do not mix; control characters in the text are escaped, because
 * names in it come from strangers. Only the layer that turns an error into a decision logs it.
 */
enum log_level {
    LOG_LEVEL_ERROR = 0,
    LOG_LEVEL_WARN = 1, /* the default */
    LOG_LEVEL_INFO = 2, /* -v */
    LOG_LEVEL_DEBUG = 3 /* -vv */
};

/* Set once at start, before threads exist. */
void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* The word before the colon, "wherry" by default; `name` must stay valid. */
void log_name_set(const char *name);

/* True when `fd` is a terminal and NO_COLOR is unset or empty, and TERM is not "dumb". */
bool log_has_colour(int fd);

void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_msg(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

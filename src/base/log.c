/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/util.h"

static enum log_level current_level = LOG_LEVEL_WARN;
static const char *current_name = "wherry";

void log_level_set(enum log_level level)
{
    current_level = level;
}

enum log_level log_level_get(void)
{
    return current_level;
}

void log_name_set(const char *name)
{
    current_name = name;
}

bool log_has_colour(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (no_color && *no_color)
        return false;
    if (term && str_eq(term, "dumb"))
        return false;
    return isatty(fd);
}

static const char *level_prefix(enum log_level level, bool has_colour)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return has_colour ? "\033[1;31merror:\033[0m " : "";
    case LOG_LEVEL_WARN:
        return has_colour ? "\033[1;33mwarning:\033[0m " : "warning: ";
    case LOG_LEVEL_INFO:
        return "";
    case LOG_LEVEL_DEBUG:
        return has_colour ? "\033[2mdebug:\033[0m " : "debug: ";
    }
    return "";
}

/* A file name with an escape sequence in it must not drive the reader's terminal. */
static void add_escaped(struct buf *line, const char *text)
{
    for (const char *s = text; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
            buf_addf(line, "\\x%02x", c);
        else
            buf_addc(line, *s);
    }
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    autobuf line = BUF_INIT;
    int saved = errno;
    va_list ap;

    if (level > current_level)
        return;
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    buf_addf(&line, "%s: %s", current_name, level_prefix(level, log_has_colour(STDERR_FILENO)));
    add_escaped(&line, buf_str(&text));
    buf_addc(&line, '\n');
    /* Nothing can be told to anybody when standard error is gone. */
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored;
    errno = saved;
}

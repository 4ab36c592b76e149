/* SPDX-License-Identifier: Apache-2.0 */
/* true, false, pwd, env, ps, sleep, date, seq, basename, dirname */
#include <stdio.h>
#include <time.h>

#include "toolbox/shell.h"

int tool_true(struct job *j)
{
    (void)j;
    return 0;
}

int tool_false(struct job *j)
{
    (void)j;
    return 1;
}

int tool_pwd(struct job *j)
{
    autofree char *path = j->sh ? xstrdup(j->sh->cwd) : getcwd(NULL, 0);

    if (!path)
        return job_errno(j, ".");
    stream_printf(j->out, "%s\n", path);
    return 0;
}

static int run_with(struct job *j, const struct strv *env, char **argv, int argc)
{
    const struct tool *tool = toolbox_find(argv[0]);
    struct job inner = *j;

    if (!tool)
        return job_error(j, "%s: not found", argv[0]) + 126;
    inner.env = env;
    inner.argc = argc;
    inner.argv = argv;
    return tool->run(&inner);
}

int tool_env(struct job *j)
{
    struct opts o = OPTS(j, "iu:");
    autostrv env = STRV_INIT, removed = STRV_INIT;
    bool is_empty = false;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 125;
        if (c == 'i')
            is_empty = true;
        else
            strv_addf(&removed, "%s=", o.value);
    }
    for (size_t i = 0; i < j->env->n && !is_empty; i++)
        if (!strv_variable_find(&removed, j->env->v[i]))
            strv_add(&env, j->env->v[i]);
    for (; o.next < j->argc && strchr(j->argv[o.next], '='); o.next++)
        strv_variable_put(&env, xstrdup(j->argv[o.next]));
    if (o.next < j->argc)
        return run_with(j, &env, j->argv + o.next, j->argc - o.next);
    for (size_t i = 0; i < env.n; i++)
        stream_printf(j->out, "%s\n", env.v[i]);
    return 0;
}

/* A guest sees no process but itself: WASI has no such thing. */
int tool_ps(struct job *j)
{
    const char *container = NULL;

    for (size_t i = 0; i < j->env->n; i++)
        if (str_starts(j->env->v[i], "WHERRY_CONTAINER="))
            container = strchr(j->env->v[i], '=') + 1;
    stream_puts(j->out, "PID   COMMAND\n");
    if (container) {
        stream_puts(j->out, "    1 ");
        for (const char *c = container; *c; c++)
            stream_write(j->out, (unsigned char)*c < ' ' ? " " : c, 1); /* scripts have lines */
        stream_puts(j->out, "\n");
    }
    stream_puts(j->out, container ? "    - " : "    1 ");
    for (int i = 0; i < j->argc; i++)
        stream_printf(j->out, "%s%s", i ? " " : "", j->argv[i]);
    stream_puts(j->out, "\n");
    return 0;
}

/* 1, 0.5, 2m ... in nanoseconds; negative for no duration. */
static int64_t duration_ns(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || !(seconds >= 0) || seconds > 1e9)
        return -1;
    if (*end == 'm')
        seconds *= 60;
    else if (*end == 'h')
        seconds *= 3600;
    else if (*end == 'd')
        seconds *= 86400;
    else if (*end && *end != 's')
        return -1;
    return *end && end[1] ? -1 : (int64_t)(seconds * 1e9);
}

int tool_sleep(struct job *j)
{
    int64_t total = 0;
    struct timespec t;

    if (j->argc < 2)
        return job_error(j, "missing operand");
    for (int i = 1; i < j->argc; i++) {
        int64_t ns = duration_ns(j->argv[i]);

        if (ns < 0)
            return job_error(j, "invalid time interval '%s'", j->argv[i]);
        total += ns;
        if (total > INT64_MAX / 2)
            return job_error(j, "too long");
    }
    stream_flush(j->out);
    t.tv_sec = (time_t)(total / 1000000000);
    t.tv_nsec = (long)(total % 1000000000);
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
    return 0;
}

/* In UTC: a guest has no time zone. */
int tool_date(struct job *j)
{
    struct opts o = OPTS(j, "ud:");
    const char *format = "%a %b %e %H:%M:%S UTC %Y";
    time_t now = time(NULL);
    long long seconds;
    char text[256];
    struct tm tm;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        if (c == 'd') {
            if (*o.value != '@' || !number_parse(o.value + 1, 253402300799, &seconds))
                return job_error(j, "invalid date '%s'", o.value);
            now = (time_t)seconds;
        }
    }
    if (o.next < j->argc) {
        if (j->argv[o.next][0] != '+')
            return job_error(j, "the time cannot be set");
        format = j->argv[o.next] + 1;
    }
    gmtime_r(&now, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    text[strftime(text, sizeof(text), format, &tm)] = '\0';
#pragma GCC diagnostic pop
    stream_printf(j->out, "%s\n", text);
    return 0;
}

int tool_seq(struct job *j)
{
    long long values[3] = {1, 1, 1}; /* first, step, last */
    int n = j->argc - 1;

    if (n < 1 || n > 3)
        return job_error(j, "usage: seq [FIRST [STEP]] LAST");
    for (int i = 1; i <= n; i++) {
        const char *text = j->argv[i];
        long long *value = &values[i == n ? 2 : i == 1 ? 0 : 1];

        if (!number_parse(text + (*text == '-'), 1LL << 60, value))
            return job_error(j, "invalid number '%s'", text);
        if (*text == '-')
            *value = -*value;
    }
    if (!values[1])
        return job_error(j, "the step is zero");
    for (long long i = values[0]; values[1] > 0 ? i <= values[2] : i >= values[2]; i += values[1])
        if (stream_printf(j->out, "%lld\n", i) < 0)
            return 1;
    return 0;
}

int tool_basename(struct job *j)
{
    const char *last, *suffix = j->argc > 2 ? j->argv[2] : "";
    autofree char *path = NULL;
    size_t stem;

    if (j->argc < 2)
        return job_error(j, "missing operand");
    path = xstrdup(j->argv[1]);
    last = path_last(path);
    stem = str_stem(last, suffix);
    stream_printf(j->out, "%.*s\n", (int)(stem ? stem : strlen(last)), last);
    return 0;
}

int tool_dirname(struct job *j)
{
    autofree char *path = NULL;
    size_t len;

    if (j->argc < 2)
        return job_error(j, "missing operand");
    path = xstrdup(j->argv[1]);
    path_last(path);
    len = strlen(path);
    while (len && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (!len)
        stream_puts(j->out, ".\n");
    else
        stream_printf(j->out, "%.*s\n", (int)len, path);
    return 0;
}

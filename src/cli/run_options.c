/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_options.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/json.h"

static bool ends_with(const char *text, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);

    return len >= n && !memcmp(text + len - n, suffix, n);
}

int dir_grant_parse(const char *text, struct dir_grant *ret, struct err *e)
{
    size_t len = strlen(text), host_len;
    bool is_read_only = ends_with(text, len, ":ro");
    const char *guest, *between;

    if (is_read_only || ends_with(text, len, ":rw"))
        len -= 3;
    between = memmem(text, len, "::", 2);
    host_len = between ? (size_t)(between - text) : len;
    guest = between ? between + 2 : text;
    if (!host_len || guest == text + len)
        return err_set(e, -EINVAL, "BadUsage",
                       "--dir '%.200s' names no folder; write HOST, HOST::GUEST or HOST::GUEST:ro",
                       text);
    if (!utf8_is_valid(text, len))
        return err_set(e, -EINVAL, "BadUsage", "--dir '%.200s' is not UTF-8 text", text);
    ret->host = xstrndup(text, host_len);
    ret->guest = xstrndup(guest, len - (size_t)(guest - text));
    ret->is_read_only = is_read_only;
    return 0;
}

void dir_grant_done(struct dir_grant *d)
{
    free(d->host);
    free(d->guest);
    *d = (struct dir_grant){0};
}

/* Takes "NAME=VALUE" text; replaces a variable of the same name. */
static int env_put(struct strv *env, char *text, struct err *e)
{
    if (env->n >= ENV_LIMIT && !strv_variable_find(env, text)) {
        free(text);
        return err_set(e, -E2BIG, "BadUsage", "more than %d environment variables", ENV_LIMIT);
    }
    strv_variable_put(env, text);
    return 0;
}

/* `len` bytes of text, without NUL among them. */
static int env_parse_n(const char *text, size_t len, struct strv *env, struct err *e)
{
    const char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    autofree char *name = xstrndup(text, name_len);
    const char *inherited;

    if (!name_len)
        return err_set(e, -EINVAL, "BadUsage", "a variable without a name: '%.*s'",
                       (int)(len < 200 ? len : 200), text);
    for (size_t i = 0; i < name_len; i++)
        if (isspace((unsigned char)name[i]))
            return err_set(e, -EINVAL, "BadUsage",
                           "the name of variable '%.200s' has a space in it", name);
    if (!utf8_is_valid(text, len))
        return err_set(e, -EINVAL, "BadUsage", "variable '%.200s' is not UTF-8 text", name);
    if (equals)
        return env_put(env, xstrndup(text, len), e);
    inherited = getenv(name);
    if (!inherited)
        return 0;
    if (!utf8_is_valid(inherited, strlen(inherited)))
        return err_set(e, -EINVAL, "BadUsage", "variable '%.200s' is not UTF-8 text", name);
    return env_put(env, xasprintf("%s=%s", name, inherited), e);
}

int env_parse(const char *text, struct strv *env, struct err *e)
{
    if (env_parse_n(text, strlen(text), env, e) < 0)
        return err_prefix(e, "--env");
    return 0;
}

static int env_line_parse(const char *line, size_t len, struct strv *env, struct err *e)
{
    if (len && line[len - 1] == '\r')
        len--;
    while (len && isspace((unsigned char)*line)) {
        line++;
        len--;
    }
    if (!len || *line == '#')
        return 0;
    if (len > ENV_FILE_LINE_LIMIT)
        return err_set(e, -E2BIG, "BadUsage", "the line is longer than %d bytes",
                       ENV_FILE_LINE_LIMIT);
    if (memchr(line, 0, len))
        return err_set(e, -EINVAL, "BadUsage", "the line has a NUL byte in it");
    return env_parse_n(line, len, env, e);
}

/* Fills *env, also with what was read before an error. */
static int env_lines_parse(const char *path, const char *text, size_t len, struct strv *env,
                           struct err *e)
{
    static const char bom[] = "\xef\xbb\xbf";
    unsigned number = 0;

    if (len >= 3 && !memcmp(text, bom, 3)) {
        text += 3;
        len -= 3;
    }
    while (len) {
        const char *newline = memchr(text, '\n', len);
        size_t line_len = newline ? (size_t)(newline - text) : len;

        number++;
        if (env_line_parse(text, line_len, env, e) < 0)
            return err_prefix(e, "%.200s:%u", path, number);
        line_len += newline != NULL;
        text += line_len;
        len -= line_len;
    }
    return 0;
}

int env_file_parse(const char *path, const char *text, size_t len, struct strv *env, struct err *e)
{
    autostrv all = STRV_INIT;

    strv_addv(&all, env->v);
    TRY(env_lines_parse(path, text, len, &all, e));
    strv_done(env);
    *env = strv_take(&all);
    return 0;
}

int env_collect(const struct strv *files, const struct strv *texts, struct strv *env, struct err *e)
{
    autostrv all = STRV_INIT;

    for (size_t i = 0; i < files->n; i++) {
        autobuf content = BUF_INIT;

        if (file_read(files->v[i], ENV_FILE_LIMIT_BYTES, &content, e) < 0) {
            /* Not the reason of the file: "NotFound" is for the program. */
            e->reason = "EnvFileFailed";
            return err_prefix(e, "--env-file");
        }
        TRY(env_file_parse(files->v[i], buf_str(&content), content.len, &all, e));
    }
    for (size_t i = 0; i < texts->n; i++)
        TRY(env_parse(texts->v[i], &all, e));
    strv_done(env);
    *env = strv_take(&all);
    return 0;
}

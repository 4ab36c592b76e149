/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <ctype.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/toml.h"

struct load {
    struct config *config;
    const struct config_source *source;
    void *target;
    bool *given; /* by row; by the command line, then by what was read so far */
    struct err *e;
};

static bool is_file_row(const struct load *l, const struct option_spec *o)
{
    return str_eq(o->name, l->source->file_option);
}

/* The text as the row has it, which then points into the configuration. */
static int text_set(struct load *l, size_t row, const char *text, struct err *e)
{
    const struct option_spec *o = &l->config->command->options[row];
    struct strv *texts = &l->config->rows[row].texts;

    strv_add(texts, text);
    return option_set(o, texts->v[texts->n - 1], l->target, e);
}

static int flag_set(struct load *l, const struct option_spec *o, const char *text, struct err *e)
{
    bool is_true = str_eq(text, "true") || str_eq(text, "1");

    if (!is_true && !str_eq(text, "false") && !str_eq(text, "0"))
        return err_set(e, -EINVAL, "BadValue", "'%.60s' is neither true nor false", text);
    *(bool *)(void *)((char *)l->target + o->offset) = is_true;
    return 0;
}

static int count_set(struct load *l, const struct option_spec *o, const char *text, struct err *e)
{
    if (!isdigit((unsigned char)text[0]) || text[1])
        return err_set(e, -EINVAL, "BadValue", "'%.60s' is not a number from 0 to 9", text);
    *(int *)(void *)((char *)l->target + o->offset) = text[0] - '0';
    return 0;
}

static int value_set(struct load *l, size_t row, const char *text, struct err *e)
{
    const struct option_spec *o = &l->config->command->options[row];

    if (o->type == OPTION_FLAG)
        return flag_set(l, o, text, e);
    if (o->type == OPTION_COUNT)
        return count_set(l, o, text, e);
    return text_set(l, row, text, e);
}

static void origin_set(struct load *l, size_t row, char *origin)
{
    free(l->config->rows[row].origin);
    l->config->rows[row].origin = origin;
    l->given[row] = true;
}

/* ---- The environment ---- */

static char *variable_name(const struct load *l, const struct option_spec *o)
{
    char *name = xasprintf("%s%s", l->source->env_prefix, o->name);

    for (char *p = name + strlen(l->source->env_prefix); *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}

static int list_split(struct load *l, size_t row, const char *text, struct err *e)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        autofree char *one = xstrndup(text, len);

        TRY(text_set(l, row, one, e));
        text += len + (text[len] == ',');
    }
    return 0;
}

static int environment_read(struct load *l)
{
    for (size_t i = 0; i < l->config->n; i++) {
        const struct option_spec *o = &l->config->command->options[i];
        autofree char *name = variable_name(l, o);
        const char *text = secure_getenv(name);
        struct err why = ERR_INIT;
        int r;

        if (l->given[i] || o->type == OPTION_HELP || !text || !*text)
            continue;
        r = o->type == OPTION_STRINGS ? list_split(l, i, text, &why) : value_set(l, i, text, &why);
        if (r < 0)
            return err_set(l->e, -EINVAL, "BadConfig", "environment %.100s: %.300s", name, why.msg);
        origin_set(l, i, xasprintf("environment %s", name));
    }
    return 0;
}

/* ---- The file ---- */

static int bad(struct load *l, const char *path, const struct toml *at, const char *what)
{
    return err_set(l->e, -EINVAL, "BadConfig", "%.200s:%u: '%.60s' %.200s", path, at->line, at->key,
                   what);
}

/* Whether the file may have it. */
static bool is_key(const struct load *l, const struct option_spec *o)
{
    return o->type != OPTION_HELP && !is_file_row(l, o);
}

static int unknown_key(struct load *l, const char *path, const struct toml *at)
{
    const char *names[128], *near;
    size_t n = 0;

    for (const struct option_spec *o = l->config->command->options; o && o->name; o++)
        if (is_key(l, o) && n + 1 < ARRAY_SIZE(names))
            names[n++] = o->name;
    names[n] = NULL;
    near = options_suggest(at->key, names);
    if (near)
        return err_set(l->e, -EINVAL, "BadConfig",
                       "%.200s:%u: unknown key '%.60s'; did you mean '%s'?", path, at->line,
                       at->key, near);
    return err_set(l->e, -EINVAL, "BadConfig", "%.200s:%u: unknown key '%.60s'", path, at->line,
                   at->key);
}

static const char *type_wanted(const struct option_spec *o)
{
    if (o->type == OPTION_FLAG)
        return "has to be true or false";
    if (o->type == OPTION_STRINGS)
        return "has to be an array of strings";
    if (o->type == OPTION_INT || o->type == OPTION_COUNT)
        return "has to be a whole number";
    if (o->type == OPTION_STRING)
        return "has to be a string";
    return "has to be a string or a whole number";
}

/* The text of a value for a row of this type; NULL when it is of the wrong type. */
static const char *text_of_value(const struct option_spec *o, const struct toml *value)
{
    bool is_string = o->type == OPTION_STRING || o->type == OPTION_STRINGS;

    if (o->type == OPTION_FLAG)
        return value->type != TOML_BOOL ? NULL : value->is_true ? "true" : "false";
    if (value->type == TOML_STRING || (value->type == TOML_INTEGER && !is_string))
        return value->string;
    return NULL;
}

static int value_read(struct load *l, const char *path, size_t row, const struct toml *value,
                      const struct toml *at)
{
    const struct option_spec *o = &l->config->command->options[row];
    const char *text = text_of_value(o, value);
    struct err why = ERR_INIT;

    if (!text)
        return bad(l, path, at, type_wanted(o));
    if (value_set(l, row, text, &why) < 0)
        return err_set(l->e, -EINVAL, "BadConfig", "%.200s:%u: '%.60s': %.200s", path, value->line,
                       o->name, why.msg);
    return 0;
}

static int key_read(struct load *l, const char *path, const struct toml *at)
{
    const struct option_spec *options = l->config->command->options;
    size_t row = 0;

    while (row < l->config->n && !str_eq(options[row].name, at->key))
        row++;
    if (row == l->config->n)
        return unknown_key(l, path, at);
    if (!is_key(l, &options[row]))
        return bad(l, path, at, "cannot be set in a file");
    if (l->given[row])
        return 0;
    if (options[row].type != OPTION_STRINGS)
        TRY(value_read(l, path, row, at, at));
    else if (at->type != TOML_ARRAY)
        return bad(l, path, at, type_wanted(&options[row]));
    for (size_t i = 0; options[row].type == OPTION_STRINGS && i < at->n; i++)
        TRY(value_read(l, path, row, &at->items[i], at));
    origin_set(l, row, xasprintf("%s:%u", path, at->line));
    return 0;
}

static int text_read(struct load *l, const char *path, const struct buf *text)
{
    autotoml document = {0};

    TRY(toml_parse((struct text){text->data, text->len}, path, &document, l->e));
    for (size_t i = 0; i < document.n; i++)
        TRY(key_read(l, path, &document.items[i]));
    return 0;
}

static int file_find(struct load *l, size_t row, bool *ret_is_named, char **ret)
{
    const struct option_spec *o = &l->config->command->options[row];
    struct err none = ERR_INIT;

    *ret_is_named = l->given[row];
    if (*ret_is_named)
        *ret = xstrdup(*(const char **)(void *)((char *)l->target + o->offset));
    else if (paths_config_file(l->source->file_name, ret, &none) < 0)
        return 0;
    return 1;
}

static int config_file_read(struct load *l)
{
    const struct option_spec *options = l->config->command->options;
    autofree char *path = NULL;
    autobuf text = BUF_INIT;
    bool is_named = false;
    size_t row = 0;
    int r;

    while (row < l->config->n && !is_file_row(l, &options[row]))
        row++;
    BUG_ON(row == l->config->n || options[row].type != OPTION_STRING);
    if (!file_find(l, row, &is_named, &path))
        return 0;
    r = file_read(path, TOML_LIMIT_BYTES, &text, l->e);
    if (!is_named && (r == -ENOENT || r == -ENOTDIR)) {
        *l->e = ERR_INIT;
        return 0;
    }
    TRY(r);
    TRY(text_read(l, path, &text));
    return is_named ? 0 : text_set(l, row, path, l->e);
}

/* ---- All of it ---- */

static bool is_help(const struct load *l)
{
    for (size_t i = 0; i < l->config->n; i++)
        if (l->given[i] && l->config->command->options[i].type == OPTION_HELP)
            return true;
    return false;
}

int config_parse(const struct command_spec *c, const struct config_source *source, int argc,
                 char *const *argv, void *target, struct config *ret, struct strv *ret_operands,
                 struct err *e)
{
    autofree bool *given = NULL;
    struct load l = {.config = ret, .source = source, .target = target, .e = e};

    *ret = (struct config){.command = c};
    while (c->options[ret->n].name)
        ret->n++;
    ret->rows = xcalloc(ret->n + 1, sizeof(*ret->rows));
    l.given = given = xcalloc(ret->n + 1, sizeof(*given));
    TRY(options_parse_given(c, argc, argv, target, given, ret_operands, e));
    for (size_t i = 0; i < ret->n; i++)
        ret->rows[i].origin = xstrdup(given[i] ? "flag" : "default");
    if (is_help(&l))
        return 0;
    TRY(environment_read(&l));
    return config_file_read(&l);
}

void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->rows[i].origin);
        strv_done(&c->rows[i].texts);
    }
    free(c->rows);
    *c = (struct config){0};
}

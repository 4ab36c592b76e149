/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* One run over argv. */
struct parse {
    const struct command_spec *command;
    int argc;
    char *const *argv;
    int at; /* index of the next argument to look at */
    char *target;
    struct strv *operands;
    bool is_help;
    bool *given; /* by row; or NULL */
    struct err *e;
};

static void *field_of(const struct option_spec *o, void *target)
{
    return (char *)target + o->offset;
}

static bool takes_value(const struct option_spec *o)
{
    return o->type != OPTION_FLAG && o->type != OPTION_COUNT && o->type != OPTION_HELP;
}

static int usage_error(struct parse *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int usage_error(struct parse *p, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    return err_set(p->e, -EINVAL, "BadUsage", "%s: %.300s%s See 'wherry %s --help'.",
                   p->command->name, buf_str(&text), text.data[text.len - 1] == '?' ? "" : ".",
                   p->command->name);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

#define SUGGEST_MAX 40

/* Edit distance with swapped neighbours counted once, as people mistype. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][SUGGEST_MAX + 2], la = strlen(a), lb = strlen(b);

    if (la > SUGGEST_MAX || lb > SUGGEST_MAX)
        return SIZE_MAX;
    memset(row, 0, sizeof(row));
    for (size_t i = 0; i <= la; i++) {
        size_t *now = row[i % 3], *before = row[(i + 2) % 3], *before2 = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            if (i == 0) {
                now[j] = j;
                continue;
            }
            now[j] = min3(before[j] + 1, now[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before2[j - 2] + 1 < now[j])
                now[j] = before2[j - 2] + 1;
        }
    }
    return row[la % 3][lb];
}

const char *options_suggest(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX, len = strlen(word);

    for (; *words; words++) {
        size_t d = distance(word, *words);

        /* What the user began to write is near, however much is missing. */
        if (len >= 3 && str_starts(*words, word))
            d = 1;
        if (d < best_distance) {
            best_distance = d;
            best = *words;
        }
    }
    return best && best_distance <= (len < 4 ? 1 : len < 8 ? 2 : 3) ? best : NULL;
}

static int unknown_option(struct parse *p, const char *given, size_t len)
{
    autofree char *word = xstrndup(given, len);
    const char *names[128], *near;
    size_t n = 0;

    for (const struct option_spec *o = p->command->options; o && o->name; o++)
        if (n + 1 < ARRAY_SIZE(names))
            names[n++] = o->name;
    names[n] = NULL;
    near = options_suggest(word, names);
    if (near)
        return usage_error(p, "unknown option '--%s'; did you mean '--%s'?", word, near);
    return usage_error(p, "unknown option '--%s'", word);
}

static int number_parse(const struct option_spec *o, const char *text, int64_t *ret, struct err *e)
{
    char *end;

    if (o->type == OPTION_SIZE)
        return size_bytes_parse(text, ret, e);
    if (o->type == OPTION_DURATION_MS)
        return duration_ms_parse(text, ret, e);
    errno = 0;
    *ret = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text) || errno == EINVAL)
        return err_set(e, -EINVAL, "BadNumber", "'%.60s' is not a whole number", text);
    if (errno == ERANGE)
        return err_set(e, -ERANGE, "BadNumber", "'%.60s' is out of range", text);
    return 0;
}

static void bound_format(const struct option_spec *o, int64_t value, char ret[static DURATION_SIZE])
{
    if (o->type == OPTION_SIZE)
        size_bytes_format((uint64_t)value, ret);
    else if (o->type == OPTION_DURATION_MS)
        duration_ms_format(value, ret);
    else
        snprintf(ret, DURATION_SIZE, "%" PRId64, value);
}

static int number_set(const struct option_spec *o, const char *text, void *field, struct err *e)
{
    struct option_number *number = field;
    int64_t min = o->min, max = o->max || o->min ? o->max : INT64_MAX, value = 0;

    TRY(number_parse(o, text, &value, e));
    if (value < min || value > max) {
        char low[DURATION_SIZE], high[DURATION_SIZE];

        bound_format(o, min, low);
        bound_format(o, max, high);
        return max == INT64_MAX
                   ? err_set(e, -ERANGE, "BadNumber", "'%.60s' is less than %s", text, low)
                   : err_set(e, -ERANGE, "BadNumber", "'%.60s' is not between %s and %s", text, low,
                             high);
    }
    *number = (struct option_number){.is_set = true, .value = value};
    return 0;
}

static bool is_allowed_word(const struct option_spec *o, const char *text)
{
    if (o->complete != COMPLETE_WORDS)
        return true;
    for (const char *const *w = o->words; *w; w++)
        if (str_eq(*w, text))
            return true;
    return false;
}

int option_set(const struct option_spec *o, const char *text, void *target, struct err *e)
{
    void *field = field_of(o, target);

    if (!is_allowed_word(o, text)) {
        autobuf list = BUF_INIT;

        for (const char *const *w = o->words; *w; w++)
            buf_addf(&list, "%s%s", w == o->words ? "" : ", ", *w);
        return err_set(e, -EINVAL, "BadValue", "'%.60s' is not one of %s", text, buf_str(&list));
    }
    switch (o->type) {
    case OPTION_FLAG:
    case OPTION_HELP:
        *(bool *)field = true;
        return 0;
    case OPTION_COUNT:
        *(int *)field += 1;
        return 0;
    case OPTION_STRING:
        *(const char **)field = text;
        return 0;
    case OPTION_STRINGS:
        strv_add(field, text);
        return 0;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION_MS:
        return number_set(o, text, field, e);
    }
    return 0;
}

static int option_apply(struct parse *p, const struct option_spec *o, const char *value)
{
    struct err inner = ERR_INIT;

    if (o->type == OPTION_HELP)
        p->is_help = true;
    if (p->given)
        p->given[o - p->command->options] = true;
    if (option_set(o, value, p->target, &inner) < 0)
        return usage_error(p, "option '--%s': %s", o->name, inner.msg);
    return 0;
}

/* The value in the next argument. */
static int value_take(struct parse *p, const struct option_spec *o, const char **ret)
{
    if (p->at >= p->argc)
        return usage_error(p, "option '--%s' needs a value: --%s %s", o->name, o->name,
                           o->arg_name ? o->arg_name : "VALUE");
    *ret = p->argv[p->at++];
    return 0;
}

static int long_parse(struct parse *p, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text);
    const char *value = equals ? equals + 1 : "";

    for (const struct option_spec *o = p->command->options; o && o->name; o++) {
        if (strlen(o->name) != len || strncmp(o->name, text, len) != 0)
            continue;
        if (equals && !takes_value(o))
            return usage_error(p, "option '--%s' takes no value", o->name);
        if (!equals && takes_value(o))
            TRY(value_take(p, o, &value));
        return option_apply(p, o, value);
    }
    return unknown_option(p, text, len);
}

static int short_parse(struct parse *p, const char *letters)
{
    for (; *letters; letters++) {
        const struct option_spec *o = p->command->options;
        const char *value = "";

        while (o && o->name && o->short_name != *letters)
            o++;
        if (!o || !o->name)
            return usage_error(p, "unknown option '-%c'", *letters);
        if (!takes_value(o)) {
            TRY(option_apply(p, o, value));
            continue;
        }
        if (letters[1])
            value = letters[1] == '=' ? letters + 2 : letters + 1;
        else
            TRY(value_take(p, o, &value));
        return option_apply(p, o, value);
    }
    return 0;
}

static void defaults_fill(const struct command_spec *c, void *target)
{
    for (const struct option_spec *o = c->options; o && o->name; o++) {
        struct err e = ERR_INIT;

        if (!o->default_text || o->type == OPTION_STRINGS)
            continue;
        /* A default that its own option refuses is a mistake in the table. */
        BUG_ON(option_set(o, o->default_text, target, &e) < 0);
        if (o->type == OPTION_INT || o->type == OPTION_SIZE || o->type == OPTION_DURATION_MS)
            ((struct option_number *)field_of(o, target))->is_set = false;
    }
}

static int operands_check(struct parse *p, size_t count)
{
    const struct command_spec *c = p->command;

    if (count < (size_t)c->positionals_min) {
        const struct option_positional *missing = c->positionals;

        for (size_t i = 0; missing && missing->name && i < count; i++)
            missing++;
        return usage_error(p, "%s is missing; usage: wherry %s %s",
                           missing && missing->name ? missing->name : "an argument", c->name,
                           c->usage);
    }
    if (c->positionals_max >= 0 && count > (size_t)c->positionals_max)
        return usage_error(p, "unexpected argument '%s'; usage: wherry %s %s",
                           p->operands->v[p->operands->n - 1], c->name, c->usage);
    return 0;
}

int options_parse(const struct command_spec *c, int argc, char *const *argv, void *target,
                  struct strv *ret_operands, struct err *e)
{
    return options_parse_given(c, argc, argv, target, NULL, ret_operands, e);
}

int options_parse_given(const struct command_spec *c, int argc, char *const *argv, void *target,
                        bool *ret_given, struct strv *ret_operands, struct err *e)
{
    struct parse p = {c, argc, argv, 1, target, ret_operands, false, ret_given, e};
    size_t before = ret_operands->n;
    bool is_ended = false;

    defaults_fill(c, target);
    while (p.at < argc && !p.is_help) {
        const char *arg = argv[p.at++];

        if (!is_ended && str_eq(arg, "--")) {
            is_ended = true;
        } else if (!is_ended && str_starts(arg, "--")) {
            TRY(long_parse(&p, arg + 2));
        } else if (!is_ended && arg[0] == '-' && arg[1]) {
            TRY(short_parse(&p, arg + 1));
        } else {
            strv_add(ret_operands, arg);
            is_ended = is_ended || c->is_stopped_by_positional;
        }
    }
    return p.is_help ? 0 : operands_check(&p, ret_operands->n - before);
}

void options_done(const struct command_spec *c, void *target)
{
    for (const struct option_spec *o = c->options; o && o->name; o++)
        if (o->type == OPTION_STRINGS)
            strv_done(field_of(o, target));
}

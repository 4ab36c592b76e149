/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/jsonpath.h"

enum step_kind { STEP_END, STEP_KEY, STEP_INDEX, STEP_BAD };

struct step {
    enum step_kind kind;
    struct buf key;
    size_t index;
};

static enum step_kind index_next(const char **at, struct step *s)
{
    char *end;

    if (**at < '0' || **at > '9')
        return STEP_BAD;
    s->index = strtoul(*at, &end, 10);
    if (*end != ']')
        return STEP_BAD;
    *at = end + 1;
    return STEP_INDEX;
}

static enum step_kind step_next(const char **at, struct step *s)
{
    buf_clear(&s->key);
    if (!**at)
        return STEP_END;
    if (**at == '[') {
        ++*at;
        return index_next(at, s);
    }
    if (**at == '.')
        ++*at;
    for (; **at && !strchr(".[]{}*?@()'\"", **at); ++*at) {
        if (**at == '\\' && (*at)[1])
            ++*at;
        buf_addc(&s->key, **at);
    }
    return s->key.len ? STEP_KEY : STEP_BAD;
}

/* Without the braces. */
static char *bare(const char *path)
{
    size_t len = strlen(path);

    if (len >= 2 && path[0] == '{' && path[len - 1] == '}')
        return xstrndup(path + 1, len - 2);
    return xstrdup(path);
}

int jsonpath_check(const char *path, struct err *e)
{
    autofree char *text = bare(path);
    const char *at = text;
    struct step s = {0};
    enum step_kind k;
    size_t n = 0;

    while ((k = step_next(&at, &s)) != STEP_END && k != STEP_BAD)
        n++;
    buf_done(&s.key);
    if (k == STEP_BAD || !n)
        return err_set(e, -EINVAL, "BadUsage",
                       "'%.100s' is not a path of keys and places such as "
                       "{.status.conditions[0].type}",
                       path);
    return 0;
}

bool jsonpath_get(const char *path, const struct json_value *v, struct buf *out)
{
    autofree char *text = bare(path);
    const char *at = text;
    struct step s = {0};
    enum step_kind k;

    while (v && (k = step_next(&at, &s)) != STEP_END && k != STEP_BAD)
        v = k == STEP_KEY ? json_value_member(v, buf_str(&s.key)) : json_value_item(v, s.index);
    buf_done(&s.key);
    if (json_value_type(v) == JSON_VALUE_NULL)
        return false;
    if (json_value_type(v) == JSON_VALUE_STRING)
        buf_addstr(out, json_value_str(v, ""));
    else
        json_value_write(v, false, out);
    return true;
}

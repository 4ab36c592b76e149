/* SPDX-License-Identifier: Apache-2.0 */
/* What one registries.conf says. */
#include "base/toml.h"
#include "store/registries.h"

static void mirror_done(struct registry_mirror *m)
{
    free(m->location);
}

static void rule_done(struct registry_rule *r)
{
    for (size_t i = 0; i < r->n_mirrors; i++)
        mirror_done(&r->mirrors[i]);
    free(r->mirrors);
    free(r->place);
    free(r->prefix);
    free(r->location);
    *r = (struct registry_rule){0};
}

void registries_done(struct registries *c)
{
    for (size_t i = 0; i < c->n_rules; i++)
        rule_done(&c->rules[i]);
    free(c->rules);
    strv_done(&c->search);
    strv_done(&c->aliases);
    strv_done(&c->targets);
    strv_done(&c->helpers);
    free(c->helpers_place);
    strv_done(&c->warnings);
    *c = (struct registries){0};
}

/* ---- Tables ---- */

struct source {
    struct registries *conf;
    const char *path;
    struct err *e;
};

static int bad(const struct source *s, const struct toml *at, const char *what)
{
    if (!at->key)
        return err_set(s->e, -EINVAL, "BadRegistriesConf", "%.200s:%u: %s", s->path, at->line,
                       what);
    return err_set(s->e, -EINVAL, "BadRegistriesConf", "%.200s:%u: '%.100s' %s", s->path, at->line,
                   at->key, what);
}

/* Where a value of the table goes: const char * (string), bool, const struct toml * (others). */
struct row {
    const char *key;
    enum toml_type type;
    size_t offset;
};

static const struct row *row_find(const struct row *rows, const char *key)
{
    for (; rows->key; rows++)
        if (str_eq(rows->key, key))
            return rows;
    return NULL;
}

/* The target points into the document then. What no row knows is passed over, as podman does. */
static int table_decode(const struct source *s, const struct toml *table, const struct row *rows,
                        void *target)
{
    static const char *const types[] = {"has to be a string", "has to be true or false",
                                        "has to be an array", "has to be a table"};

    for (size_t i = 0; i < table->n; i++) {
        const struct toml *item = &table->items[i];
        const struct row *row = row_find(rows, item->key);
        char *field = (char *)target + (row ? row->offset : 0);

        if (!row) {
            strv_addf(&s->conf->warnings, "%.200s:%u: '%.100s' is not known here", s->path,
                      item->line, item->key);
            continue;
        }
        if (item->type != row->type)
            return bad(s, item, types[row->type]);
        if (row->type == TOML_STRING)
            *(const char **)(void *)field = item->string;
        else if (row->type == TOML_BOOL)
            *(bool *)(void *)field = item->is_true;
        else
            *(const struct toml **)(void *)field = item;
    }
    return 0;
}

/* A registry with a path behind it or without; slashes at its end do not count. */
static int location_take(const struct source *s, const struct toml *at, const char *text,
                         char **ret)
{
    size_t len = strlen(text);

    if (strstr(text, "://"))
        return bad(s, at, "names a registry by a URL; write it without http:// or https://");
    while (len && text[len - 1] == '/')
        len--;
    if (!len)
        return bad(s, at, "names a registry that is empty");
    *ret = xstrndup(text, len);
    return 0;
}

/* ---- [[registry]] ---- */

static int use_parse(const struct source *s, const struct toml *at, const char *text,
                     enum registry_use *ret)
{
    if (!text || !*text || str_eq(text, "all"))
        *ret = REGISTRY_USE_ALL;
    else if (str_eq(text, "digest-only"))
        *ret = REGISTRY_USE_DIGEST;
    else if (str_eq(text, "tag-only"))
        *ret = REGISTRY_USE_TAG;
    else
        return bad(s, at, "has a pull-from-mirror that is not all, digest-only or tag-only");
    return 0;
}

static int mirror_decode(const struct source *s, const struct toml *table, bool is_by_digest,
                         struct registry_mirror *ret)
{
    struct raw {
        const char *location, *use;
        bool is_insecure;
    } raw = {0};
    static const struct row rows[] = {
        {"location",           TOML_STRING, offsetof(struct raw, location)},
        {"insecure", TOML_BOOL, offsetof(struct raw, is_insecure)},
        {"pull-from-mirror",                    TOML_STRING, offsetof(struct raw, use)},
        {0          },
    };

    if (table->type != TOML_TABLE)
        return bad(s, table, "a mirror has to be a table");
    TRY(table_decode(s, table, rows, &raw));
    if (!raw.location)
        return bad(s, table, "a mirror needs a location");
    if (is_by_digest && raw.use && *raw.use)
        return bad(s, table, "pull-from-mirror and mirror-by-digest-only exclude each other");
    TRY(use_parse(s, table, raw.use, &ret->use));
    if (is_by_digest)
        ret->use = REGISTRY_USE_DIGEST;
    ret->is_insecure = raw.is_insecure;
    return location_take(s, table, raw.location, &ret->location);
}

static int prefix_check(const struct source *s, const struct toml *at, const char *prefix)
{
    const char *star = strchr(prefix, '*');

    if (star && (star != prefix || prefix[1] != '.' || strpbrk(prefix + 1, "*/:@") || !prefix[2]))
        return bad(s, at, "a '*' is possible in a prefix of the form *.example.com only");
    return 0;
}

static int rule_fill(const struct source *s, const struct toml *table, struct registry_rule *ret)
{
    struct raw {
        const char *prefix, *location;
        bool is_insecure, is_blocked, is_by_digest;
        const struct toml *mirrors;
    } raw = {0};
    static const struct row rows[] = {
        {"prefix",             TOML_STRING, offsetof(struct raw, prefix)},
        {"location", TOML_STRING, offsetof(struct raw, location)},
        {"insecure",                    TOML_BOOL, offsetof(struct raw, is_insecure)},
        {"blocked",         TOML_BOOL, offsetof(struct raw, is_blocked)},
        {"mirror-by-digest-only",           TOML_BOOL, offsetof(struct raw, is_by_digest)},
        {"mirror",           TOML_ARRAY, offsetof(struct raw, mirrors)},
        {0},
    };
    bool has_prefix, has_location;

    if (table->type != TOML_TABLE)
        return bad(s, table, "a registry has to be a table");
    TRY(table_decode(s, table, rows, &raw));
    has_prefix = raw.prefix && *raw.prefix;
    has_location = raw.location && *raw.location;
    if (!has_location && !(has_prefix && str_starts(raw.prefix, "*.")))
        return bad(s, table, "a registry needs a location (only *.example.com can do without)");
    TRY(location_take(s, table, has_prefix ? raw.prefix : raw.location, &ret->prefix));
    if (has_location)
        TRY(location_take(s, table, raw.location, &ret->location));
    TRY(prefix_check(s, table, ret->prefix));
    ret->place = xasprintf("%s:%u", s->path, table->line);
    ret->is_insecure = raw.is_insecure;
    ret->is_blocked = raw.is_blocked;
    if (!raw.mirrors)
        return 0;
    ret->mirrors = xcalloc(raw.mirrors->n + 1, sizeof(*ret->mirrors));
    for (; ret->n_mirrors < raw.mirrors->n; ret->n_mirrors++)
        TRY(mirror_decode(s, &raw.mirrors->items[ret->n_mirrors], raw.is_by_digest,
                          &ret->mirrors[ret->n_mirrors]));
    return 0;
}

/* A rule takes the place of an earlier one with the same prefix. */
static int rule_add(const struct source *s, const struct toml *table)
{
    struct registries *c = s->conf;
    struct registry_rule rule = {0};
    size_t i = 0;

    if (rule_fill(s, table, &rule) < 0) {
        rule_done(&rule);
        return s->e->code;
    }
    while (i < c->n_rules && !str_eq(c->rules[i].prefix, rule.prefix))
        i++;
    if (i < c->n_rules)
        rule_done(&c->rules[i]);
    else
        c->rules = xrealloc(c->rules, ++c->n_rules, sizeof(*c->rules));
    c->rules[i] = rule;
    return 0;
}

/* ---- Short names ---- */

static int search_set(const struct source *s, const struct toml *list)
{
    strv_done(&s->conf->search);
    for (size_t i = 0; i < list->n; i++) {
        char *registry = NULL;

        if (list->items[i].type != TOML_STRING)
            return bad(s, &list->items[i], "a search registry has to be a string");
        TRY(location_take(s, &list->items[i], list->items[i].string, &registry));
        strv_add_owned(&s->conf->search, registry);
    }
    return 0;
}

static int mode_set(const struct source *s, const struct toml *at, const char *text)
{
    if (!*text || str_eq(text, "permissive"))
        s->conf->mode = SHORT_NAME_PERMISSIVE;
    else if (str_eq(text, "enforcing"))
        s->conf->mode = SHORT_NAME_ENFORCING;
    else if (str_eq(text, "disabled"))
        s->conf->mode = SHORT_NAME_DISABLED;
    else
        return bad(s, at, "has to be enforcing, permissive or disabled");
    return 0;
}

static void alias_set(struct registries *c, const char *name, const char *target)
{
    for (size_t i = 0; i < c->aliases.n; i++)
        if (str_eq(c->aliases.v[i], name)) {
            free(c->targets.v[i]);
            c->targets.v[i] = xstrdup(target);
            return;
        }
    strv_add(&c->aliases, name);
    strv_add(&c->targets, target);
}

/* A name without tag and digest, short or with a registry. */
static bool is_name(const char *text, bool is_short)
{
    struct reference r;
    struct err e = ERR_INIT;
    bool is_bare;

    if (reference_is_short(text) != is_short || reference_parse(text, &r, &e) < 0)
        return false;
    is_bare = !r.has_digest && !strchr(is_short ? text : strchr(text, '/'), ':');
    reference_done(&r);
    return is_bare;
}

static int aliases_add(const struct source *s, const struct toml *table)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct toml *item = &table->items[i];

        if (item->type != TOML_STRING)
            return bad(s, item, "has to stand for a string");
        if (!is_name(item->key, true))
            return bad(s, item, "is no short name (a path without registry, tag and digest)");
        if (*item->string && !is_name(item->string, false))
            return bad(s, item, "stands for no name with a registry, and without tag and digest");
        alias_set(s->conf, item->key, item->string);
    }
    return 0;
}

/* ---- Credentials ---- */

/* A list, also an empty one, takes the place of an earlier one. */
static int helpers_set(const struct source *s, const struct toml *list)
{
    struct registries *c = s->conf;

    for (size_t i = 0; i < list->n; i++)
        if (list->items[i].type != TOML_STRING)
            return bad(s, &list->items[i], "a credential helper has to be a string");
    strv_done(&c->helpers);
    free(take_ptr(c->helpers_place));
    for (size_t i = 0; i < list->n; i++)
        strv_add(&c->helpers, list->items[i].string);
    if (list->n)
        c->helpers_place = xasprintf("%s:%u", s->path, list->line);
    return 0;
}

/* ---- The document ---- */

static int document_add(const struct source *s, const struct toml *document)
{
    struct raw {
        const struct toml *registry, *search, *aliases, *helpers, *version_1;
        const char *mode, *layer_helper;
    } raw = {0};
    static const struct row rows[] = {
        {"registry",           TOML_ARRAY, offsetof(struct raw, registry)},
        {"unqualified-search-registries", TOML_ARRAY, offsetof(struct raw, search)},
        {"short-name-mode",                    TOML_STRING, offsetof(struct raw, mode)},
        {"aliases",          TOML_TABLE, offsetof(struct raw, aliases)},
        {"registries",             TOML_TABLE, offsetof(struct raw, version_1)},
        {"credential-helpers",    TOML_ARRAY, offsetof(struct raw, helpers)},
        {"additional-layer-store-auth-helper", TOML_STRING, offsetof(struct raw, layer_helper)},
        {0                   },
    };

    TRY(table_decode(s, document, rows, &raw));
    if (raw.version_1)
        return bad(s, raw.version_1,
                   "is of version 1 of this format; write unqualified-search-registries, and "
                   "[[registry]] with blocked or insecure, instead");
    for (size_t i = 0; raw.registry && i < raw.registry->n; i++)
        TRY(rule_add(s, &raw.registry->items[i]));
    if (raw.search)
        TRY(search_set(s, raw.search));
    if (raw.helpers)
        TRY(helpers_set(s, raw.helpers));
    if (raw.mode)
        TRY(mode_set(s, toml_find(document, "short-name-mode"), raw.mode));
    return raw.aliases ? aliases_add(s, raw.aliases) : 0;
}

int registries_add(struct registries *c, struct text text, const char *path, struct err *e)
{
    struct source s = {.conf = c, .path = path, .e = e};
    autotoml document = {0};

    TRY(toml_parse(text, path, &document, e));
    return document_add(&s, &document);
}

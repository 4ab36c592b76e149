/* SPDX-License-Identifier: Apache-2.0 */
/* What registries.conf means for a name. */
#include "store/registries.h"

#include "base/buf.h"

/* ---- Short names ---- */

static int name_format(const char *text, char **ret, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};

    TRY(reference_parse(text, &r, e));
    *ret = reference_format(&r);
    return 0;
}

static int name_add(struct strv *names, const char *text, struct err *e)
{
    autofree char *name = NULL;

    TRY(name_format(text, &name, e));
    if (!strv_contains(names, name))
        strv_add(names, name);
    return 0;
}

/* Tag and digest do not count; they go behind what it stands for. */
static const char *alias_find(const struct registries *c, const char *text, size_t len)
{
    for (size_t i = 0; i < c->aliases.n; i++)
        if (text_eq((struct text){text, len}, c->aliases.v[i]))
            return *c->targets.v[i] ? c->targets.v[i] : NULL;
    return NULL;
}

static int ambiguous(const char *text, const struct strv *names, struct err *e)
{
    autobuf list = BUF_INIT;

    for (size_t i = 0; i < names->n; i++)
        buf_addf(&list, "%s%s", i ? ", " : "", names->v[i]);
    return err_set(e, -EINVAL, "AmbiguousName",
                   "'%.128s' names no registry, and registries.conf has several with "
                   "short-name-mode = \"enforcing\"; write one of: %.250s",
                   text, buf_str(&list));
}

static int short_names(const struct registries *c, const char *text, enum registries_names_for what,
                       struct strv *names, struct err *e)
{
    size_t len = strcspn(text, ":@");
    const char *target = alias_find(c, text, len);

    if (target) {
        autofree char *full = xasprintf("%s%s", target, text + len);

        return name_add(names, full, e);
    }
    for (size_t i = 0; i < c->search.n; i++) {
        autofree char *full = xasprintf("%s/%s", c->search.v[i], text);

        if (name_add(names, full, e) < 0)
            return err_prefix(e, "unqualified-search-registries");
    }
    if (names->n > 1 && c->mode == SHORT_NAME_ENFORCING && what == NAMES_TO_FETCH)
        return ambiguous(text, names, e);
    return 0;
}

int registries_names(const struct registries *c, const char *text, enum registries_names_for what,
                     struct strv *ret, struct err *e)
{
    autofree char *as_written = NULL;
    autostrv names = STRV_INIT;

    TRY(name_format(text, &as_written, e));
    if (reference_is_short(text))
        TRY(short_names(c, text, what, &names, e));
    if ((!names.n || what == NAMES_STORED) && !strv_contains(&names, as_written))
        strv_add(&names, as_written);
    *ret = strv_take(&names);
    return 0;
}

/* ---- Where an image is ---- */

static bool is_end(char c)
{
    return !c || c == ':' || c == '/' || c == '@';
}

/* How much of the name the prefix is; 0: it does not begin with that. */
static size_t prefix_match(const char *name, const char *prefix)
{
    size_t len = strlen(prefix), host = strcspn(name, ":/");

    if (str_starts(prefix, "*.")) {
        const char *domain = prefix + 1;

        return host > len - 1 && !memcmp(name + host - (len - 1), domain, len - 1) ? host : 0;
    }
    return str_starts(name, prefix) && is_end(name[len]) ? len : 0;
}

/* The rule with the longest prefix; *ret_len of the name are that. */
static const struct registry_rule *rule_find(const struct registries *c, const char *name,
                                             size_t *ret_len)
{
    const struct registry_rule *found = NULL;

    for (size_t i = 0; i < c->n_rules; i++) {
        const struct registry_rule *rule = &c->rules[i];
        size_t len = prefix_match(name, rule->prefix);

        if (len && (!found || strlen(rule->prefix) > strlen(found->prefix))) {
            found = rule;
            *ret_len = len;
        }
    }
    return found;
}

static int blocked_check(const struct registry_rule *rule, struct err *e)
{
    if (!rule || !rule->is_blocked)
        return 0;
    return err_set(e, -EPERM, "RegistryBlocked", "the registry '%.200s' is blocked by %.200s",
                   rule->prefix, rule->place);
}

void registry_sources_done(struct registry_sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        reference_done(&s->v[i].reference);
    free(s->v);
    *s = (struct registry_sources){0};
}

/* `rest` is what follows the prefix in the name. */
static int source_add(struct registry_sources *s, const struct registry_rule *rule,
                      const char *location, const char *rest, bool is_insecure, struct err *e)
{
    autofree char *text = xasprintf("%s%s", location, rest);
    struct registry_source *source = &s->v[s->n];

    if (reference_parse(text, &source->reference, e) < 0)
        return err_prefix(e, "%.150s", rule->place);
    source->is_insecure = is_insecure;
    s->n++;
    return 0;
}

int registries_sources(const struct registries *c, const struct reference *r,
                       struct registry_sources *ret, struct err *e)
{
    static const struct registry_rule none = {0};
    autofree char *name = reference_format(r);
    size_t len = 0;
    const struct registry_rule *rule = rule_find(c, name, &len);
    enum registry_use used = r->has_digest ? REGISTRY_USE_DIGEST : REGISTRY_USE_TAG;
    autosources s = {0};

    TRY(blocked_check(rule, e));
    if (!rule)
        rule = &none;
    s.v = xcalloc(rule->n_mirrors + 1, sizeof(*s.v));
    for (size_t i = 0; i < rule->n_mirrors; i++) {
        const struct registry_mirror *m = &rule->mirrors[i];

        if (m->use == REGISTRY_USE_ALL || m->use == used)
            TRY(source_add(&s, rule, m->location, name + len, m->is_insecure, e));
    }
    if (rule->location)
        TRY(source_add(&s, rule, rule->location, name + len, rule->is_insecure, e));
    else
        TRY(source_add(&s, rule, "", name, rule->is_insecure, e));
    *ret = s;
    s = (struct registry_sources){0};
    return 0;
}

int registries_direct(const struct registries *c, const struct reference *r, bool *ret_is_insecure,
                      struct err *e)
{
    autofree char *name = reference_format(r);
    size_t len;
    const struct registry_rule *rule = rule_find(c, name, &len);

    TRY(blocked_check(rule, e));
    *ret_is_insecure = rule && rule->is_insecure;
    return 0;
}

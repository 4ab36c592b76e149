/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/environment.h"

#include <ctype.h>

#include "base/json.h"
#include "base/secret.h"

/* ---- Expansion ---- */

static const char *value_find(const struct strv *env, const char *name, size_t len)
{
    for (size_t i = 0; i < env->n; i++)
        if (!strncmp(env->v[i], name, len) && env->v[i][len] == '=')
            return env->v[i] + len + 1;
    return NULL;
}

static int too_large(struct err *e)
{
    return err_set(
        e, -E2BIG, ENVIRONMENT_REASON,
        "the variables (or the command) of a container are more than %u bytes; put large "
        "values into a volume",
        ENVIRONMENT_LIMIT_BYTES);
}

static int expand(const char *text, const struct strv *env, bool is_strict, struct buf *out,
                  struct err *e)
{
    size_t start = out->len, references = 0;
    const char *last = strrchr(text, ')');

    for (const char *p = text; *p; p++) {
        const char *end = p[0] == '$' && p[1] == '(' && p < last ? strchr(p, ')') : NULL;
        const char *value = end ? value_find(env, p + 2, (size_t)(end - p - 2)) : NULL;

        if (value) {
            buf_addstr(out, value);
            p = end;
        } else if (end && is_strict) {
            return err_set(e, -EINVAL, ENVIRONMENT_REASON, "missing value for \"%.*s\"",
                           (int)(end - p - 2 > 200 ? 200 : end - p - 2), p + 2);
        } else if (end) {
            buf_add(out, p, (size_t)(end - p) + 1);
            p = end;
        } else {
            buf_addc(out, *p);
            /* "$$(A)" is "$(A)": what follows a pair is no longer looked at. */
            if (p[0] == '$' && p[1]) {
                if (p[1] != '$')
                    buf_addc(out, p[1]);
                p++;
            }
        }
        references += end != NULL;
        if (references > ENVIRONMENT_LIMIT || out->len - start > ENVIRONMENT_LIMIT_BYTES)
            return too_large(e);
    }
    return 0;
}

int environment_expand(const char *text, const struct strv *env, struct buf *out, struct err *e)
{
    return expand(text, env, false, out, e);
}

int environment_path(const char *text, const struct strv *env, struct buf *out, struct err *e)
{
    return expand(text, env, true, out, e);
}

int environment_words(const struct pod_words *words, const struct strv *env, struct strv *ret,
                      struct err *e)
{
    autostrv out = STRV_INIT;
    size_t total = 0;

    for (size_t i = 0; i < words->n; i++) {
        autobuf word = BUF_INIT;

        TRY(expand(words->v[i], env, false, &word, e));
        total += word.len + 1;
        if (total > ENVIRONMENT_LIMIT_BYTES)
            return too_large(e);
        strv_add_owned(&out, buf_take(&word));
    }
    *ret = strv_take(&out);
    return 0;
}

/* ---- Variables ---- */

struct making {
    const struct pod_fields *f;
    const struct pod_container *c;
    const struct pod_objects *o;
    struct strv env, notes;
    size_t bytes;
};

static int put(struct making *m, const char *name, const void *value, size_t len, struct err *e)
{
    autofree char *text = NULL;
    size_t name_len = strlen(name);

    if (len > ENVIRONMENT_LIMIT_BYTES || name_len > ENVIRONMENT_LIMIT_BYTES)
        return too_large(e);
    m->bytes += name_len + len + 2;
    if (m->bytes > ENVIRONMENT_LIMIT_BYTES)
        return too_large(e);
    if (m->env.n >= ENVIRONMENT_LIMIT)
        return err_set(e, -E2BIG, ENVIRONMENT_REASON, "container '%s' has more than %d variables",
                       m->c->name, ENVIRONMENT_LIMIT);
    if (len && (memchr(value, 0, len) || !utf8_is_valid(value, len)))
        return err_set(e, -EINVAL, ENVIRONMENT_REASON,
                       "the value of variable '%.200s' is not text (UTF-8 without NUL); give it to "
                       "the container in a volume",
                       name);
    text = xasprintf("%s=%.*s", name, (int)len, len ? (const char *)value : "");
    strv_variable_put(&m->env, take_ptr(text));
    return 0;
}

/* A C identifier with '-' and '.' too (apimachinery, validation.IsEnvVarName). */
static bool is_name(const char *s)
{
    if (!*s || isdigit((unsigned char)*s) || str_eq(s, ".") || str_starts(s, ".."))
        return false;
    for (; *s; s++)
        if (!isascii(*s) || (!isalnum((unsigned char)*s) && !strchr("._-", *s)))
            return false;
    return true;
}

static int all_put(struct making *m, const struct pod_variable *v, struct err *e)
{
    bool is_config = v->source == POD_VARIABLE_ALL_CONFIG;
    enum pod_object_kind kind = is_config ? POD_OBJECT_CONFIG : POD_OBJECT_SECRET;
    const struct pod_object *object = NULL;
    autobuf skipped = BUF_INIT;
    int r = pod_object_find(m->o, kind, m->f->spec->space, v->object, v->is_optional, &object, e);

    if (r <= 0)
        return r;
    for (size_t i = 0; i < object->n_keys; i++) {
        const struct pod_object_key *k = &object->keys[i];
        autofree char *name = xasprintf("%s%s", v->name ? v->name : "", k->name);

        if (is_config && k->is_binary)
            continue;
        if (is_name(name))
            TRY(put(m, name, k->data, k->len, e));
        else if (skipped.len < 1024)
            buf_addf(&skipped, "%s%.253s", skipped.len ? ", " : "", name);
    }
    if (skipped.len)
        strv_addf(&m->notes,
                  "Keys [%s] from the EnvFrom %s %s/%s were skipped since they are considered "
                  "invalid environment variable names.",
                  buf_str(&skipped), is_config ? "configMap" : "secret", m->f->spec->space,
                  v->object);
    return 0;
}

static int key_put(struct making *m, const struct pod_variable *v, struct err *e)
{
    bool is_config = v->source == POD_VARIABLE_CONFIG_KEY;
    enum pod_object_kind kind = is_config ? POD_OBJECT_CONFIG : POD_OBJECT_SECRET;
    const struct pod_object *object = NULL;
    const struct pod_object_key *key;
    int r = pod_object_find(m->o, kind, m->f->spec->space, v->object, v->is_optional, &object, e);

    if (r <= 0)
        return r;
    key = pod_object_key_find(object, v->key);
    if (key && !(is_config && key->is_binary))
        return put(m, v->name, key->data, key->len, e);
    if (v->is_optional)
        return 0;
    return err_set(e, -ENOENT, ENVIRONMENT_REASON, "couldn't find key %s in %s %s/%s", v->key,
                   is_config ? "ConfigMap" : "Secret", m->f->spec->space, v->object);
}

static int resource_add(struct making *m, const struct pod_variable *v, struct buf *out,
                        struct err *e)
{
    const struct pod_container *c = v->object ? pod_container_find(m->f->spec, v->object) : m->c;

    if (!c)
        return err_set(e, -EINVAL, ENVIRONMENT_REASON, "the pod has no container '%s'", v->object);
    return pod_resource_add(m->f, c, v->key, v->divisor, out, e);
}

/* In the list itself any printed character but '=' may be in a name (IsRelaxedEnvVarName). */
static bool is_relaxed_name(const char *s)
{
    const char *p = s;

    for (; p && *p; p++)
        if (*p < ' ' || *p > '~' || *p == '=')
            return false;
    return p != s;
}

static int one_put(struct making *m, const struct pod_variable *v, struct err *e)
{
    autosecretbuf value = BUF_INIT;

    if (!is_relaxed_name(v->name))
        return err_set(e, -EINVAL, ENVIRONMENT_REASON,
                       "a name has to be of printed ASCII characters other than '='");
    switch (v->source) {
    case POD_VARIABLE_VALUE:
        TRY(expand(v->value ? v->value : "", &m->env, false, &value, e));
        break;
    case POD_VARIABLE_FIELD:
        TRY(pod_field_add(m->f, v->key, POD_FIELD_VARIABLE, &value, e));
        break;
    case POD_VARIABLE_RESOURCE:
        TRY(resource_add(m, v, &value, e));
        break;
    case POD_VARIABLE_CONFIG_KEY:
    case POD_VARIABLE_SECRET_KEY:
        return key_put(m, v, e);
    case POD_VARIABLE_ALL_CONFIG:
    case POD_VARIABLE_ALL_SECRET:
        return 0;
    }
    return put(m, v->name, buf_str(&value), value.len, e);
}

static bool is_of_all(const struct pod_variable *v)
{
    return v->source == POD_VARIABLE_ALL_CONFIG || v->source == POD_VARIABLE_ALL_SECRET;
}

static int put_all(struct making *m, struct err *e)
{
    autofree char *hostname = pod_hostname(m->f->spec);

    for (int is_all = 1; is_all >= 0; is_all--)
        for (size_t i = 0; i < m->c->n_variables; i++) {
            const struct pod_variable *v = &m->c->variables[i];
            int r = 0;

            if (is_of_all(v) == (bool)is_all)
                r = is_all ? all_put(m, v, e) : one_put(m, v, e);
            if (r >= 0)
                continue;
            /* What it is made of has words of its own; whoever starts containers knows this one. */
            e->reason = ENVIRONMENT_REASON;
            return is_all ? r : err_prefix(e, "variable '%.200s'", v->name ? v->name : "");
        }
    /* Last, as it is the runtime's and not the kubelet's: $(HOSTNAME) is not replaced by it. */
    if (!value_find(&m->env, "HOSTNAME", strlen("HOSTNAME")))
        return put(m, "HOSTNAME", hostname, strlen(hostname), e);
    return 0;
}

int environment_make(const struct pod_fields *f, const struct pod_container *c,
                     const struct pod_objects *o, struct strv *ret, struct strv *ret_notes,
                     struct err *e)
{
    struct making m = {.f = f, .c = c, .o = o};
    int r = put_all(&m, e);

    if (r >= 0) {
        *ret = strv_take(&m.env);
        *ret_notes = strv_take(&m.notes);
    }
    strv_done(&m.env);
    strv_done(&m.notes);
    return r;
}

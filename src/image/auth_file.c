/* SPDX-License-Identifier: Apache-2.0 */
#include "image/auth_file.h"

#include "base/base64.h"
#include "base/fds.h"
#include "base/secret.h"
#include "base/text.h"
#include "store/reference.h"

#define DOCKER_SERVER "https://index.docker.io/v1/" /* what docker calls it in its files */

static const struct json_limits limits = {.bytes = CREDENTIALS_FILE_LIMIT_BYTES, .depth = 32};

static int bad(const struct auth_file *f, struct err *e)
{
    e->code = -EINVAL;
    e->reason = "BadAuthFile";
    return err_prefix(e, "'%.200s'", f->path);
}

/* ---- Reading ---- */

/* The members of the object that the root has under this name; none when it is not there. */
static int list_read(const struct json_members *root, const char *name, struct json_members *ret,
                     struct err *e)
{
    const struct json_member *m = json_member_find(root, name);

    if (!m || text_eq((struct text){m->value, m->len}, "null"))
        return 0;
    if (*m->value != '{')
        return err_set(e, -EINVAL, "BadAuthFile", "$.%s: expected an object", name);
    return json_members_decode(m->value, m->len, limits, ret, e);
}

static bool is_blank(const struct buf *text)
{
    return strspn(buf_str(text), " \t\r\n") == text->len;
}

static int lists_read(struct auth_file *f, struct err *e)
{
    if (is_blank(&f->text))
        return 0;
    TRY(json_members_decode(f->text.data, f->text.len, limits, &f->root, e));
    TRY(list_read(&f->root, "auths", &f->auths, e));
    return list_read(&f->root, "credHelpers", &f->helpers, e);
}

int auth_file_read(const char *path, struct auth_file *ret, struct err *e)
{
    struct auth_file f = {.path = xstrdup(path)};
    int r = file_read(path, CREDENTIALS_FILE_LIMIT_BYTES, &f.text, e);

    if (r == -ENOENT || r == -ENOTDIR) {
        *ret = f;
        return 0;
    }
    if (r == -EFBIG)
        bad(&f, e);
    else if (r >= 0 && lists_read(&f, e) < 0)
        r = bad(&f, e);
    if (r < 0) {
        auth_file_done(&f);
        return e->code;
    }
    *ret = f;
    return 1;
}

void auth_file_done(struct auth_file *f)
{
    json_members_done(&f->root);
    json_members_done(&f->auths);
    json_members_done(&f->helpers);
    secret_buf_done_(&f->text);
    free(f->path);
    f->path = NULL;
}

/* ---- Names of registries ---- */

/* Whether a key names this registry as such: by its name or by a URL with anything behind. */
static bool key_is_registry(const char *key, const char *registry)
{
    size_t scheme = str_starts(key, "https://") ? 8 : str_starts(key, "http://") ? 7 : 0;
    autofree char *host = xstrdup(key + scheme);

    if (scheme)
        host[strcspn(host, "/")] = 0;
    return str_eq(reference_registry(host), registry);
}

/* The key of the list that names the registry, exactly or else in another way; or NULL. */
static const char *registry_find(const struct json_members *list, const char *registry)
{
    const struct json_member *exact = json_member_find(list, registry);

    if (exact)
        return exact->key;
    for (size_t i = 0; i < list->n; i++)
        if (key_is_registry(list->v[i].key, registry))
            return list->v[i].key;
    return NULL;
}

/* The most specific key for a repository, as containers-auth.json(5) has it; or NULL. */
static const char *auth_find(const struct json_members *auths, const char *registry,
                             const char *repository)
{
    autofree char *key = repository ? xasprintf("%s/%s", registry, repository) : xstrdup(registry);

    for (char *end = key + strlen(key); end; end = strrchr(key, '/')) {
        const struct json_member *m;

        *end = 0;
        m = json_member_find(auths, key);
        if (m)
            return m->key;
    }
    return registry_find(auths, registry);
}

/* ---- Helpers ---- */

static int string_find(const struct auth_file *f, const char *list, const char *key, char **ret,
                       struct err *e)
{
    const struct json_field inner[] = {
        {.name = key, .type = FIELD_STRING},
        {0          },
    };
    const struct json_field outer[] = {
        {.name = list,     .type = FIELD_OBJECT, .fields = inner},
        {0},
    };

    if (json_decode(f->text.data, f->text.len, limits, list ? outer : inner, 0, ret, e) < 0)
        return bad(f, e);
    return 0;
}

int auth_file_helper(const struct auth_file *f, const char *registry, struct auth_helper *ret,
                     struct err *e)
{
    const char *key = registry_find(&f->helpers, registry);
    bool is_store = !key;
    autofree char *name = NULL;

    if (!f->root.n)
        return 0;
    TRY(is_store ? string_find(f, NULL, "credsStore", &name, e)
                 : string_find(f, "credHelpers", key, &name, e));
    if (!name || !*name)
        return 0;
    if (is_store)
        key = str_eq(registry, REFERENCE_DOCKER) ? DOCKER_SERVER : registry;
    *ret = (struct auth_helper){
        .name = take_ptr(name),
        .server = xstrdup(key),
        .is_store = is_store,
    };
    return 1;
}

void auth_helper_done(struct auth_helper *h)
{
    free(h->name);
    free(h->server);
    *h = (struct auth_helper){0};
}

/* ---- Entries of auths ---- */

struct entry {
    char *auth; /* base 64 of "username:password" */
    char *username, *password;
    char *identity_token;
};

static const struct json_field entry_fields[] = {
    JSON_FIELD("auth", FIELD_STRING, struct entry, auth),
    JSON_FIELD("username", FIELD_STRING, struct entry, username),
    JSON_FIELD("password", FIELD_STRING, struct entry, password),
    JSON_FIELD("identitytoken", FIELD_STRING, struct entry, identity_token),
    {0},
};

static void entry_done(struct entry *entry)
{
    json_fields_done(entry_fields, entry);
}

static bool has_text(const char *s)
{
    return s && *s;
}

/* Splits what `auth` holds. Docker once padded the password with NUL characters. */
static int auth_split(const char *auth, char **ret_username, char **ret_password, struct err *e)
{
    autosecretbuf plain = BUF_INIT;
    const char *colon;
    size_t len;

    TRY(base64_decode(auth, strlen(auth), &plain, e));
    colon = memchr(plain.data, ':', plain.len);
    if (!colon)
        return err_set(e, -EINVAL, "BadAuthFile", "there is no colon in what it encodes");
    len = plain.len;
    while (len && !plain.data[len - 1])
        len--;
    if (memchr(plain.data, 0, len))
        return err_set(e, -EINVAL, "BadAuthFile", "there is a NUL character in what it encodes");
    *ret_username = xstrndup(plain.data, (size_t)(colon - plain.data));
    *ret_password = xstrdup(colon + 1);
    return 0;
}

static int entry_take(struct entry *entry, struct credential *ret, struct err *e)
{
    autosecret char *username = NULL, *password = NULL;

    if (has_text(entry->auth)) {
        TRY(auth_split(entry->auth, &username, &password, e));
    } else {
        username = take_ptr(entry->username);
        password = take_ptr(entry->password);
    }
    *ret = (struct credential){0};
    if (has_text(entry->identity_token))
        ret->identity_token = take_ptr(entry->identity_token);
    if (has_text(username) || has_text(password)) {
        ret->username = username ? take_ptr(username) : xstrdup("");
        ret->password = password ? take_ptr(password) : xstrdup("");
    }
    return ret->identity_token || ret->username;
}

int auth_file_find(const struct auth_file *f, const char *registry, const char *repository,
                   struct credential *ret, struct err *e)
{
    const char *key = auth_find(&f->auths, registry, repository);
    __attribute__((cleanup(entry_done))) struct entry entry = {0};
    const struct json_field keys[] = {
        {.name = key,             .type = FIELD_OBJECT, .fields = entry_fields},
        {0},
    };
    const struct json_field root[] = {
        {.name = "auths", .type = FIELD_OBJECT, .fields = keys},
        {0},
    };
    int r;

    if (!key)
        return 0;
    if (json_decode(f->text.data, f->text.len, limits, root, 0, &entry, e) < 0)
        return bad(f, e);
    r = entry_take(&entry, ret, e);
    if (r < 0) {
        err_prefix(e, "$.auths.%.100s.auth", key);
        return bad(f, e);
    }
    return r;
}

/* ---- Changing ---- */

static void entry_write(struct json_writer *w, const struct credential *c)
{
    autosecretbuf plain = BUF_INIT;
    autosecretbuf auth = BUF_INIT;
    const char *username = c->username ? c->username : "", *password = c->password;

    /* As docker does: with a token there is no password, and podman wants a colon always. */
    if (c->identity_token || !password)
        password = "";
    buf_reserve(&plain, strlen(username) + strlen(password) + 1);
    buf_addstr(&plain, username);
    buf_addc(&plain, ':');
    buf_addstr(&plain, password);
    base64_encode(plain.data, plain.len, &auth);
    json_begin_object(w);
    json_key_str(w, "auth", buf_str(&auth));
    if (c->identity_token)
        json_key_str(w, "identitytoken", c->identity_token);
    json_end_object(w);
}

/* Whether the entry is to go, or to be replaced. A login replaces its own key; a logout also takes
 * the other names of the registry, which would be found otherwise. */
static bool is_meant(const char *entry_key, const char *key, const struct credential *c)
{
    return str_eq(entry_key, key) || (!c && key_is_registry(entry_key, key));
}

static void auths_write(struct json_writer *w, const struct auth_file *f, const char *key,
                        const struct credential *c)
{
    json_begin_object(w);
    for (size_t i = 0; i < f->auths.n; i++) {
        const struct json_member *m = &f->auths.v[i];

        if (is_meant(m->key, key, c))
            continue;
        json_key(w, m->key);
        json_raw(w, m->value, m->len);
    }
    if (c) {
        json_key(w, key);
        entry_write(w, c);
    }
    json_end_object(w);
}

/* More than the new text can have: what is copied is at most three times as long when keys are
 * escaped in another way, and has a line to itself. */
static size_t room(const struct auth_file *f, const char *key, const struct credential *c)
{
    size_t n = 3 * f->text.len + 8 * (f->root.n + f->auths.n) + 6 * strlen(key) + 256;

    if (c && c->username)
        n += 2 * strlen(c->username);
    if (c && c->password)
        n += 2 * strlen(c->password);
    if (c && c->identity_token)
        n += 6 * strlen(c->identity_token);
    return n;
}

int auth_file_edit(const struct auth_file *f, const char *key, const struct credential *c,
                   struct buf *ret, struct err *e)
{
    bool is_written = false, is_different = c != NULL;
    struct json_writer w;

    for (size_t i = 0; i < f->auths.n; i++)
        is_different = is_different || is_meant(f->auths.v[i].key, key, c);
    if (!is_different)
        return 0;
    buf_reserve(ret, room(f, key, c));
    json_writer_init(&w, ret, true);
    json_begin_object(&w);
    for (size_t i = 0; i < f->root.n; i++) {
        const struct json_member *m = &f->root.v[i];

        json_key(&w, m->key);
        if (str_eq(m->key, "auths")) {
            auths_write(&w, f, key, c);
            is_written = true;
        } else {
            json_raw(&w, m->value, m->len);
        }
    }
    if (!is_written) {
        json_key(&w, "auths");
        auths_write(&w, f, key, c);
    }
    json_end_object(&w);
    TRY(json_writer_finish(&w, e));
    return 1;
}

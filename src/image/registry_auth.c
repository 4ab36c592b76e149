/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry_auth.h"

#include <pthread.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/secret.h"
#include "image/challenge.h"
#include "image/credentials.h"

#define TOKEN_LIMIT_BYTES (64u << 10)
#define TOKEN_DEPTH       4
#define CLIENT_ID         "wherry"

struct registry_auth {
    pthread_mutex_t lock; /* held while a token is fetched: the others wait for it */
    char *host, *repository, *authfile;
    const struct registries *registries;
    char *header;
    const struct credential *offered;
};

struct registry_auth *registry_auth_new(const struct reference *r, const struct registry_options *o)
{
    struct registry_auth *a = xcalloc(1, sizeof(*a));

    pthread_mutex_init(&a->lock, NULL);
    a->host = xstrdup(r->host);
    a->repository = xstrdup(r->repository);
    a->authfile = o->authfile ? xstrdup(o->authfile) : NULL;
    a->registries = o->registries;
    return a;
}

void registry_auth_free(struct registry_auth *a)
{
    pthread_mutex_destroy(&a->lock);
    free(a->host);
    free(a->repository);
    free(a->authfile);
    secret_free(a->header);
    free(a);
}

void registry_auth_offer(struct registry_auth *a, const struct credential *c)
{
    a->offered = c;
}

char *registry_auth_header(struct registry_auth *a)
{
    char *header;

    pthread_mutex_lock(&a->lock);
    header = a->header ? xstrdup(a->header) : NULL;
    pthread_mutex_unlock(&a->lock);
    return header;
}

static int unauthorized(const struct registry_auth *a, const char *why, struct err *e)
{
    return err_set(e, -EACCES, "Unauthorized", "%s%s%s: %s; to log in: wherry login %s", a->host,
                   *a->repository ? "/" : "", a->repository, why, a->host);
}

static char *basic(const struct credential *c)
{
    autosecret char *pair = xasprintf("%s:%s", c->username, c->password);
    autosecretbuf text = BUF_INIT;

    base64_encode(pair, strlen(pair), &text);
    return xasprintf("Basic %s", buf_str(&text));
}

/* ---- Tokens ---- */

struct token {
    char *token, *access_token;
};

static const struct json_field token_fields[] = {
    JSON_FIELD("token", FIELD_STRING, struct token, token),
    JSON_FIELD("access_token", FIELD_STRING, struct token, access_token),
    {0},
};

static void token_done(struct token *t)
{
    secret_free(t->token);
    secret_free(t->access_token);
}
#define autotoken __attribute__((cleanup(token_done))) struct token

static void parameter_add(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(out, "%s%s=", out->len ? "&" : "", name);
    http_query_add(out, value);
}

/* A secret does not go over a connection that is less safe than the registry's. */
static int realm_check(const struct registry_auth *a, const char *realm, bool is_plain,
                       struct err *e)
{
    if (str_starts(realm, "https://") || (is_plain && str_starts(realm, "http://")))
        return 0;
    return err_set(e, -EACCES, "Unauthorized",
                   "%s: it asks for a token of '%.200s', which is no URL of https", a->host, realm);
}

static int token_fetch(struct registry_auth *a, struct http *h, const struct challenge *c,
                       const struct credential *credential, bool is_plain, char **ret,
                       struct err *e)
{
    struct http_request q = HTTP_REQUEST_INIT;
    struct json_limits limits = {.bytes = TOKEN_LIMIT_BYTES, .depth = TOKEN_DEPTH};
    autohttp_response response = {0};
    autosecretbuf fields = BUF_INIT;
    autosecret char *authorization = NULL;
    autofree char *url = NULL;
    autotoken t = {0};
    int r;

    TRY(realm_check(a, c->realm, is_plain, e));
    buf_reserve(&fields, 16384);
    q.text_limit = TOKEN_LIMIT_BYTES;
    parameter_add(&fields, "service", c->service);
    parameter_add(&fields, "scope", c->scope);
    if (credential && credential->identity_token) {
        /* An OAuth2 refresh token (distribution, "Oauth2 Token Authentication"). */
        parameter_add(&fields, "client_id", CLIENT_ID);
        parameter_add(&fields, "grant_type", "refresh_token");
        parameter_add(&fields, "refresh_token", credential->identity_token);
        q.method = "POST";
        q.body = buf_str(&fields);
        q.body_len = fields.len;
        strv_add(&q.headers, "Content-Type: application/x-www-form-urlencoded");
        url = xstrdup(c->realm);
    } else {
        url = xasprintf("%s%s%s", c->realm, strchr(c->realm, '?') ? "&" : "?", buf_str(&fields));
        if (credential)
            q.authorization = authorization = basic(credential);
    }
    q.url = url;
    r = http_perform(h, &q, &response, e);
    strv_done(&q.headers);
    TRY(r);
    if (response.status == 401 || response.status == 403)
        return unauthorized(a, credential ? "the credentials are refused" : "access is refused", e);
    if (response.status != 200)
        return err_set(e, -EREMOTEIO, "RegistryFailed", "%.200s: no token, but status %ld",
                       c->realm, response.status);
    r = json_decode(response.text.data, response.text.len, limits, token_fields, 0, &t, e);
    explicit_bzero(response.text.data, response.text.len);
    if (r < 0)
        return err_prefix(e, "%.200s: no token", c->realm);
    if (!t.token && !t.access_token)
        return err_set(e, -EREMOTEIO, "RegistryFailed", "%.200s: no token in its answer", c->realm);
    *ret = xasprintf("Bearer %s", t.token ? t.token : t.access_token);
    return 0;
}

/* ---- Answering ---- */

static int header_obtain(struct registry_auth *a, struct http *h,
                         const struct http_response *response, bool is_plain, char **ret,
                         struct err *e)
{
    struct credentials_options o = {.authfile = a->authfile, .registries = a->registries};
    __attribute__((cleanup(challenges_done))) struct challenges all = {0};
    __attribute__((cleanup(credential_done))) struct credential found = {0};
    const struct credential *credential = a->offered;
    const struct challenge *c;

    for (size_t i = 0; i < response->headers.n; i++) {
        static const char name[] = "WWW-Authenticate:";
        const char *line = response->headers.v[i];

        if (strncasecmp(line, name, strlen(name)) != 0)
            continue;
        if (challenges_parse(text_of(line + strlen(name)), &all, e) < 0)
            return err_prefix(e, "%s: WWW-Authenticate", a->host);
    }
    c = challenges_best(&all);
    if (!c)
        return unauthorized(a, "access is refused", e);
    if (!credential) {
        int r = credentials_find(&o, a->host, a->repository, &found, e);

        TRY(r);
        credential = r ? &found : NULL;
    }
    if (challenge_is(c, "Bearer"))
        return token_fetch(a, h, c, credential, is_plain, ret, e);
    if (!credential || !credential->username || !credential->password)
        return unauthorized(a, "a login is needed", e);
    *ret = basic(credential);
    return 0;
}

int registry_auth_answer(struct registry_auth *a, struct http *h,
                         const struct http_response *response, const char *sent, bool is_plain,
                         struct err *e)
{
    char *header = NULL;
    int r = 0;

    pthread_mutex_lock(&a->lock);
    if (!a->header || (sent && str_eq(sent, a->header))) {
        r = header_obtain(a, h, response, is_plain, &header, e);
        if (r >= 0 && sent && str_eq(sent, header)) {
            secret_free(take_ptr(header));
            r = unauthorized(a, "the credentials are refused", e);
        }
    }
    if (header) {
        secret_free(a->header);
        a->header = header;
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

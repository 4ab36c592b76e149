/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry.h"

#include <dirent.h>
#include <poll.h>

#include "base/fds.h"
#include "base/json.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/secret.h"
#include "image/registry_auth.h"
#include "image/registry_request.h"

#define ATTEMPTS        6
#define MIRROR_ATTEMPTS 2 /* while there is another place to ask */
#define FIRST_PAUSE_MS  200
#define PAUSE_LIMIT_MS  60000
#define CERTS_LIMIT     (1u << 20)

/* ---- Certificates: containers-certs.d(5) ---- */

/* Reads every *.crt of the folder; of a NAME.cert with its NAME.key the first. */
static int certs_read(struct registry *g, const char *folder, struct err *e)
{
    autofree char *path = path_join(folder, g->host);
    DIR *dir = opendir(path);
    struct dirent *entry;
    int r = 0;

    if (!dir)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_errno(e, -errno, "TlsFailed", "cannot read the folder '%s'", path);
    while (r >= 0 && (entry = readdir(dir))) {
        autofree char *file = path_join(path, entry->d_name);

        if (str_stem(entry->d_name, ".crt")) {
            r = file_read(file, CERTS_LIMIT, &g->ca_pem, e);
            buf_addc(&g->ca_pem, '\n');
        } else if (str_stem(entry->d_name, ".cert") && !g->cert_file) {
            g->cert_file = xstrdup(file);
            g->key_file = xasprintf("%.*s.key", (int)str_stem(file, ".cert"), file);
        }
    }
    closedir(dir);
    return r;
}

static int certs_find(struct registry *g, struct err *e)
{
    static const char *const folders[] = {"/etc/containers/certs.d", "/etc/docker/certs.d"};
    const char *home = paths_env("HOME");

    if (home) {
        autofree char *own = path_join(home, ".config/containers/certs.d");

        TRY(certs_read(g, own, e));
    }
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        TRY(certs_read(g, folders[i], e));
    return 0;
}

/* ---- A repository ---- */

static bool is_loopback(const char *host)
{
    size_t len = strcspn(host, ":");

    return (len == strlen("localhost") && str_starts(host, "localhost")) ||
           str_starts(host, "127.") || str_starts(host, "[::1]");
}

int registry_open(const struct registry_source *source, bool is_last,
                  const struct registry_options *o, struct registry **ret, struct err *e)
{
    const struct reference *r = &source->reference;
    AUTO(registry) g = xcalloc(1, sizeof(*g));

    g->host = xstrdup(r->host);
    g->repository = xstrdup(r->repository);
    g->server = str_eq(reference_server(r), r->host) ? g->host : reference_server(r);
    g->scheme = o->is_plain_http ? "http" : "https";
    g->may_be_plain = !o->is_plain_http && (source->is_insecure || is_loopback(r->host));
    g->attempts = is_last ? ATTEMPTS : MIRROR_ATTEMPTS;
    g->auth = registry_auth_new(r, o);
    g->is_insecure = o->is_insecure || source->is_insecure;
    g->stall_ms = o->stall_ms ? o->stall_ms : REGISTRY_STALL_MS;
    TRY(certs_find(g, e));
    *ret = take_ptr(g);
    return 0;
}

int registry_open_direct(const struct reference *r, const struct registry_options *o,
                         struct registry **ret, struct err *e)
{
    struct registry_source source = {.reference = *r};

    TRY(registries_direct(o->registries, r, &source.is_insecure, e));
    return registry_open(&source, true, o, ret, e);
}

void registry_free(struct registry *g)
{
    free(g->host);
    free(g->repository);
    registry_auth_free(g->auth);
    buf_done(&g->ca_pem);
    free(g->cert_file);
    free(g->key_file);
    free(g);
}

struct http *registry_http_new(const struct registry *g)
{
    struct http_options o = {.ca_pem = g->ca_pem.len ? g->ca_pem.data : NULL,
                             .cert_file = g->cert_file,
                             .key_file = g->key_file,
                             .is_insecure = g->is_insecure,
                             .stall_ms = g->stall_ms};

    return http_new(&o);
}

/* ---- Requests ---- */

/* The first of the errors that the registry names (distribution-spec, "Error Codes"). */
static void reason_add(const struct http_response *r, struct buf *out)
{
    struct error {
        char *code, *message;
    };
    struct errors {
        struct error *v;
        size_t n;
    } errors = {0};
    static const struct json_field error_fields[] = {
        JSON_FIELD("code", FIELD_STRING, struct error, code),
        JSON_FIELD("message", FIELD_STRING, struct error, message),
        {0},
    };
    static const struct json_field fields[] = {
        {.name = "errors",
         .type = FIELD_OBJECTS,
         .offset = offsetof(struct errors, v),
         .count_offset = offsetof(struct errors, n),
         .elem_size = sizeof(struct error),
         .fields = error_fields,
         .limit = 100},
        {0},
    };
    struct json_limits limits = {.bytes = ERROR_TEXT_LIMIT, .depth = 16};
    struct err ignored = ERR_INIT;

    if (json_decode(r->text.data, r->text.len, limits, fields, 0, &errors, &ignored) < 0)
        return;
    if (errors.n)
        buf_addf(out, ": %.200s", errors.v[0].message ? errors.v[0].message : errors.v[0].code);
    json_fields_done(fields, &errors);
}

int registry_status_error(const struct registry *g, const struct http_response *r, const char *what,
                          struct err *e)
{
    autobuf reason = BUF_INIT;

    if (r->text.len)
        reason_add(r, &reason);
    switch (r->status) {
    case 401:
    case 403:
        return err_set(e, -EACCES, "Unauthorized",
                       "%s/%s: access is refused%s; to log in: wherry login %s", g->host,
                       g->repository, buf_str(&reason), g->host);
    case 404:
        return err_set(e, -ENOENT, "NotFound", "%s/%s: it does not have %s%s", g->host,
                       g->repository, what, buf_str(&reason));
    case 429:
        return err_set(e, -EBUSY, "TooManyRequests",
                       "%s/%s: it wants fewer requests%s; try later, or log in: wherry login %s",
                       g->host, g->repository, buf_str(&reason), g->host);
    default:
        return err_set(e, -EREMOTEIO, "RegistryFailed", "%s/%s: status %ld for %s%s", g->host,
                       g->repository, r->status, what, buf_str(&reason));
    }
}

/* Without one, HTTP is at another place than HTTPS. */
static bool has_port(const char *server)
{
    const char *end = strrchr(server, ']');

    return strchr(end ? end : server, ':');
}

int registry_request_once(struct registry *g, struct http *h, const struct http_request *q,
                          struct http_response *ret, struct err *e)
{
    bool is_again = false;

    for (;;) {
        autosecret char *authorization = registry_auth_header(g->auth);
        bool is_own = *q->url == '/';
        autofree char *url =
            is_own ? xasprintf("%s://%s%s", g->scheme, g->server, q->url) : xstrdup(q->url);
        struct http_request full = *q;
        int r;

        full.url = url;
        full.authorization = is_own ? authorization : NULL;
        r = http_perform(h, &full, ret, e);
        if (g->may_be_plain && (r == -EPROTO || (r == -EHOSTUNREACH && !has_port(g->server)))) {
            g->scheme = "http";
            g->may_be_plain = false;
            *e = ERR_INIT;
            continue;
        }
        TRY(r);
        g->may_be_plain = false;
        if (ret->status != 401 || is_again)
            return 0;
        r = registry_auth_answer(g->auth, h, ret, authorization, str_eq(g->scheme, "http"), e);
        http_response_done(ret);
        TRY(r);
        is_again = true;
    }
}

bool registry_may_pass(int r, const struct http_response *response)
{
    if (r < 0)
        return r == -ECONNRESET || r == -ETIMEDOUT || r == -EHOSTUNREACH;
    return response->status == 429 || response->status == 408 || response->status >= 500;
}

bool registry_wait(const struct registry *g, unsigned attempt, const struct http_response *response,
                   const struct err *e)
{
    uint64_t pause_ms = response ? http_retry_after_ms(response) : 0;

    if (attempt + 1 >= g->attempts || pause_ms > PAUSE_LIMIT_MS)
        return false;
    if (!pause_ms)
        pause_ms = (uint64_t)FIRST_PAUSE_MS << attempt;
    log_info("%s/%s: %s; again in %.1f s", g->host, g->repository, response ? "it is busy" : e->msg,
             (double)pause_ms / 1000);
    poll(NULL, 0, (int)pause_ms);
    return true;
}

int registry_request(struct registry *g, struct http *h, const struct http_request *q,
                     struct http_response *ret, struct err *e)
{
    for (unsigned attempt = 0;; attempt++) {
        int r = registry_request_once(g, h, q, ret, e);

        if (!registry_may_pass(r, ret) || !registry_wait(g, attempt, r < 0 ? NULL : ret, e))
            return r;
        if (r >= 0)
            http_response_done(ret);
        *e = ERR_INIT;
    }
}

int registry_login_check(const char *host, const struct registry_options *o,
                         const struct credential *c, struct err *e)
{
    struct reference r = {
        .host = (char *)(uintptr_t)host, .repository = (char *)"", .tag = (char *)""};
    struct http_request q = HTTP_REQUEST_INIT;
    autohttp_response response = {0};
    AUTO(registry) g = NULL;
    AUTO(http) h = NULL;

    TRY(registry_open_direct(&r, o, &g, e));
    h = registry_http_new(g);
    registry_auth_offer(g->auth, c);
    q.url = "/v2/";
    q.text_limit = ERROR_TEXT_LIMIT;
    TRY(registry_request(g, h, &q, &response, e));
    return response.status == 200 ? 0 : registry_status_error(g, &response, "a login", e);
}

/* ---- Manifests ---- */

int registry_digest_check(const struct buf *text, const char *digest, const char *what,
                          struct err *e)
{
    struct digest wanted, found;

    TRY(digest_parse(digest, &wanted, e));
    digest_bytes(text->data, text->len, &found);
    if (!memcmp(&wanted, &found, sizeof(found)))
        return 0;
    return err_set(e, -EBADMSG, "DigestMismatch", "its content is not that of %s %s", what, digest);
}

int registry_manifest_get(struct registry *g, struct http *h, const char *version,
                          struct buf *ret_text, char **ret_type, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/manifests/%s", g->repository, version);
    autofree char *what = xasprintf("the image '%s'", version);
    struct http_request q = HTTP_REQUEST_INIT;
    autohttp_response response = {0};
    const char *type, *said;
    int r;

    q.url = path;
    q.text_limit = IMAGE_DOCUMENT_LIMIT;
    strv_add(&q.headers, "Accept: " IMAGE_INDEX_TYPE ", " IMAGE_MANIFEST_TYPE ", "
                         "application/vnd.docker.distribution.manifest.list.v2+json, "
                         "application/vnd.docker.distribution.manifest.v2+json");
    r = registry_request(g, h, &q, &response, e);
    strv_done(&q.headers);
    TRY(r);
    if (response.status != 200)
        return registry_status_error(g, &response, what, e);
    type = http_header(&response, "Content-Type");
    if (image_type_is_schema_1(type)) {
        /* Before the digest, which is not that of its text. */
        image_schema_1_refuse(what, e);
        return err_prefix(e, "%s/%s", g->host, g->repository);
    }
    said = http_header(&response, "Docker-Content-Digest");
    if (strchr(version, ':'))
        r = registry_digest_check(&response.text, version, "the digest", e);
    else if (said && str_starts(said, "sha256:"))
        r = registry_digest_check(&response.text, said, "the digest that the registry says,", e);
    if (r < 0)
        return err_prefix(e, "%s/%s: %s", g->host, g->repository, what);
    *ret_type = type ? xstrndup(type, strcspn(type, "; \t")) : NULL;
    *ret_text = response.text;
    response.text = BUF_INIT;
    return 0;
}

int registry_manifest_put(struct registry *g, struct http *h, const char *tag, const char *type,
                          const void *data, size_t len, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/manifests/%s", g->repository, tag);
    autofree char *header = xasprintf("Content-Type: %s", type);
    struct http_request q = HTTP_REQUEST_INIT;
    autohttp_response response = {0};
    int r;

    q.method = "PUT";
    q.url = path;
    q.body = data;
    q.body_len = len;
    q.text_limit = ERROR_TEXT_LIMIT;
    strv_add(&q.headers, header);
    r = registry_request(g, h, &q, &response, e);
    strv_done(&q.headers);
    TRY(r);
    return response.status / 100 == 2 ? 0 : registry_status_error(g, &response, "the manifest", e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "image/registry.h"
#include "image/registry_request.h"

/* ---- Fetching ---- */

struct download {
    struct blob_writer *writer;
    int64_t size, from;
    registry_moved_fn moved;
    void *ctx;
    bool has_begun;
    bool is_resumed; /* something came from the middle on */
};

static int download_sink(void *ctx, const struct http_response *r, const void *data, size_t len,
                         struct err *e)
{
    struct download *d = ctx;

    /* It sends all of it though the rest was asked for. */
    if (!d->has_begun && d->from && r->status != 206) {
        d->moved(d->ctx, -d->from);
        TRY(blob_writer_restart(d->writer, e));
    } else if (!d->has_begun && d->from) {
        d->is_resumed = true;
    }
    d->has_begun = true;
    if (blob_writer_size(d->writer) + (int64_t)len > d->size)
        return err_set(e, -EBADMSG, "BadImage", "more comes than the %lld bytes that it should be",
                       (long long)d->size);
    TRY(blob_writer_add(d->writer, data, len, e));
    d->moved(d->ctx, (int64_t)len);
    return 0;
}

/* One attempt to fetch what is missing. */
static int download_once(struct registry *g, struct http *h, const char *digest, struct download *d,
                         struct http_response *response, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/blobs/%s", g->repository, digest);
    struct http_request q = HTTP_REQUEST_INIT;
    int r;

    d->has_begun = false;
    d->from = blob_writer_size(d->writer);
    q.url = path;
    q.text_limit = ERROR_TEXT_LIMIT;
    q.sink = download_sink;
    q.ctx = d;
    if (d->from) {
        autofree char *range = xasprintf("Range: bytes=%lld-", (long long)d->from);

        strv_add(&q.headers, range);
    }
    r = registry_request_once(g, h, &q, response, e);
    strv_done(&q.headers);
    if (r >= 0 && response->status / 100 == 2 && blob_writer_size(d->writer) < d->size)
        r = err_set(e, -ECONNRESET, "CutOff", "it ended early");
    return r;
}

static int download(struct registry *g, struct http *h, const char *digest, struct download *d,
                    struct err *e)
{
    unsigned attempt = 0;

    while (blob_writer_size(d->writer) < d->size) {
        autohttp_response response = {0};
        int64_t before = blob_writer_size(d->writer);
        int r = download_once(g, h, digest, d, &response, e);

        if (r >= 0 && response.status == 416) {
            /* What was left is no part of it. */
            d->moved(d->ctx, -blob_writer_size(d->writer));
            TRY(blob_writer_restart(d->writer, e));
        } else if (r >= 0 && response.status / 100 == 2) {
            return 0;
        } else if (!registry_may_pass(r, &response)) {
            return r < 0 ? r : registry_status_error(g, &response, digest, e);
        }
        if (blob_writer_size(d->writer) > before)
            attempt = 0; /* it goes on, if slowly */
        if (!registry_wait(g, attempt++, r < 0 ? NULL : &response, e))
            return r < 0 ? r : registry_status_error(g, &response, digest, e);
        *e = ERR_INIT;
    }
    return 0;
}

int registry_blob_get(struct registry *g, struct http *h, struct images *s,
                      const struct image_descriptor *blob, registry_moved_fn moved, void *ctx,
                      struct err *e)
{
    struct download d = {.size = blob->size, .moved = moved, .ctx = ctx};
    struct digest digest;

    TRY(digest_parse(blob->digest, &digest, e));
    /* Once more from the start when it was put together of pieces that do not belong together. */
    for (bool is_again = false;; is_again = true) {
        AUTO(blob_writer) w = NULL;
        int64_t at = 0;
        int r = images_blob_begin(s, &digest, &w, &at, e);

        TRY(r);
        if (r > 0) {
            moved(ctx, blob->size);
            return 0;
        }
        if (at > blob->size) {
            TRY(blob_writer_restart(w, e));
            at = 0;
        }
        moved(ctx, at);
        d.writer = w;
        d.is_resumed = at > 0;
        r = download(g, h, blob->digest, &d, e);
        at = blob_writer_size(w);
        if (r >= 0)
            r = blob_writer_commit(take_ptr(w), e);
        else
            err_prefix(e, "%s", blob->digest);
        if (r != -EBADMSG || !d.is_resumed || is_again)
            return r;
        moved(ctx, -at);
        *e = ERR_INIT;
        if (w)
            TRY(blob_writer_restart(w, e));
    }
}

int registry_blob_read(struct registry *g, struct http *h, const struct image_descriptor *blob,
                       size_t limit, struct buf *ret, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/blobs/%s", g->repository, blob->digest);
    struct http_request q = HTTP_REQUEST_INIT;
    autohttp_response response = {0};
    struct digest d;

    TRY(digest_parse(blob->digest, &d, e));
    if (blob->size < 0 || (uint64_t)blob->size > limit)
        return err_set(e, -EFBIG, "TooLarge", "%s has %lld bytes, more than %zu", blob->digest,
                       (long long)blob->size, limit);
    q.url = path;
    q.text_limit = (size_t)blob->size > ERROR_TEXT_LIMIT ? (size_t)blob->size : ERROR_TEXT_LIMIT;
    TRY(registry_request(g, h, &q, &response, e));
    if (response.status != 200)
        return registry_status_error(g, &response, blob->digest, e);
    if (registry_digest_check(&response.text, blob->digest, "the digest", e) < 0)
        return err_prefix(e, "%s/%s", g->host, g->repository);
    *ret = response.text;
    response.text = BUF_INIT;
    return 0;
}

/* ---- Sending: distribution-spec, "Pushing a blob monolithically", by POST and PUT ---- */

static int is_there(struct registry *g, struct http *h, const char *digest, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/blobs/%s", g->repository, digest);
    struct http_request q = HTTP_REQUEST_INIT;
    autohttp_response response = {0};

    q.method = "HEAD";
    q.url = path;
    q.text_limit = ERROR_TEXT_LIMIT;
    TRY(registry_request(g, h, &q, &response, e));
    return response.status == 200;
}

/* The path of this registry, or the URL of another, that the digest is added to. */
static int location_find(const struct registry *g, const struct http_response *response,
                         const char *digest, char **ret, struct err *e)
{
    autofree char *own = xasprintf("%s://%s/", g->scheme, g->server);
    const char *location = http_header(response, "Location");
    autobuf url = BUF_INIT;

    if (!location || !*location)
        return err_set(e, -EREMOTEIO, "RegistryFailed",
                       "%s/%s: it does not say where a blob is to be sent", g->host, g->repository);
    if (str_starts(location, own))
        location += strlen(own) - 1;
    buf_addf(&url, "%s%sdigest=", location, strchr(location, '?') ? "&" : "?");
    http_query_add(&url, digest);
    *ret = buf_take(&url);
    return 0;
}

static int upload_once(struct registry *g, struct http *h, const char *digest, const void *data,
                       size_t len, int fd, struct http_response *response, struct err *e)
{
    autofree char *path = xasprintf("/v2/%s/blobs/uploads/", g->repository), *location = NULL;
    struct http_request begin = HTTP_REQUEST_INIT, q = HTTP_REQUEST_INIT;
    int r;

    begin.method = "POST";
    begin.url = path;
    begin.body = "";
    begin.text_limit = q.text_limit = ERROR_TEXT_LIMIT;
    TRY(registry_request_once(g, h, &begin, response, e));
    if (response->status != 202)
        return 0;
    r = location_find(g, response, digest, &location, e);
    http_response_done(response);
    TRY(r);
    q.method = "PUT";
    q.url = location;
    q.body = data;
    q.body_len = len;
    q.body_fd = fd;
    strv_add(&q.headers, "Content-Type: application/octet-stream");
    r = registry_request_once(g, h, &q, response, e);
    strv_done(&q.headers);
    return r;
}

int registry_blob_put(struct registry *g, struct http *h, const char *digest, const void *data,
                      size_t len, int fd, struct err *e)
{
    int there = is_there(g, h, digest, e);

    if (there)
        return there < 0 ? there : 0;
    for (unsigned attempt = 0;; attempt++) {
        autohttp_response response = {0};
        int r = upload_once(g, h, digest, data, len, fd, &response, e);

        if (r >= 0 && response.status == 201)
            return 0;
        if (!registry_may_pass(r, &response) ||
            !registry_wait(g, attempt, r < 0 ? NULL : &response, e))
            return r < 0 ? r : registry_status_error(g, &response, digest, e);
        *e = ERR_INIT;
    }
}

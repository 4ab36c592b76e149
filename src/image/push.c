/* SPDX-License-Identifier: Apache-2.0 */
#include "image/push.h"

#include <sys/stat.h>
#include <time.h>

#include "base/json.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE   "application/vnd.wasm.config.v0+json"
#define LAYER_TYPE    "application/wasm"

struct sent {
    char digest[DIGEST_TEXT_SIZE];
    int64_t size;
};

static void created_format(char ret[static 32])
{
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static int config_make(const struct push_program *p, const struct sent *layer, struct buf *ret,
                       struct err *e)
{
    char created[32];
    struct json_writer w;

    created_format(created);
    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_str(&w, "created", created);
    json_key_str(&w, "architecture", "wasm");
    json_key_str(&w, "os", p->is_component ? "wasip2" : "wasip1");
    json_key(&w, "layerDigests");
    json_begin_array(&w);
    json_str(&w, layer->digest);
    json_end_array(&w);
    if (p->is_component) {
        json_key(&w, "component");
        json_begin_object(&w);
        json_key_strings(&w, "exports", &p->exports);
        json_key_strings(&w, "imports", &p->imports);
        json_end_object(&w);
    }
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

static void descriptor_add(struct json_writer *w, const char *type, const struct sent *s)
{
    json_begin_object(w);
    json_key_str(w, "mediaType", type);
    json_key_str(w, "digest", s->digest);
    json_key_int(w, "size", s->size);
    json_end_object(w);
}

static int manifest_make(const struct sent *config, const struct sent *layer,
                         const struct strv *annotations, struct buf *ret, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_int(&w, "schemaVersion", 2);
    json_key_str(&w, "mediaType", MANIFEST_TYPE);
    json_key(&w, "config");
    descriptor_add(&w, CONFIG_TYPE, config);
    json_key(&w, "layers");
    json_begin_array(&w);
    descriptor_add(&w, LAYER_TYPE, layer);
    json_end_array(&w);
    if (annotations->n) {
        json_key(&w, "annotations");
        json_begin_object(&w);
        for (size_t i = 0; i < annotations->n; i++) {
            const char *equals = strchr(annotations->v[i], '=');
            autofree char *name = NULL;

            if (!equals || equals == annotations->v[i])
                return err_set(e, -EINVAL, "BadUsage", "--annotation '%s': expected NAME=VALUE",
                               annotations->v[i]);
            name = xstrndup(annotations->v[i], (size_t)(equals - annotations->v[i]));
            json_key_str(&w, name, equals + 1);
        }
        json_end_object(&w);
    }
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

static int file_send(struct registry *g, struct http *h, int fd, struct sent *ret, struct err *e)
{
    struct digest d;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine the program");
    TRY(digest_fd(fd, &d, e));
    digest_format(&d, ret->digest);
    ret->size = st.st_size;
    return registry_blob_put(g, h, ret->digest, NULL, 0, fd, e);
}

static int text_send(struct registry *g, struct http *h, const struct buf *text, struct sent *ret,
                     struct err *e)
{
    struct digest d;

    digest_bytes(text->data, text->len, &d);
    digest_format(&d, ret->digest);
    ret->size = (int64_t)text->len;
    return registry_blob_put(g, h, ret->digest, text->data, text->len, -1, e);
}

int image_push(const struct push_program *p, const struct reference *r,
               const struct push_options *o, struct digest *ret, struct err *e)
{
    AUTO(registry) g = NULL;
    AUTO(http) h = NULL;
    autobuf config = BUF_INIT, manifest = BUF_INIT;
    struct sent layer = {0}, sent_config = {0};

    if (r->has_digest)
        return err_set(e, -EINVAL, "BadReference",
                       "an image is pushed to a tag: its digest follows from its content");
    TRY(registry_open_direct(r, &o->registry, &g, e));
    h = registry_http_new(g);
    TRY(file_send(g, h, p->fd, &layer, e));
    TRY(config_make(p, &layer, &config, e));
    TRY(text_send(g, h, &config, &sent_config, e));
    TRY(manifest_make(&sent_config, &layer, &o->annotations, &manifest, e));
    TRY(registry_manifest_put(g, h, r->tag, MANIFEST_TYPE, manifest.data, manifest.len, e));
    digest_bytes(manifest.data, manifest.len, ret);
    return 0;
}

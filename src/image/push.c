/* SPDX-License-Identifier: Apache-2.0 */
#include "image/push.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "image/layer_write.h"

#define VARIANT "module.wasm.image/variant"

struct form {
    const char *config_type, *layer_type;
};

static const struct form forms[] = {
    [PUSH_ARTIFACT] = {"application/vnd.wasm.config.v0+json", "application/wasm"      },
    [PUSH_IMAGE] = {IMAGE_CONFIG_TYPE,                     IMAGE_LAYER_TYPE "+gzip"},
};

struct sent {
    char digest[DIGEST_TEXT_SIZE];
    int64_t size;
};

/* ---- Annotations ---- */

static int annotation_add(struct json_writer *w, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    autofree char *name = NULL;

    if (!equals || equals == text)
        return err_set(e, -EINVAL, "BadUsage", "--annotation '%s': expected NAME=VALUE", text);
    name = xstrndup(text, (size_t)(equals - text));
    json_key_str(w, name, equals + 1);
    return 0;
}

static int annotations_add(struct json_writer *w, const char *key, const struct strv *annotations,
                           bool is_marked, struct err *e)
{
    if (!annotations->n && !is_marked)
        return 0;
    json_key(w, key);
    json_begin_object(w);
    for (size_t i = 0; i < annotations->n; i++) {
        TRY(annotation_add(w, annotations->v[i], e));
        is_marked = is_marked && !str_starts(annotations->v[i], VARIANT "=");
    }
    /* By which crun knows that the file is not for the processor. */
    if (is_marked)
        json_key_str(w, VARIANT, "compat-smart");
    json_end_object(w);
    return 0;
}

/* ---- Configs ---- */

static void platform_add(struct json_writer *w, const struct push_program *p)
{
    char created[CLOCK_RFC3339_SIZE];

    clock_rfc3339_format((int64_t)clock_realtime_ns(), created);
    json_key_str(w, "created", created);
    json_key_str(w, "architecture", "wasm");
    json_key_str(w, "os", p->is_component ? "wasip2" : "wasip1");
}

/* tag-runtime, "wasm OCI artifact layout" */
static int artifact_config_make(const struct push_program *p, const struct sent *layer,
                                struct buf *ret, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    platform_add(&w, p);
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

/* image-spec 1.1, config.md */
static int image_config_make(const struct push_program *p, const char *name,
                             const struct digest *diff_id, const struct strv *labels,
                             struct buf *ret, struct err *e)
{
    char digest[DIGEST_TEXT_SIZE];
    struct json_writer w;

    digest_format(diff_id, digest);
    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    platform_add(&w, p);
    json_key(&w, "config");
    json_begin_object(&w);
    json_key(&w, "Entrypoint");
    json_begin_array(&w);
    json_str(&w, name);
    json_end_array(&w);
    json_key_str(&w, "WorkingDir", "/");
    TRY(annotations_add(&w, "Labels", labels, false, e));
    json_end_object(&w);
    json_key(&w, "rootfs");
    json_begin_object(&w);
    json_key_str(&w, "type", "layers");
    json_key(&w, "diff_ids");
    json_begin_array(&w);
    json_str(&w, digest);
    json_end_array(&w);
    json_end_object(&w);
    json_key(&w, "history");
    json_begin_array(&w);
    json_begin_object(&w);
    json_key_str(&w, "created_by", "wherry push");
    json_end_object(&w);
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

/* ---- The manifest ---- */

static void descriptor_add(struct json_writer *w, const char *type, const struct sent *s)
{
    json_begin_object(w);
    image_descriptor_encode(type, s->digest, s->size, w);
    json_end_object(w);
}

static int manifest_make(enum push_format format, const struct sent *config,
                         const struct sent *layer, const struct strv *annotations, struct buf *ret,
                         struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_int(&w, "schemaVersion", 2);
    json_key_str(&w, "mediaType", IMAGE_MANIFEST_TYPE);
    json_key(&w, "config");
    descriptor_add(&w, forms[format].config_type, config);
    json_key(&w, "layers");
    json_begin_array(&w);
    descriptor_add(&w, forms[format].layer_type, layer);
    json_end_array(&w);
    TRY(annotations_add(&w, "annotations", annotations, format == PUSH_IMAGE, e));
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

/* ---- Sending ---- */

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

static int artifact_send(struct registry *g, struct http *h, const struct push_program *p,
                         struct sent *ret_layer, struct buf *ret_config, struct err *e)
{
    TRY(file_send(g, h, p->fd, ret_layer, e));
    return artifact_config_make(p, ret_layer, ret_config, e);
}

static int image_send(struct registry *g, struct http *h, const struct push_program *p,
                      const struct strv *labels, struct sent *ret_layer, struct buf *ret_config,
                      struct err *e)
{
    autofd layer = memfd_create("layer", MFD_CLOEXEC);
    char name[LAYER_NAME_SIZE + 1] = "/";
    struct digest diff_id;

    if (layer < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot make a file in memory");
    layer_name(p->path, name + 1);
    TRY(layer_write(p->fd, name + 1, layer, &diff_id, e));
    TRY(image_config_make(p, name, &diff_id, labels, ret_config, e));
    return file_send(g, h, layer, ret_layer, e);
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
    if (o->format == PUSH_IMAGE)
        TRY(image_send(g, h, p, &o->annotations, &layer, &config, e));
    else
        TRY(artifact_send(g, h, p, &layer, &config, e));
    TRY(text_send(g, h, &config, &sent_config, e));
    TRY(manifest_make(o->format, &sent_config, &layer, &o->annotations, &manifest, e));
    TRY(registry_manifest_put(g, h, r->tag, IMAGE_MANIFEST_TYPE, manifest.data, manifest.len, e));
    digest_bytes(manifest.data, manifest.len, ret);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/docker_archive.h"

#include "base/fds.h"
#include "base/json.h"
#include "image/container.h"

#define DEPTH_LIMIT 8
#define IMAGE_LIMIT 1000
#define NAME_LIMIT  512
#define LAYER_LIMIT 1000
#define OCI_BLOBS   "blobs/sha256/"

/* ---- manifest.json ---- */

static const struct json_field image_fields[] = {
    {.name = "Config",
     .type = FIELD_STRING,
     .is_required = true,
     .limit = NAME_LIMIT,
     .offset = offsetof(struct docker_image, config)},
    {.name = "RepoTags",
     .type = FIELD_STRINGS,
     .limit = IMAGE_LIMIT,
     .offset = offsetof(struct docker_image, tags)},
    {.name = "Layers",
     .type = FIELD_STRINGS,
     .limit = LAYER_LIMIT,
     .offset = offsetof(struct docker_image, layers)},
    {0                                     },
};

static const struct json_field archive_fields[] = {
    {.name = "images",
     .type = FIELD_OBJECTS,
     .offset = offsetof(struct docker_archive, images),
     .count_offset = offsetof(struct docker_archive, n_images),
     .limit = IMAGE_LIMIT,
     .elem_size = sizeof(struct docker_image),
     .fields = image_fields},
    {0},
};

int docker_archive_decode(const struct buf *text, struct docker_archive *ret, struct err *e)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT + 64, .depth = DEPTH_LIMIT};
    autobuf object = BUF_INIT;

    /* It is a list, and only objects are decoded. */
    buf_addstr(&object, "{\"images\":");
    buf_add(&object, buf_str(text), text->len);
    buf_addstr(&object, "}");
    if (json_decode(object.data, object.len, limits, archive_fields, 0, ret, e) < 0) {
        e->code = -EINVAL;
        e->reason = "BadImage";
        return err_prefix(e, DOCKER_ARCHIVE_MANIFEST);
    }
    return 0;
}

void docker_archive_done(struct docker_archive *a)
{
    json_fields_done(archive_fields, a);
}

/* ---- From it to OCI ---- */

bool docker_archive_digest(const char *name, struct digest *ret)
{
    autofree char *text = NULL;
    const size_t n = DIGEST_HEX_SIZE - 1;
    struct err e = ERR_INIT;

    if (str_starts(name, OCI_BLOBS))
        name += strlen(OCI_BLOBS);
    else if (strnlen(name, n) < n || (!str_eq(name + n, ".json") && !str_eq(name + n, ".tar")))
        return false;
    else
        text = xasprintf("sha256:%.*s", (int)n, name);
    if (!text)
        text = xasprintf("sha256:%.*s", (int)n + 1, name);
    return digest_parse(text, ret, &e) >= 0;
}

/* What a layer is packed with shows in its first bytes (RFC 1952; RFC 8878). */
static const char *layer_ending(int fd)
{
    unsigned char head[4] = {0};

    if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
        return "";
    if (head[0] == 0x1f && head[1] == 0x8b)
        return "+gzip";
    return !memcmp(head, "\x28\xb5\x2f\xfd", 4) ? "+zstd" : "";
}

static int descriptor_add(int dirfd, const struct digest *d, const char *type,
                          struct json_writer *w, struct err *e)
{
    autofree char *full_type = NULL;
    char text[DIGEST_TEXT_SIZE];
    autofd fd = -EBADF;
    int64_t size;

    TRY(images_blob_open_at(dirfd, d, &fd, &size, e));
    full_type = xasprintf("%s%s", type, str_eq(type, IMAGE_LAYER_TYPE) ? layer_ending(fd) : "");
    digest_format(d, text);
    json_begin_object(w);
    image_descriptor_encode(full_type, text, size, w);
    json_end_object(w);
    return 0;
}

/* What is to be converted, and what its configuration says if that was needed. */
struct conversion {
    int dirfd;
    const struct docker_image *image;
    struct docker_layers *layers;
    struct container_config config;
    bool has_config;
};

static void conversion_done(struct conversion *c)
{
    container_config_done(&c->config);
}

static int config_find(const struct conversion *c, struct digest *ret, struct err *e)
{
    if (docker_archive_digest(c->image->config, ret))
        return 0;
    return err_set(
        e, -EINVAL, "BadImage",
        "its configuration '%.128s' is not named by its digest, as docker names it; make an "
        "OCI archive of it: skopeo copy docker-archive:FILE oci-archive:FILE",
        c->image->config);
}

static int config_read(struct conversion *c, struct err *e)
{
    autobuf text = BUF_INIT;
    struct digest d;

    TRY(config_find(c, &d, e));
    TRY(images_text_read_at(c->dirfd, &d, &text, e));
    TRY(container_config_decode(&text, &c->config, e));
    c->has_config = true;
    if (c->config.diff_ids.n == c->image->layers.n)
        return 0;
    return err_set(e, -EINVAL, "BadImage",
                   "it has %zu layers, and its configuration tells of %zu (diff_ids)",
                   c->image->layers.n, c->config.diff_ids.n);
}

/* One that has its digest as its name was verified when it was stored. */
static int layer_find(struct conversion *c, size_t i, struct digest *ret, struct err *e)
{
    const char *name = c->image->layers.v[i];
    char text[DIGEST_TEXT_SIZE];

    if (docker_archive_digest(name, ret))
        return 0;
    if (!c->has_config)
        TRY(config_read(c, e));
    TRY(docker_layers_find(c->layers, name, ret, e));
    digest_format(ret, text);
    if (str_eq(text, c->config.diff_ids.v[i]))
        return 0;
    return err_set(e, -EBADMSG, "DigestMismatch",
                   "the layer '%.128s' is not what the configuration says (diff_ids): it has %s "
                   "instead of %.128s",
                   name, text, c->config.diff_ids.v[i]);
}

int docker_archive_convert(struct images *s, const struct docker_image *i,
                           struct docker_layers *layers, char ret_digest[static DIGEST_TEXT_SIZE],
                           int64_t *ret_size, struct err *e)
{
    __attribute__((cleanup(conversion_done))) struct conversion c = {
        .dirfd = images_folder(s), .image = i, .layers = layers};
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct digest d;

    TRY(config_find(&c, &d, e));
    json_writer_init(&w, &text, false);
    json_begin_object(&w);
    json_key_int(&w, "schemaVersion", 2);
    json_key_str(&w, "mediaType", IMAGE_MANIFEST_TYPE);
    json_key(&w, "config");
    TRY(descriptor_add(c.dirfd, &d, IMAGE_CONFIG_TYPE, &w, e));
    json_key(&w, "layers");
    json_begin_array(&w);
    for (size_t l = 0; l < i->layers.n; l++) {
        TRY(layer_find(&c, l, &d, e));
        TRY(descriptor_add(c.dirfd, &d, IMAGE_LAYER_TYPE, &w, e));
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(json_writer_finish(&w, e));
    TRY(images_blob_add(s, text.data, text.len, &d, e));
    digest_format(&d, ret_digest);
    *ret_size = (int64_t)text.len;
    return 0;
}

/* ---- From OCI to it ---- */

static void file_add(struct json_writer *w, const char *digest)
{
    autofree char *name = xasprintf("%s%s", OCI_BLOBS, digest + strlen("sha256:"));

    json_str(w, name);
}

int docker_archive_encode(const char *name, const struct image_document *manifest,
                          struct json_writer *w, struct err *e)
{
    bool is_files = manifest->config.digest;

    for (size_t i = 0; i < manifest->n_layers; i++)
        is_files = is_files && manifest->layers[i].media_type &&
                   strstr(manifest->layers[i].media_type, ".tar");
    if (!is_files)
        return err_set(
            e, -EINVAL, "NotRunnable",
            "'%s' is a wasm artifact, and an archive of docker has layers of files only; "
            "save it as oci-archive",
            name);
    json_begin_object(w);
    json_key(w, "Config");
    file_add(w, manifest->config.digest);
    json_key(w, "RepoTags");
    json_begin_array(w);
    if (!strchr(name, '@'))
        json_str(w, name);
    json_end_array(w);
    json_key(w, "Layers");
    json_begin_array(w);
    for (size_t i = 0; i < manifest->n_layers; i++)
        file_add(w, manifest->layers[i].digest);
    json_end_array(w);
    json_end_object(w);
    return 0;
}

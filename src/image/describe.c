/* SPDX-License-Identifier: Apache-2.0 */
#include "image/describe.h"

#include "base/fds.h"
#include "base/json.h"
#include "store/manifest.h"

#define DEPTH_LIMIT      32 /* of nested JSON: configurations of containers have more than manifests */
#define LAYER_LIMIT      10000
#define ANNOTATION_DEPTH 2

#define TEXT(struct_, name_, member_) JSON_FIELD(name_, FIELD_STRING, struct struct_, member_)

/* ---- Manifest ---- */

/* The rows of a part, which is the first member of the struct. */
#define PART_ROWS                                                                                  \
    TEXT(image_part, "mediaType", media_type),                                                     \
        JSON_REQUIRED("digest", FIELD_STRING, struct image_part, digest),                          \
        JSON_REQUIRED("size", FIELD_INT64, struct image_part, size),                               \
        JSON_FIELD("annotations", FIELD_RAW, struct image_part, annotations)

static const struct json_field part_fields[] = {
    PART_ROWS,
    {0},
};

static const struct json_field manifest_fields[] = {
    TEXT(image_description, "mediaType", media_type),
    TEXT(image_description, "artifactType", artifact_type),
    JSON_FIELD("annotations", FIELD_RAW, struct image_description, annotations),
    {.name = "config",
                                                                       .type = FIELD_OBJECT,
                                                                       .offset = offsetof(struct image_description, config),
                                                                       .fields = part_fields},
    {.name = "layers",
                                                                       .type = FIELD_OBJECTS,
                                                                       .offset = offsetof(struct image_description, layers),
                                                                       .count_offset = offsetof(struct image_description, n_layers),
                                                                       .limit = LAYER_LIMIT,
                                                                       .elem_size = sizeof(struct image_part),
                                                                       .fields = part_fields},
    {0                      },
};

/* ---- Index ---- */

static const struct json_field platform_fields[] = {
    TEXT(image_platform, "os", os),
    TEXT(image_platform, "architecture", architecture),
    TEXT(image_platform, "variant", variant),
    {0},
};

static const struct json_field listed_fields[] = {
    PART_ROWS,
    {.name = "platform",         .type = FIELD_OBJECT, .fields = platform_fields},
    {0},
};

static const struct json_field index_fields[] = {
    JSON_FIELD("annotations", FIELD_RAW, struct image_platforms, annotations),
    {.name = "manifests",
                                                                     .type = FIELD_OBJECTS,
                                                                     .offset = offsetof(struct image_platforms, v),
                                                                     .count_offset = offsetof(struct image_platforms, n),
                                                                     .limit = LAYER_LIMIT,
                                                                     .elem_size = sizeof(struct image_platform),
                                                                     .fields = listed_fields},
    {0},
};

void image_platforms_done(struct image_platforms *p)
{
    json_fields_done(index_fields, p);
}

/* ---- Configuration ---- */

static const struct json_field step_fields[] = {
    TEXT(image_step, "created", created),
    TEXT(image_step, "created_by", created_by),
    TEXT(image_step, "comment", comment),
    JSON_FIELD("empty_layer", FIELD_BOOL, struct image_step, is_empty),
    {0},
};

static const struct json_field world_fields[] = {
    JSON_FIELD("exports", FIELD_STRINGS, struct image_world, exports),
    JSON_FIELD("imports", FIELD_STRINGS, struct image_world, imports),
    TEXT(image_world, "target", target),
    {0},
};

static const struct json_field config_fields[] = {
    TEXT(image_description, "created", created),
    TEXT(image_description, "author", author),
    TEXT(image_description, "architecture", architecture),
    TEXT(image_description, "os", os),
    {.name = "component",
                                   .type = FIELD_OBJECT,
                                   .offset = offsetof(struct image_description, component),
                                   .fields = world_fields},
    {.name = "history",
                                   .type = FIELD_OBJECTS,
                                   .offset = offsetof(struct image_description, history),
                                   .count_offset = offsetof(struct image_description, n_history),
                                   .limit = LAYER_LIMIT,
                                   .elem_size = sizeof(struct image_step),
                                   .fields = step_fields},
    {0                     },
};

void image_description_done(struct image_description *d)
{
    json_fields_done(manifest_fields, d);
    json_fields_done(config_fields, d);
    free(d->config_text);
    *d = (struct image_description){0};
}

/* ---- Reading ---- */

/* An annotation is a string by a name (image-spec, annotations.md). */
static int annotations_check(const char *json, struct err *e)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = ANNOTATION_DEPTH};
    struct json_members members = {0};

    if (!json)
        return 0;
    TRY(json_members_decode(json, strlen(json), limits, &members, e));
    json_members_done(&members);
    return 0;
}

static int annotations_check_all(const struct image_description *d, struct err *e)
{
    TRY(annotations_check(d->annotations, e));
    for (size_t i = 0; i < d->n_layers; i++)
        TRY(annotations_check(d->layers[i].annotations, e));
    return 0;
}

int image_description_decode(const struct buf *manifest, struct image_description *ret,
                             struct err *e)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = DEPTH_LIMIT};
    struct image_description d = {0};

    TRY(json_decode(buf_str(manifest), manifest->len, limits, manifest_fields, 0, &d, e));
    if (annotations_check_all(&d, e) < 0) {
        image_description_done(&d);
        return e->code;
    }
    *ret = d;
    return 0;
}

int image_platforms_decode(const struct buf *index, struct image_platforms *ret, struct err *e)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = DEPTH_LIMIT};
    struct image_platforms p = {0};
    int r;

    TRY(json_decode(buf_str(index), index->len, limits, index_fields, 0, &p, e));
    r = annotations_check(p.annotations, e);
    for (size_t i = 0; r >= 0 && i < p.n; i++)
        r = annotations_check(p.v[i].part.annotations, e);
    if (r < 0)
        image_platforms_done(&p);
    else
        *ret = p;
    return r;
}

/* Layers and the steps that made them are in the same order. */
static void history_join(struct image_description *d)
{
    size_t next = 0;

    if (!d->n_history && d->n_layers) {
        d->history = xcalloc(d->n_layers, sizeof(*d->history));
        d->n_history = d->n_layers;
        for (size_t i = 0; i < d->n_history; i++)
            if (d->created)
                d->history[i].created = xstrdup(d->created);
    }
    for (size_t i = 0; i < d->n_history; i++)
        if (!d->history[i].is_empty && next < d->n_layers)
            d->history[i].layer = &d->layers[next++];
}

void image_description_join(struct image_description *d, struct buf *config)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = DEPTH_LIMIT};
    struct err ignored = ERR_INIT;

    if (json_decode(buf_str(config), config->len, limits, config_fields, 0, d, &ignored) >= 0)
        d->config_text = buf_take(config);
    history_join(d);
}

static int blob_add(struct images *s, struct strv *seen, const char *text, int64_t *total,
                    struct err *e)
{
    autofd fd = -EBADF;
    struct digest d;
    int64_t size;

    if (strv_contains(seen, text))
        return 0;
    strv_add(seen, text);
    TRY(digest_parse(text, &d, e));
    TRY(images_blob_open_at(images_folder(s), &d, &fd, &size, e));
    *total += size;
    return 0;
}

static int disk_sum(struct images *s, const struct image *i, struct image_description *d,
                    struct err *e)
{
    char manifest[DIGEST_TEXT_SIZE];
    autostrv seen = STRV_INIT;

    digest_format(&i->manifest, manifest);
    TRY(blob_add(s, &seen, manifest, &d->disk_bytes, e));
    if (d->config.digest)
        TRY(blob_add(s, &seen, d->config.digest, &d->disk_bytes, e));
    for (size_t l = 0; l < d->n_layers; l++)
        TRY(blob_add(s, &seen, d->layers[l].digest, &d->disk_bytes, e));
    return i->program ? blob_add(s, &seen, i->program, &d->disk_bytes, e) : 0;
}

/* An artifact may have any configuration, also one that is no document. */
static int config_read(struct images *s, const struct image_part *config, struct buf *ret,
                       struct err *e)
{
    struct digest digest;

    if (!config->digest || config->size > (int64_t)IMAGE_DOCUMENT_LIMIT)
        return 0;
    TRY(digest_parse(config->digest, &digest, e));
    return images_text_read_at(images_folder(s), &digest, ret, e);
}

int image_describe(struct images *s, const struct image *i, struct image_description *ret,
                   struct err *e)
{
    autobuf manifest = BUF_INIT, config = BUF_INIT;
    struct image_description d = {0};
    int r = images_text_read_at(images_folder(s), &i->manifest, &manifest, e);

    if (r >= 0)
        r = image_description_decode(&manifest, &d, e);
    if (r >= 0)
        r = config_read(s, &d.config, &config, e);
    if (r >= 0)
        r = disk_sum(s, i, &d, e);
    if (r < 0) {
        image_description_done(&d);
        if (str_eq(e->reason, "BadJson") || str_eq(e->reason, "BadDigest"))
            e->reason = "BadImage";
        return err_prefix(e, "'%s'", i->name);
    }
    image_description_join(&d, &config);
    *ret = d;
    return 0;
}

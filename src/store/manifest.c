/* SPDX-License-Identifier: Apache-2.0 */
#include "store/manifest.h"

#include "base/json.h"

#define DEPTH_LIMIT      8 /* of nested JSON */
#define DESCRIPTOR_LIMIT 10000
#define TEXT_LIMIT       512
#define NAMES_SHOWN      8

#define TEXT(name_, member_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING,                                                     \
        .offset = offsetof(struct image_descriptor, member_), .limit = TEXT_LIMIT                  \
    }
#define LIST(name_, list_, count_)                                                                 \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct image_document, list_),  \
        .count_offset = offsetof(struct image_document, count_), .limit = DESCRIPTOR_LIMIT,        \
        .elem_size = sizeof(struct image_descriptor), .fields = descriptor_fields                  \
    }

static const struct json_field annotation_fields[] = {
    TEXT("org.opencontainers.image.ref.name", tag),
    TEXT("io.containerd.image.name", name),
    TEXT("module.wasm.image/variant", wasm.variant),
    TEXT("run.oci.handler", wasm.handler),
    {0},
};

static const struct json_field platform_fields[] = {
    TEXT("architecture", architecture),
    TEXT("os", os),
    {0},
};

static const struct json_field descriptor_fields[] = {
    TEXT("mediaType", media_type),
    {.name = "digest",
                               .type = FIELD_STRING,
                               .offset = offsetof(struct image_descriptor, digest),
                               .is_required = true,
                               .limit = TEXT_LIMIT},
    {.name = "size",
                               .type = FIELD_INT64,
                               .offset = offsetof(struct image_descriptor, size),
                               .is_required = true,
                               .max = INT64_MAX},
    {.name = "annotations",                        .type = FIELD_OBJECT, .fields = annotation_fields},
    {.name = "platform",                                          .type = FIELD_OBJECT, .fields = platform_fields},
    {0                       },
};

static const struct json_field document_annotation_fields[] = {
    {.name = "module.wasm.image/variant",
     .type = FIELD_STRING,
     .offset = offsetof(struct image_document, wasm.variant),
     .limit = TEXT_LIMIT},
    {.name = "run.oci.handler",
     .type = FIELD_STRING,
     .offset = offsetof(struct image_document, wasm.handler),
     .limit = TEXT_LIMIT},
    {0                     },
};

static const struct json_field document_fields[] = {
    {.name = "schemaVersion",
     .type = FIELD_INT64,
     .offset = offsetof(struct image_document, schema_version)},
    {.name = "mediaType",
     .type = FIELD_STRING,
     .offset = offsetof(struct image_document, media_type),
     .limit = TEXT_LIMIT},
    LIST("manifests", manifests, n_manifests),
    {.name = "config",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct image_document, config),
     .fields = descriptor_fields},
    LIST("layers", layers, n_layers),
    {.name = "annotations",                     .type = FIELD_OBJECT, .fields = document_annotation_fields},
    {0                            },
};

void image_descriptor_encode(const char *type, const char *digest, int64_t size,
                             struct json_writer *w)
{
    json_key_str(w, "mediaType", type);
    json_key_str(w, "digest", digest);
    json_key_int(w, "size", size);
}

void image_document_done(struct image_document *d)
{
    json_fields_done(document_fields, d);
}

bool image_type_is_schema_1(const char *media_type)
{
    return media_type && str_starts(media_type, "application/vnd.docker.distribution.manifest.v1+");
}

int image_schema_1_refuse(const char *name, struct err *e)
{
    return err_set(e, -EINVAL, "BadImage",
                   "%s is a manifest of Docker's schema 1, which is out of use; copy it to a newer "
                   "form first: skopeo copy --format oci docker://FROM docker://TO",
                   name);
}

int image_document_decode(const struct buf *text, const char *name, struct image_document *ret,
                          struct err *e)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = DEPTH_LIMIT};

    if (json_decode(text->data, text->len, limits, document_fields, 0, ret, e) < 0) {
        e->code = -EINVAL;
        e->reason = "BadImage";
        return err_prefix(e, "%s", name);
    }
    if (ret->schema_version == 1) {
        image_document_done(ret);
        return image_schema_1_refuse(name, e);
    }
    /* Two readers could see two images in it (CVE-2021-41190). */
    if (ret->n_manifests && ret->n_layers) {
        image_document_done(ret);
        return err_set(e, -EINVAL, "BadImage", "%s is both an index and a manifest", name);
    }
    return 0;
}

/* ---- Choosing ---- */

const struct image_descriptor *image_descriptor_find(const struct image_descriptor *list, size_t n,
                                                     image_is_wanted_fn is_wanted,
                                                     const char *which, size_t *ret_found)
{
    const struct image_descriptor *found = NULL;

    *ret_found = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_wanted || is_wanted(&list[i], which)) {
            found = &list[i];
            ++*ret_found;
        }
    return *ret_found == 1 ? found : NULL;
}

void image_descriptors_describe(const struct image_descriptor *list, size_t n,
                                image_describe_fn one, struct buf *out)
{
    for (size_t i = 0; i < n && i < NAMES_SHOWN; i++) {
        buf_addstr(out, i ? ", " : "");
        one(&list[i], out);
    }
    buf_addstr(out, n > NAMES_SHOWN ? ", ..." : n ? "" : "none");
}

bool image_wasm_is_said(const struct image_wasm *w)
{
    static const char *const handlers[] = {"wasm",     "wasm-smart", "wasmedge",
                                           "wasmtime", "wasmer",     "wamr"};

    if (w->variant && (str_eq(w->variant, "compat") || str_eq(w->variant, "compat-smart")))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
        if (w->handler && str_eq(w->handler, handlers[i]))
            return true;
    return false;
}

bool image_architecture_is_wasm(const char *architecture)
{
    return architecture && (str_eq(architecture, "wasm") || str_eq(architecture, "wasm32"));
}

/* The platform of a wasm image is written in many ways: wasi/wasm, wasip1/wasm32, js/wasm. `which`
 * may say the system. */
static bool is_for_wasm(const struct image_descriptor *d, const char *which)
{
    if (!image_architecture_is_wasm(d->architecture) && !image_wasm_is_said(&d->wasm))
        return false;
    return !which || (d->os && str_eq(d->os, which));
}

/* An image for this machine may have a program for WebAssembly in it, too. */
static bool is_for_here(const struct image_descriptor *d, const char *which)
{
    return d->os && d->architecture && str_eq(d->os, "linux") && str_eq(d->architecture, which);
}

const char image_architecture_here[] =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#elif defined(__riscv)
    "riscv64";
#elif defined(__powerpc64__)
    "ppc64le";
#elif defined(__s390x__)
    "s390x";
#else
    "unknown";
#endif

/* A layer of files, in any compression; not one that is encrypted. */
static bool is_files(const struct image_descriptor *d)
{
    static const char *const types[] = {
        IMAGE_LAYER_TYPE,
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    };
    static const char *const compressions[] = {"", "+gzip", ".gzip", "+zstd", ".zstd"};

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        for (size_t j = 0;
             d->media_type && str_starts(d->media_type, types[i]) && j < ARRAY_SIZE(compressions);
             j++)
            if (str_eq(d->media_type + strlen(types[i]), compressions[j]))
                return true;
    return false;
}

bool image_is_container(const struct image_document *manifest)
{
    for (size_t i = 0; i < manifest->n_layers; i++)
        if (!is_files(&manifest->layers[i]))
            return false;
    return manifest->n_layers && manifest->config.digest;
}

bool image_layer_is_program(const struct image_descriptor *d)
{
    static const char *const types[] = {
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (d->media_type && str_eq(d->media_type, types[i]))
            return true;
    return false;
}

static bool is_program(const struct image_descriptor *d, const char *which)
{
    (void)which;
    return image_layer_is_program(d);
}

static void describe_platform(const struct image_descriptor *d, struct buf *out)
{
    buf_addf(out, "%.32s/%.32s", d->os ? d->os : "?", d->architecture ? d->architecture : "?");
}

static void describe_type(const struct image_descriptor *d, struct buf *out)
{
    buf_addf(out, "%.128s", d->media_type ? d->media_type : "?");
}

void image_types_describe(const struct image_descriptor *list, size_t n, struct buf *out)
{
    image_descriptors_describe(list, n, describe_type, out);
}

static void not_runnable(size_t n_found, const char *what, const struct image_descriptor *list,
                         size_t n, image_describe_fn one, struct err *e)
{
    autobuf names = BUF_INIT;

    image_descriptors_describe(list, n, one, &names);
    err_set(e, -ENOEXEC, "NotRunnable", "%s %s; it has: %s", n_found ? "more than one" : "none",
            what, buf_str(&names));
}

/* The one that is for more programs first. */
static const char *const systems[] = {"wasip2", "wasip1", "wasi"};

unsigned image_platform_rank(const struct image_descriptor *d)
{
    for (unsigned i = 0; i < ARRAY_SIZE(systems); i++)
        if (is_for_wasm(d, systems[i]))
            return i;
    return is_for_wasm(d, NULL) ? IMAGE_RANK_WASM : is_for_here(d, image_architecture_here) ? 4 : 5;
}

const struct image_descriptor *image_platform_find(const struct image_document *index,
                                                   struct err *e)
{
    const struct image_descriptor *list = index->manifests;
    size_t n, n_all = index->n_manifests, n_of;
    const struct image_descriptor *found =
        image_descriptor_find(list, n_all, is_for_wasm, NULL, &n);

    for (size_t i = 0, n_said = 0; n > 1 && !n_said && i < ARRAY_SIZE(systems); i++)
        found = image_descriptor_find(list, n_all, is_for_wasm, systems[i], &n_said);
    if (!n)
        found = image_descriptor_find(list, n_all, NULL, NULL, &n_of);
    if (!n && !found)
        found = image_descriptor_find(list, n_all, is_for_here, image_architecture_here, &n_of);
    if (!found)
        not_runnable(n, "of its platforms is for WebAssembly", index->manifests, index->n_manifests,
                     describe_platform, e);
    return found;
}

int image_manifest_reach(struct image_document *d, image_document_read_fn read, void *ctx,
                         struct err *e)
{
    for (unsigned depth = 0; d->n_manifests; depth++) {
        const struct image_descriptor *found = image_platform_find(d, e);
        struct image_document next = {0};

        if (!found)
            return e->code;
        if (depth == IMAGE_INDEX_LIMIT)
            return err_set(e, -EINVAL, "BadImage", "its indexes are nested too deep");
        TRY(read(ctx, found, &next, e));
        image_document_done(d);
        *d = next;
    }
    return 0;
}

const struct image_descriptor *image_program_find(const struct image_document *manifest,
                                                  struct err *e)
{
    size_t n;
    const struct image_descriptor *found =
        image_descriptor_find(manifest->layers, manifest->n_layers, is_program, NULL, &n);

    if (!found)
        not_runnable(n, "of its layers is a WebAssembly program (application/wasm)",
                     manifest->layers, manifest->n_layers, describe_type, e);
    return found;
}

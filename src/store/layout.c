/* SPDX-License-Identifier: Apache-2.0 */
#include "store/layout.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/fds.h"
#include "base/json.h"

#define VERSION_LIMIT_BYTES  4096
#define DOCUMENT_LIMIT_BYTES (4u << 20) /* what registries and other readers accept */
#define DEPTH_LIMIT          8          /* of nested JSON */
#define INDEX_LIMIT          4          /* an index may list indexes */
#define DESCRIPTOR_LIMIT     10000
#define TEXT_LIMIT           512
#define NAMES_SHOWN          8

/* descriptor.md */
struct descriptor {
    char *media_type;
    char *digest;
    int64_t size;
    char *tag;
    char *architecture, *os;
};

/* An index or a manifest, whichever of the two lists it has. */
struct document {
    char *media_type;             /* has to be a text, and says no more than the lists do */
    struct descriptor *manifests; /* index.md */
    size_t n_manifests;
    struct descriptor *layers; /* manifest.md */
    size_t n_layers;
};

#define TEXT(name_, member_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct descriptor, member_),     \
        .limit = TEXT_LIMIT                                                                        \
    }
#define LIST(name_, list_, count_)                                                                 \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct document, list_),        \
        .count_offset = offsetof(struct document, count_), .limit = DESCRIPTOR_LIMIT,              \
        .elem_size = sizeof(struct descriptor), .fields = descriptor_fields                        \
    }

static const struct json_field annotation_fields[] = {
    TEXT("org.opencontainers.image.ref.name", tag),
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
                               .offset = offsetof(struct descriptor, digest),
                               .is_required = true,
                               .limit = TEXT_LIMIT},
    {.name = "size",
                               .type = FIELD_INT64,
                               .offset = offsetof(struct descriptor, size),
                               .is_required = true,
                               .max = INT64_MAX},
    {.name = "annotations",                  .type = FIELD_OBJECT, .fields = annotation_fields},
    {.name = "platform",                                    .type = FIELD_OBJECT, .fields = platform_fields},
    {0                 },
};

static const struct json_field document_fields[] = {
    {.name = "mediaType",
     .type = FIELD_STRING,
     .offset = offsetof(struct document, media_type),
     .limit = TEXT_LIMIT},
    LIST("manifests", manifests, n_manifests),
    LIST("layers", layers, n_layers),
    {0},
};

static void document_done(struct document *d)
{
    json_fields_done(document_fields, d);
}
#define autodocument __attribute__((cleanup(document_done))) struct document

/* ---- Reading ---- */

static int bad(struct err *e, const char *what)
{
    e->code = -EINVAL;
    e->reason = "BadImage";
    return err_prefix(e, "%s", what);
}

static int document_decode(const struct buf *text, const char *name, struct document *ret,
                           struct err *e)
{
    struct json_limits limits = {.bytes = DOCUMENT_LIMIT_BYTES, .depth = DEPTH_LIMIT};

    if (json_decode(text->data, text->len, limits, document_fields, 0, ret, e) < 0)
        return bad(e, name);
    /* Two readers could see two images in it (CVE-2021-41190). */
    if (ret->n_manifests && ret->n_layers) {
        document_done(ret);
        return err_set(e, -EINVAL, "BadImage", "%s is both an index and a manifest", name);
    }
    return 0;
}

static int version_check(int dirfd, struct err *e)
{
    static const struct json_field fields[] = {
        {.name = "imageLayoutVersion", .type = FIELD_STRING, .is_required = true},
        {0        },
    };
    struct json_limits limits = {.bytes = VERSION_LIMIT_BYTES, .depth = DEPTH_LIMIT};
    autobuf text = BUF_INIT;
    autofree char *version = NULL;

    if (file_read_at(dirfd, "oci-layout", VERSION_LIMIT_BYTES, &text, e) < 0 ||
        json_decode(text.data, text.len, limits, fields, 0, &version, e) < 0)
        return bad(e, "it is no OCI image layout");
    if (!str_starts(version, "1."))
        return err_set(e, -EINVAL, "BadImage", "it is an OCI image layout of version %.32s, not 1",
                       version);
    return 0;
}

/* Opens what the descriptor tells of, and makes sure that it is that. */
static int blob_open(int dirfd, const struct descriptor *d, int *ret_fd, struct err *e)
{
    char hex[DIGEST_HEX_SIZE], name[sizeof("blobs/sha256/") + DIGEST_HEX_SIZE];
    struct digest wanted, found;
    struct stat st;
    autofd fd = -EBADF;

    if (digest_parse(d->digest, &wanted, e) < 0)
        return bad(e, "it names something by another digest than SHA-256");
    digest_hex_format(&wanted, hex);
    snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
    fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, "BadImage", "'%s' cannot be opened", name);
    if (!S_ISREG(st.st_mode) || st.st_size != d->size)
        return err_set(e, -EINVAL, "BadImage", "'%s' has %lld bytes instead of %lld", name,
                       (long long)st.st_size, (long long)d->size);
    TRY(digest_fd(fd, &found, e));
    if (memcmp(&found, &wanted, sizeof(found)) != 0)
        return err_set(e, -EINVAL, "BadImage", "'%s' is damaged: its content has another digest",
                       name);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int document_read(int dirfd, const struct descriptor *d, struct document *ret, struct err *e)
{
    autobuf text = BUF_INIT;
    autofd fd = -EBADF;

    if (d->size > DOCUMENT_LIMIT_BYTES)
        return err_set(e, -EINVAL, "BadImage", "%s has %lld bytes, more than a manifest may have",
                       d->digest, (long long)d->size);
    TRY(blob_open(dirfd, d, &fd, e));
    TRY(fd_read_all(fd, DOCUMENT_LIMIT_BYTES, &text, e));
    return document_decode(&text, d->digest, ret, e);
}

/* ---- Choosing ---- */

typedef bool (*is_wanted_fn)(const struct descriptor *d, const char *which);
typedef void (*describe_fn)(const struct descriptor *d, struct buf *out);

static bool has_digest(const struct descriptor *d, const char *which)
{
    return str_eq(d->digest, which + 1);
}

static bool has_tag(const struct descriptor *d, const char *which)
{
    return d->tag && str_eq(d->tag, which);
}

static bool is_any(const struct descriptor *d, const char *which)
{
    (void)d, (void)which;
    return true;
}

/* The platform of a wasm image is written in many ways: wasi/wasm, wasip1/wasm32, js/wasm. */
static bool is_for_wasm(const struct descriptor *d, const char *which)
{
    (void)which;
    return d->architecture &&
           (str_eq(d->architecture, "wasm") || str_eq(d->architecture, "wasm32"));
}

static bool is_program(const struct descriptor *d, const char *which)
{
    static const char *const types[] = {
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    };

    (void)which;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (d->media_type && str_eq(d->media_type, types[i]))
            return true;
    return false;
}

static void describe_name(const struct descriptor *d, struct buf *out)
{
    buf_addf(out, "%s%.128s", d->tag ? "" : "@", d->tag ? d->tag : d->digest);
}

static void describe_platform(const struct descriptor *d, struct buf *out)
{
    buf_addf(out, "%.32s/%.32s", d->os ? d->os : "?", d->architecture ? d->architecture : "?");
}

static void describe_type(const struct descriptor *d, struct buf *out)
{
    buf_addf(out, "%.128s", d->media_type ? d->media_type : "?");
}

/* The one that is wanted; NULL when there are none or several. */
static const struct descriptor *find_one(const struct descriptor *list, size_t n,
                                         is_wanted_fn is_wanted, const char *which,
                                         size_t *ret_found)
{
    const struct descriptor *found = NULL;

    *ret_found = 0;
    for (size_t i = 0; i < n; i++)
        if (is_wanted(&list[i], which)) {
            found = &list[i];
            ++*ret_found;
        }
    return *ret_found == 1 ? found : NULL;
}

static void describe(const struct descriptor *list, size_t n, describe_fn one, struct buf *out)
{
    for (size_t i = 0; i < n && i < NAMES_SHOWN; i++) {
        buf_addstr(out, i ? ", " : "");
        one(&list[i], out);
    }
    buf_addstr(out, n > NAMES_SHOWN ? ", ..." : n ? "" : "none");
}

static void not_runnable(size_t n_found, const char *what, const struct descriptor *list, size_t n,
                         describe_fn one, struct err *e)
{
    autobuf names = BUF_INIT;

    describe(list, n, one, &names);
    err_set(e, -ENOEXEC, "NotRunnable", "%s %s; it has: %s", n_found ? "more than one" : "none",
            what, buf_str(&names));
}

/* These return NULL and fill *e when there is not exactly one. */

static const struct descriptor *image_find(const struct document *index, const char *image,
                                           struct err *e)
{
    is_wanted_fn is_wanted = *image == '@' ? has_digest : *image ? has_tag : is_any;
    autobuf names = BUF_INIT;
    size_t n;
    const struct descriptor *found =
        find_one(index->manifests, index->n_manifests, is_wanted, image, &n);

    if (found)
        return found;
    describe(index->manifests, index->n_manifests, describe_name, &names);
    if (n)
        err_set(e, -ENOENT, "NotFound", "there are %zu images%s%.128s%s in it; name one of: %s", n,
                *image ? " '" : "", image, *image ? "'" : "", buf_str(&names));
    else
        err_set(e, -ENOENT, "NotFound", "there is no image '%.128s' in it; it has: %s", image,
                buf_str(&names));
    return NULL;
}

static const struct descriptor *platform_find(const struct document *index, struct err *e)
{
    size_t n, n_any;
    const struct descriptor *found =
        find_one(index->manifests, index->n_manifests, is_for_wasm, NULL, &n);

    if (!n)
        found = find_one(index->manifests, index->n_manifests, is_any, NULL, &n_any);
    if (!found)
        not_runnable(n, "of its platforms is for WebAssembly", index->manifests, index->n_manifests,
                     describe_platform, e);
    return found;
}

static const struct descriptor *layer_find(const struct document *manifest, struct err *e)
{
    size_t n;
    const struct descriptor *found =
        find_one(manifest->layers, manifest->n_layers, is_program, NULL, &n);

    if (!found)
        not_runnable(n, "of its layers is a WebAssembly program (application/wasm)",
                     manifest->layers, manifest->n_layers, describe_type, e);
    return found;
}

int layout_program_open(int dirfd, const char *image, int *ret_fd, struct err *e)
{
    const struct descriptor *d;
    autobuf text = BUF_INIT;
    autodocument found = {0};

    TRY(version_check(dirfd, e));
    if (file_read_at(dirfd, "index.json", DOCUMENT_LIMIT_BYTES, &text, e) < 0)
        return bad(e, "it is no OCI image layout");
    TRY(document_decode(&text, "index.json", &found, e));
    d = image_find(&found, image, e);
    for (unsigned depth = 0; d; depth++) {
        struct document next = {0};

        TRY(document_read(dirfd, d, &next, e));
        document_done(&found);
        found = next;
        if (!found.n_manifests)
            break;
        if (depth == INDEX_LIMIT)
            return err_set(e, -EINVAL, "BadImage", "its indexes are nested too deep");
        d = platform_find(&found, e);
    }
    if (d)
        d = layer_find(&found, e);
    return d ? blob_open(dirfd, d, ret_fd, e) : e->code;
}

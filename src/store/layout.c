/* SPDX-License-Identifier: Apache-2.0 */
#include "store/layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/fds.h"
#include "base/json.h"
#include "store/manifest.h"
#include "store/store_folder.h"

#define VERSION_LIMIT_BYTES 4096
#define DEPTH_LIMIT         8 /* of nested JSON */

/* ---- Reading ---- */

static int bad(struct err *e, const char *what)
{
    e->code = -EINVAL;
    e->reason = "BadImage";
    return err_prefix(e, "%s", what);
}

int layout_version_check(const struct buf *text, struct err *e)
{
    static const struct json_field fields[] = {
        {.name = "imageLayoutVersion", .type = FIELD_STRING, .is_required = true},
        {0        },
    };
    struct json_limits limits = {.bytes = VERSION_LIMIT_BYTES, .depth = DEPTH_LIMIT};
    autofree char *version = NULL;

    if (json_decode(text->data, text->len, limits, fields, 0, &version, e) < 0)
        return bad(e, "it is no OCI image layout");
    if (!str_starts(version, "1."))
        return err_set(e, -EINVAL, "BadImage", "it is an OCI image layout of version %.32s, not 1",
                       version);
    return 0;
}

int layout_index_read(int dirfd, struct image_document *ret, struct err *e)
{
    autobuf version = BUF_INIT, text = BUF_INIT;

    if (file_read_at(dirfd, "oci-layout", VERSION_LIMIT_BYTES, &version, e) < 0)
        return bad(e, "it is no OCI image layout");
    TRY(layout_version_check(&version, e));
    if (file_read_at(dirfd, "index.json", IMAGE_DOCUMENT_LIMIT, &text, e) < 0)
        return bad(e, "it is no OCI image layout");
    return image_document_decode(&text, "index.json", ret, e);
}

static int named_open(int dirfd, const struct image_descriptor *d, const char *name, int *ret_fd,
                      struct err *e)
{
    autofd fd = file_open_at(dirfd, name);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, fd < 0 ? fd : -errno, "BadImage", "'%s' cannot be opened", name);
    if (!S_ISREG(st.st_mode) || st.st_size != d->size)
        return err_set(e, -EINVAL, "BadImage", "'%s' has %lld bytes instead of %lld", name,
                       (long long)st.st_size, (long long)d->size);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int name_find(const struct image_descriptor *d, struct digest *ret_digest,
                     char ret[static STORE_BLOB_PATH_SIZE], struct err *e)
{
    if (digest_parse(d->digest, ret_digest, e) < 0)
        return bad(e, "it names something by another digest than SHA-256");
    store_blob_path("blobs/sha256/", ret_digest, ret);
    return 0;
}

int layout_blob_open(int dirfd, const struct image_descriptor *d, int *ret_fd, struct err *e)
{
    char name[STORE_BLOB_PATH_SIZE];
    struct digest wanted;

    TRY(name_find(d, &wanted, name, e));
    return named_open(dirfd, d, name, ret_fd, e);
}

/* Opens what the descriptor tells of, and makes sure that it is that. */
static int blob_open(int dirfd, const struct image_descriptor *d, int *ret_fd,
                     struct digest *ret_digest, struct err *e)
{
    char name[STORE_BLOB_PATH_SIZE];
    struct digest wanted, found;
    autofd fd = -EBADF;

    TRY(name_find(d, &wanted, name, e));
    TRY(named_open(dirfd, d, name, &fd, e));
    TRY(digest_fd(fd, &found, e));
    if (memcmp(&found, &wanted, sizeof(found)) != 0)
        return err_set(e, -EINVAL, "BadImage", "'%s' is damaged: its content has another digest",
                       name);
    *ret_fd = take_fd(&fd);
    *ret_digest = found;
    return 0;
}

int layout_text_read(int dirfd, const struct image_descriptor *d, struct buf *ret, struct err *e)
{
    struct digest digest;
    autofd fd = -EBADF;

    if (d->size > IMAGE_DOCUMENT_LIMIT)
        return err_set(e, -EINVAL, "BadImage", "%s has %lld bytes, more than a manifest may have",
                       d->digest, (long long)d->size);
    TRY(blob_open(dirfd, d, &fd, &digest, e));
    return fd_read_all(fd, IMAGE_DOCUMENT_LIMIT, ret, e);
}

struct documents {
    int dirfd;
    struct image *image; /* is told of each document as of a manifest */
};

/* For image_manifest_reach(). */
static int document_read(void *ctx, const struct image_descriptor *d, struct image_document *ret,
                         struct err *e)
{
    const struct documents *documents = ctx;
    struct image *image = documents->image;
    autobuf text = BUF_INIT;
    const char *type;

    TRY(layout_text_read(documents->dirfd, d, &text, e));
    TRY(image_document_decode(&text, d->digest, ret, e));
    BUG_ON(digest_parse(d->digest, &image->manifest, e) < 0); /* it was read by it */
    type = ret->media_type ? ret->media_type : d->media_type;
    free(image->manifest_type);
    image->manifest_type = type ? xstrdup(type) : NULL;
    image->manifest_size = d->size;
    return 0;
}

/* ---- Choosing ---- */

static bool has_digest(const struct image_descriptor *d, const char *which)
{
    return str_eq(d->digest, which + 1);
}

static bool has_tag(const struct image_descriptor *d, const char *which)
{
    return d->tag && str_eq(d->tag, which);
}

static void describe_name(const struct image_descriptor *d, struct buf *out)
{
    buf_addf(out, "%s%.128s", d->tag ? "" : "@", d->tag ? d->tag : d->digest);
}

const struct image_descriptor *layout_image_find(const struct image_document *index,
                                                 const char *image, struct err *e)
{
    image_is_wanted_fn is_wanted = *image == '@' ? has_digest : *image ? has_tag : NULL;
    autobuf names = BUF_INIT;
    size_t n;
    const struct image_descriptor *found =
        image_descriptor_find(index->manifests, index->n_manifests, is_wanted, image, &n);

    if (found)
        return found;
    image_descriptors_describe(index->manifests, index->n_manifests, describe_name, &names);
    if (n)
        err_set(e, -ENOENT, "NotFound", "there are %zu images%s%.128s%s in it; name one of: %s", n,
                *image ? " '" : "", image, *image ? "'" : "", buf_str(&names));
    else
        err_set(e, -ENOENT, "NotFound", "there is no image '%.128s' in it; it has: %s", image,
                buf_str(&names));
    return NULL;
}

int layout_manifest_follow(int dirfd, const struct image_descriptor *d, struct image_document *ret,
                           struct image *ret_image, struct err *e)
{
    struct documents documents = {dirfd, ret_image};
    autodocument found = {0};

    TRY(document_read(&documents, d, &found, e));
    TRY(image_manifest_reach(&found, document_read, &documents, e));
    *ret = found;
    found = (struct image_document){0};
    return 0;
}

int layout_manifest_read(int dirfd, const char *image, struct image_document *ret,
                         struct digest *ret_digest, struct err *e)
{
    __attribute__((cleanup(image_done))) struct image found = {0};
    const struct image_descriptor *d;
    autodocument index = {0};

    TRY(layout_index_read(dirfd, &index, e));
    d = layout_image_find(&index, image, e);
    if (!d)
        return e->code;
    TRY(layout_manifest_follow(dirfd, d, ret, &found, e));
    *ret_digest = found.manifest;
    return 0;
}

int layout_program_open(int dirfd, const char *image, int *ret_fd, struct digest *ret_digest,
                        struct err *e)
{
    const struct image_descriptor *d;
    autodocument manifest = {0};
    struct digest digest;

    TRY(layout_manifest_read(dirfd, image, &manifest, &digest, e));
    if (image_is_container(&manifest))
        return err_set(
            e, -ENOEXEC, LAYOUT_NEEDS_UNPACKING,
            "its program is a file in a layer; 'wherry run' and 'wherry pull' take it out");
    d = image_program_find(&manifest, e);
    return d ? blob_open(dirfd, d, ret_fd, ret_digest, e) : e->code;
}

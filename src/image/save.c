/* SPDX-License-Identifier: Apache-2.0 */
#include "image/save.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/json.h"
#include "image/docker_archive.h"
#include "image/tarball.h"
#include "store/layout.h"

#define OCI_BLOBS   "blobs/sha256/"
#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"

struct saved {
    struct image image;
    char *tag; /* NULL: its name is a digest */
    struct image_document manifest;
};

struct save {
    struct images *images;
    struct saved *saved; /* in the order of names */
    size_t n_saved;
    struct digest *blobs; /* of all of them, each once, in order */
    size_t n_blobs;
};

static void saved_done(struct saved *s)
{
    image_done(&s->image);
    image_document_done(&s->manifest);
    free(s->tag);
}

void save_free(struct save *v)
{
    for (size_t i = 0; i < v->n_saved; i++)
        saved_done(&v->saved[i]);
    free(v->saved);
    free(v->blobs);
    free(v);
}

/* ---- What there is to save ---- */

static int image_read(struct images *s, const char *name, struct saved *ret, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    __attribute__((cleanup(image_done))) struct image same = {0};
    struct image_descriptor d = {0};
    char digest[DIGEST_TEXT_SIZE];
    int found;

    TRY(reference_parse(name, &r, e));
    found = images_find(s, &r, &ret->image, e);
    TRY(found);
    if (!found)
        return err_set(e, -ENOENT, "NotFound", "there is no image '%s'; see 'wherry images'", name);
    TRY(images_lease(s, &ret->image, e)); /* it may be removed meanwhile */
    digest_format(&ret->image.manifest, digest);
    d.digest = digest;
    d.size = ret->image.manifest_size;
    if (layout_manifest_follow(images_folder(s), &d, &ret->manifest, &same, e) < 0)
        return err_prefix(e, "'%s' cannot be saved", name);
    if (!r.has_digest)
        ret->tag = xstrdup(r.tag);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct saved *)a)->image.name, ((const struct saved *)b)->image.name);
}

/* Sorts a list and leaves one of what is equal. */
static size_t sort_unique(void *list, size_t n, size_t size,
                          int (*compare)(const void *a, const void *b), void (*drop)(void *one))
{
    char *v = list;
    size_t kept = n ? 1 : 0;

    if (n)
        qsort(list, n, size, compare);
    for (size_t i = 1; i < n; i++) {
        if (!compare(v + (kept - 1) * size, v + i * size)) {
            if (drop)
                drop(v + i * size);
            continue;
        }
        if (kept != i)
            memcpy(v + kept * size, v + i * size, size);
        kept++;
    }
    return kept;
}

static void saved_drop(void *one)
{
    saved_done(one);
}

static int blobs_list(struct save *v, struct err *e)
{
    size_t n = 0;

    for (size_t i = 0; i < v->n_saved; i++)
        n += v->saved[i].manifest.n_layers + 2;
    v->blobs = xcalloc(n, sizeof(*v->blobs));
    for (size_t i = 0; i < v->n_saved; i++) {
        const struct image_document *m = &v->saved[i].manifest;

        v->blobs[v->n_blobs++] = v->saved[i].image.manifest;
        if (m->config.digest)
            TRY(digest_parse(m->config.digest, &v->blobs[v->n_blobs++], e));
        for (size_t l = 0; l < m->n_layers; l++)
            TRY(digest_parse(m->layers[l].digest, &v->blobs[v->n_blobs++], e));
    }
    v->n_blobs = sort_unique(v->blobs, v->n_blobs, sizeof(*v->blobs), digest_compare, NULL);
    return 0;
}

int save_new(struct images *s, const struct strv *names, struct save **ret, struct err *e)
{
    AUTO(save) v = xcalloc(1, sizeof(*v));

    v->images = s;
    v->saved = xcalloc(names->n, sizeof(*v->saved));
    for (size_t i = 0; i < names->n; i++) {
        v->n_saved++;
        TRY(image_read(s, names->v[i], &v->saved[i], e));
    }
    v->n_saved = sort_unique(v->saved, v->n_saved, sizeof(*v->saved), by_name, saved_drop);
    TRY(blobs_list(v, e));
    *ret = take_ptr(v);
    return 0;
}

/* ---- Documents ---- */

static void descriptor_encode(const struct saved *s, struct json_writer *w)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_format(&s->image.manifest, digest);
    json_begin_object(w);
    image_descriptor_encode(s->image.manifest_type ? s->image.manifest_type : IMAGE_MANIFEST_TYPE,
                            digest, s->image.manifest_size, w);
    json_key(w, "annotations");
    json_begin_object(w);
    json_key_str(w, "io.containerd.image.name", s->image.name);
    if (s->tag)
        json_key_str(w, "org.opencontainers.image.ref.name", s->tag);
    json_end_object(w);
    json_end_object(w);
}

static int index_encode(const struct save *v, struct buf *ret, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_int(&w, "schemaVersion", 2);
    json_key_str(&w, "mediaType", IMAGE_INDEX_TYPE);
    json_key(&w, "manifests");
    json_begin_array(&w);
    for (size_t i = 0; i < v->n_saved; i++)
        descriptor_encode(&v->saved[i], &w);
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

static int docker_encode(const struct save *v, struct buf *ret, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_array(&w);
    for (size_t i = 0; i < v->n_saved; i++)
        TRY(docker_archive_encode(v->saved[i].image.name, &v->saved[i].manifest, &w, e));
    json_end_array(&w);
    return json_writer_finish(&w, e);
}

/* ---- Archive ---- */

static char *blob_name(const struct digest *d)
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex_format(d, hex);
    return xasprintf("%s%s", OCI_BLOBS, hex);
}

int save_archive(struct save *v, enum save_format format, int fd, struct err *e)
{
    AUTO(tarball_writer) w = NULL;
    autobuf index = BUF_INIT, docker = BUF_INIT;

    TRY(index_encode(v, &index, e));
    if (format == SAVE_DOCKER_ARCHIVE)
        TRY(docker_encode(v, &docker, e));
    w = tarball_writer_new(fd);
    TRY(tarball_writer_folder(w, "blobs", e));
    TRY(tarball_writer_folder(w, "blobs/sha256", e));
    for (size_t i = 0; i < v->n_blobs; i++) {
        autofree char *name = blob_name(&v->blobs[i]);
        autofd blob = -EBADF;
        int64_t size;

        TRY(images_blob_open_at(images_folder(v->images), &v->blobs[i], &blob, &size, e));
        TRY(tarball_writer_file(w, name, blob, size, e));
    }
    TRY(tarball_writer_text(w, "index.json", index.data, index.len, e));
    if (docker.len)
        TRY(tarball_writer_text(w, DOCKER_ARCHIVE_MANIFEST, docker.data, docker.len, e));
    TRY(tarball_writer_text(w, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), e));
    return tarball_writer_finish(w, e);
}

/* ---- Folder ---- */

static int write_failed(struct err *e, const char *name)
{
    return err_errno(e, -errno, errno_is_disk_full(errno) ? "DiskFull" : "WriteFailed",
                     "cannot write '%s'", name);
}

static int blob_copy(struct save *v, const struct digest *d, int dirfd, struct err *e)
{
    autofree char *name = blob_name(d);
    autofd from = -EBADF, to = -EBADF;
    int64_t size, left;

    TRY(images_blob_open_at(images_folder(v->images), d, &from, &size, e));
    to = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (to < 0)
        return write_failed(e, name);
    for (left = size; left > 0;) {
        ssize_t n = sendfile(to, from, NULL, (size_t)(left < INT_MAX ? left : INT_MAX));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return write_failed(e, name);
        if (!n)
            return err_set(e, -EIO, "ReadFailed", "'%s' of the image store ended early", name);
        left -= n;
    }
    return 0;
}

int save_folder(struct save *v, int dirfd, struct err *e)
{
    autobuf index = BUF_INIT;

    TRY(index_encode(v, &index, e));
    if (mkdirat(dirfd, "blobs", 0755) < 0 || mkdirat(dirfd, "blobs/sha256", 0755) < 0)
        return write_failed(e, "blobs/sha256");
    for (size_t i = 0; i < v->n_blobs; i++)
        TRY(blob_copy(v, &v->blobs[i], dirfd, e));
    TRY(file_write_at(dirfd, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644, 0, e));
    return file_write_at(dirfd, "index.json", index.data, index.len, 0644, 0, e);
}

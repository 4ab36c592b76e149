/* SPDX-License-Identifier: Apache-2.0 */
#include "image/load.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "image/docker_archive.h"
#include "image/pull.h"
#include "image/tarball.h"
#include "store/layout.h"

#define COPY_BYTES (256 << 10)

/* ---- Blobs of an archive: all that have their digest as their name, and docker's layers ---- */

struct document {
    const char *name;
    size_t limit;
    struct buf text;
    bool is_there;
};

/* A blob of which progress is told; its descriptor has to stay where it is. */
struct told {
    struct told *next;
    struct image_descriptor blob;
    char digest[DIGEST_TEXT_SIZE];
};

struct load {
    struct images *images;
    const struct load_options *o;
    struct document version, index, docker;
    struct document *document; /* what is being read: this, or a layer, or a blob */
    char *layer;               /* by its name */
    int layer_fd;
    struct blob_writer *writer;
    struct docker_layers *layers;
    struct told *told;
};

static void load_init(struct load *l, struct images *s, const struct load_options *o)
{
    *l = (struct load){
        .images = s,
        .o = o,
        .version = {.name = "oci-layout",            .limit = 4096                },
        .index = {.name = "index.json",            .limit = IMAGE_DOCUMENT_LIMIT},
        .docker = {.name = DOCKER_ARCHIVE_MANIFEST, .limit = IMAGE_DOCUMENT_LIMIT},
        .layer_fd = -EBADF,
        .layers = docker_layers_new(),
    };
}

static void load_done(struct load *l)
{
    if (l->writer) {
        struct err e = ERR_INIT;

        /* Half a blob of an archive that has come to its end is of no use. */
        blob_writer_restart(l->writer, &e);
        blob_writer_free(l->writer);
    }
    if (l->layer_fd >= 0)
        close(l->layer_fd);
    free(l->layer);
    docker_layers_free(l->layers);
    buf_done(&l->version.text);
    buf_done(&l->index.text);
    buf_done(&l->docker.text);
    while (l->told) {
        struct told *next = l->told->next;

        free(l->told);
        l->told = next;
    }
}
#define autoload __attribute__((cleanup(load_done))) struct load

static void progress_tell(const struct load *l, int64_t have)
{
    if (l->o->progress)
        l->o->progress(l->o->ctx, &l->told->blob, have);
}

static struct told *told_add(struct load *l, int64_t size)
{
    struct told *t = xcalloc(1, sizeof(*t));

    t->blob = (struct image_descriptor){.digest = t->digest, .size = size};
    t->next = l->told;
    l->told = t;
    return t;
}

/* 1 when it is to be written. */
static int blob_begin(struct load *l, const struct digest *d, int64_t size, struct err *e)
{
    int64_t at = 0;
    int r;

    digest_format(d, told_add(l, size)->digest);
    r = images_blob_begin(l->images, d, &l->writer, &at, e);
    TRY(r);
    if (at)
        TRY(blob_writer_restart(l->writer, e)); /* all of it comes again */
    progress_tell(l, r ? size : 0);
    return !r;
}

static int blob_end(struct load *l, struct err *e)
{
    int64_t size = blob_writer_size(l->writer);

    TRY(blob_writer_commit(take_ptr(l->writer), e));
    progress_tell(l, size);
    return 0;
}

/* A layer's digest is known when all of it is there. */
static int layer_begin(struct load *l, const struct tarball_entry *t, struct err *e)
{
    if (t->kind != TARBALL_FILE)
        return docker_layers_add(l->layers, t, NULL, e);
    TRY(images_file_open(l->images, &l->layer_fd, e));
    l->layer = xstrdup(t->name);
    told_add(l, t->size);
    if (t->size) /* otherwise it would be told complete, and has no digest yet */
        progress_tell(l, 0);
    return 1;
}

static int layer_data(struct load *l, const void *data, size_t len, struct err *e)
{
    off_t at;

    TRY(images_file_write(l->layer_fd, data, len, e));
    at = lseek(l->layer_fd, 0, SEEK_CUR);
    if (at < l->told->blob.size)
        progress_tell(l, at);
    return 0;
}

static int layer_end(struct load *l, struct err *e)
{
    autofree char *name = take_ptr(l->layer);
    struct tarball_entry t = {.name = name, .link = "", .kind = TARBALL_FILE};
    autofd fd = take_fd(&l->layer_fd);
    struct digest d;
    int64_t size;

    TRY(images_file_add(l->images, fd, &d, &size, e));
    digest_format(&d, l->told->digest);
    progress_tell(l, size);
    return docker_layers_add(l->layers, &t, &d, e);
}

static struct document *document_find(struct load *l, const char *name)
{
    struct document *all[] = {&l->version, &l->index, &l->docker};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (str_eq(name, all[i]->name))
            return all[i];
    return NULL;
}

static int document_begin(struct load *l, struct document *d, int64_t size, struct err *e)
{
    if (d->is_there)
        return err_set(e, -EINVAL, "BadImage", "'%s' is in the archive twice", d->name);
    if (size > (int64_t)d->limit)
        return err_set(e, -EFBIG, "TooLarge", "'%s' of the archive has %lld bytes, more than %zu",
                       d->name, (long long)size, d->limit);
    d->is_there = true;
    l->document = d;
    return 1;
}

/* docker links layers to each other, and podman ID/layer.tar, for readers from before 2016, to the
 * layer; no other link is known. */
static bool may_be_in(const struct tarball_entry *t, bool is_needed)
{
    if (t->kind == TARBALL_SYMLINK || t->kind == TARBALL_HARD_LINK)
        return !is_needed && docker_layer_is(t->name);
    return t->kind == TARBALL_FILE || (t->kind == TARBALL_FOLDER && !is_needed);
}

static int on_entry(void *ctx, const struct tarball_entry *t, struct err *e)
{
    struct load *l = ctx;
    struct document *document = document_find(l, t->name);
    struct digest d;
    bool is_blob = docker_archive_digest(t->name, &d);

    if (!may_be_in(t, document || is_blob))
        return err_set(e, -EINVAL, "BadImage", "'%.200s' in the archive is no regular file",
                       t->name);
    if (document)
        return document_begin(l, document, t->size, e);
    if (docker_layer_is(t->name) && t->kind != TARBALL_FOLDER)
        return layer_begin(l, t, e);
    return is_blob ? blob_begin(l, &d, t->size, e) : 0;
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
    struct load *l = ctx;

    if (l->layer)
        return layer_data(l, data, len, e);
    if (!l->document) {
        TRY(blob_writer_add(l->writer, data, len, e));
        if (blob_writer_size(l->writer) < l->told->blob.size) /* complete is what is verified */
            progress_tell(l, blob_writer_size(l->writer));
        return 0;
    }
    if (l->document->text.len + len > l->document->limit)
        return err_set(e, -EFBIG, "TooLarge", "'%s' of the archive has more than %zu bytes",
                       l->document->name, l->document->limit);
    buf_add(&l->document->text, data, len);
    return 0;
}

static int on_end(void *ctx, struct err *e)
{
    struct load *l = ctx;

    if (l->document) {
        l->document = NULL;
        return 0;
    }
    return l->layer ? layer_end(l, e) : blob_end(l, e);
}

static int archive_read(struct load *l, int fd, struct err *e)
{
    struct tarball_visitor v = {.entry = on_entry, .data = on_data, .end = on_end, .ctx = l};

    TRY(tarball_visit(fd, &v, e));
    if (l->index.is_there)
        return layout_version_check(&l->version.text, e);
    if (l->docker.is_there)
        return 0;
    return err_set(e, -EINVAL, "BadImage",
                   "there are no images in the archive: neither an index.json of OCI nor a "
                   "manifest.json of docker");
}

/* ---- An image ---- */

static int blob_copy(struct load *l, int from, const struct image_descriptor *blob,
                     const struct digest *d, struct err *e)
{
    autofree char *block = xcalloc(COPY_BYTES, 1);
    autofd fd = -EBADF;
    ssize_t n;
    int r = blob_begin(l, d, blob->size, e);

    if (r <= 0)
        return r;
    TRY(layout_blob_open(from, blob, &fd, e));
    for (int64_t at = 0; (n = pread(fd, block, COPY_BYTES, at)) > 0; at += n)
        TRY(on_data(l, block, (size_t)n, e));
    return n < 0 ? err_errno(e, -errno, "ReadFailed", "cannot read %s", blob->digest)
                 : blob_end(l, e);
}

/* Makes sure that a blob is in the store; it may be in the layout `from`. */
static int blob_provide(struct load *l, int from, const struct image_descriptor *blob,
                        struct err *e)
{
    autofd fd = -EBADF;
    struct digest d;
    int64_t size;

    TRY(digest_parse(blob->digest, &d, e));
    if (from != images_folder(l->images))
        return blob_copy(l, from, blob, &d, e);
    if (images_blob_open_at(from, &d, &fd, &size, e) < 0)
        return e->code == -ENOENT ? err_set(e, -EINVAL, "BadImage",
                                            "%s, which belongs to it, is missing", blob->digest)
                                  : e->code;
    if (size != blob->size)
        return err_set(e, -EINVAL, "BadImage", "%s, which belongs to it, has another size",
                       blob->digest);
    TRY(images_blob_lease(l->images, &d, e));
    return 0;
}

/* From the descriptor of an index to an image without a name, all of whose blobs are there. `from`
 * is the store itself after an archive was read. */
static int image_provide(struct load *l, int from, const struct image_descriptor *d,
                         struct image_document *ret_manifest, struct image *ret, struct err *e)
{
    __attribute__((cleanup(image_done))) struct image image = {0};
    char digest[DIGEST_TEXT_SIZE];
    struct image_descriptor own;
    autodocument manifest = {0};

    TRY(layout_manifest_follow(from, d, &manifest, &image, e));
    TRY(image_manifest_check(&manifest, e));
    digest_format(&image.manifest, digest);
    own = (struct image_descriptor){.digest = digest, .size = image.manifest_size};
    TRY(blob_provide(l, from, &own, e));
    if (manifest.config.digest)
        TRY(blob_provide(l, from, &manifest.config, e));
    for (size_t i = 0; i < manifest.n_layers; i++)
        TRY(blob_provide(l, from, &manifest.layers[i], e));
    image.fetched_at_ns = (int64_t)clock_realtime_ns();
    *ret_manifest = manifest;
    manifest = (struct image_document){0};
    *ret = image;
    image = (struct image){0};
    return 0;
}

/* One without a program is kept too. */
static int image_add(struct load *l, int from, const struct image_descriptor *d, struct image *ret,
                     struct err *e)
{
    autodocument manifest = {0};

    TRY(image_provide(l, from, d, &manifest, ret, e));
    return image_program_choose_if_any(l->images, &manifest,
                                       (struct confine_watch){l->o->unpacking, l->o->ctx}, ret, e);
}

static int image_give(struct load *l, const struct reference *r, struct image *i, struct err *e)
{
    TRY(images_name(l->images, r, i, e));
    free(i->name);
    i->name = reference_format(r);
    return l->o->loaded(l->o->ctx, i, e);
}

/*
 * What the index calls an image. containerd, docker and nerdctl write the whole name in one
 * annotation, podman and skopeo in the other one, which is for a tag alone: that then becomes a
 * name of its own below localhost, as with podman.
 */
static int name_find(const struct image_descriptor *d, struct reference *ret, struct err *e)
{
    autofree char *local = NULL;
    const char *name = d->name ? d->name : d->tag;

    if (!name)
        return err_set(e, -EINVAL, "BadImage",
                       "the image %s has no name in it; give it one by --name", d->digest);
    if (!strpbrk(name, ":/@")) {
        local = xasprintf("localhost/%s", name);
        name = local;
    }
    return reference_parse(name, ret, e);
}

static int index_image_add(struct load *l, int from, const struct image_descriptor *d,
                           struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference own = {0};
    __attribute__((cleanup(image_done))) struct image image = {0};
    const struct reference *name = l->o->name;

    if (!name) {
        TRY(name_find(d, &own, e));
        name = &own;
    }
    TRY(image_add(l, from, d, &image, e));
    return image_give(l, name, &image, e);
}

static int docker_image_add(struct load *l, const struct docker_image *d, struct err *e)
{
    __attribute__((cleanup(image_done))) struct image image = {0};
    struct image_descriptor manifest = {0};
    char digest[DIGEST_TEXT_SIZE];

    TRY(docker_archive_convert(l->images, d, l->layers, digest, &manifest.size, e));
    manifest.digest = digest;
    TRY(image_add(l, images_folder(l->images), &manifest, &image, e));
    if (l->o->name)
        return image_give(l, l->o->name, &image, e);
    if (!d->tags.n)
        return err_set(e, -EINVAL, "BadImage", "it has no name; give it one by --name");
    for (size_t i = 0; i < d->tags.n; i++) {
        __attribute__((cleanup(reference_done))) struct reference name = {0};

        TRY(reference_parse(d->tags.v[i], &name, e));
        TRY(image_give(l, &name, &image, e));
    }
    return 0;
}

/* ---- All of them ---- */

/* What is wrong with one image does not concern the others. */
static int one_result(const struct load *l, int r, const char *which, struct err *e)
{
    static const char *const reasons[] = {"BadImage", "BadReference",   "BadDigest",
                                          "NotFound", "DigestMismatch", "NotRunnable",
                                          "BadJson",  "TooLarge"};

    if (r >= 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq(e->reason, reasons[i])) {
            err_prefix(e, "%.128s", which);
            l->o->failed(l->o->ctx, e);
            *e = ERR_INIT;
            return 0;
        }
    return r;
}

static int index_add(struct load *l, int from, const struct image_document *index, struct err *e)
{
    const char *image = l->o->image ? l->o->image : l->o->name ? "" : NULL;

    if (image) {
        const struct image_descriptor *d = layout_image_find(index, image, e);

        return d ? index_image_add(l, from, d, e) : e->code;
    }
    if (!index->n_manifests)
        return err_set(e, -EINVAL, "BadImage", "there are no images in it");
    for (size_t i = 0; i < index->n_manifests; i++) {
        const struct image_descriptor *d = &index->manifests[i];
        const char *which = d->name ? d->name : d->tag ? d->tag : d->digest;

        TRY(one_result(l, index_image_add(l, from, d, e), which, e));
    }
    return 0;
}

static int docker_add(struct load *l, struct err *e)
{
    __attribute__((cleanup(docker_archive_done))) struct docker_archive archive = {0};

    TRY(docker_archive_decode(&l->docker.text, &archive, e));
    if (l->o->name && archive.n_images != 1)
        return err_set(e, -EINVAL, "BadUsage", "there are %zu images in it; --name is for one",
                       archive.n_images);
    for (size_t i = 0; i < archive.n_images; i++) {
        const struct docker_image *d = &archive.images[i];

        TRY(one_result(l, docker_image_add(l, d, e), d->tags.n ? d->tags.v[0] : d->config, e));
    }
    return 0;
}

static int index_decode(const struct load *l, struct image_document *ret, struct err *e)
{
    return image_document_decode(&l->index.text, l->index.name, ret, e);
}

int image_load(struct images *s, int fd, const struct load_options *o, struct err *e)
{
    autodocument index = {0};
    struct stat st;
    autoload l;

    load_init(&l, s, o);
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine it");
    if (S_ISDIR(st.st_mode)) {
        TRY(layout_index_read(fd, &index, e));
        return index_add(&l, fd, &index, e);
    }
    TRY(archive_read(&l, fd, e));
    if (!l.index.is_there)
        return docker_add(&l, e);
    TRY(index_decode(&l, &index, e));
    return index_add(&l, images_folder(s), &index, e);
}

int image_archive_program(struct images *s, int fd, const char *image, int *ret_fd,
                          struct digest *ret_digest, struct guest_command *ret_command,
                          struct err *e)
{
    __attribute__((cleanup(image_done))) struct image found = {0};
    struct load_options none = {0};
    const struct image_descriptor *d;
    autodocument index = {0}, manifest = {0};
    struct digest digest;
    autofd program = -EBADF;
    autoload l;

    load_init(&l, s, &none);
    TRY(archive_read(&l, fd, e));
    if (!l.index.is_there)
        return err_set(e, -EINVAL, "BadImage",
                       "it is an archive of docker's older form; to use it: wherry load -i FILE");
    TRY(index_decode(&l, &index, e));
    d = layout_image_find(&index, image, e);
    if (!d)
        return e->code;
    TRY(image_provide(&l, images_folder(s), d, &manifest, &found, e));
    TRY(image_program_choose(s, &manifest, (struct confine_watch){0}, &found, e));
    TRY(images_program_open_at(images_folder(s), &found, &program, &digest, e));
    TRY(images_command_read_at(images_folder(s), &found, ret_command, e));
    *ret_fd = take_fd(&program);
    *ret_digest = digest;
    return 0;
}

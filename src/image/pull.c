/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pull.h"

#include <pthread.h>

#include "base/clock.h"

#define PARALLEL 3 /* blobs, as docker and podman do */

/* ---- Blobs ---- */

struct fetch {
    struct registry *registry;
    struct images *images;
    const struct pull_options *o;
    const struct image_descriptor *blobs;
    size_t n_blobs;
    pthread_mutex_t lock; /* of all that follows */
    size_t next;
    int result;
    struct err error; /* the first */
};

struct one {
    struct fetch *f;
    const struct image_descriptor *blob;
    int64_t have;
};

static void on_moved(void *ctx, int64_t bytes)
{
    struct one *one = ctx;
    struct fetch *f = one->f;

    one->have += bytes;
    if (!f->o->progress)
        return;
    pthread_mutex_lock(&f->lock);
    f->o->progress(f->o->ctx, one->blob, one->have);
    pthread_mutex_unlock(&f->lock);
}

static const struct image_descriptor *next_blob(struct fetch *f)
{
    const struct image_descriptor *blob = NULL;

    pthread_mutex_lock(&f->lock);
    if (!f->result && f->next < f->n_blobs)
        blob = &f->blobs[f->next++];
    pthread_mutex_unlock(&f->lock);
    return blob;
}

static void *fetch_main(void *arg)
{
    struct fetch *f = arg;
    AUTO(http) h = registry_http_new(f->registry);
    const struct image_descriptor *blob;

    while ((blob = next_blob(f))) {
        struct one one = {.f = f, .blob = blob};
        struct err e = ERR_INIT;
        int r = registry_blob_get(f->registry, h, f->images, blob, on_moved, &one, &e);

        pthread_mutex_lock(&f->lock);
        if (r < 0 && !f->result) {
            f->result = r;
            f->error = e;
        }
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

/* This thread fetches too, so it goes on when no other can be started. */
static int blobs_fetch(struct fetch *f, struct err *e)
{
    pthread_t threads[PARALLEL - 1];
    size_t n = 0;

    pthread_mutex_init(&f->lock, NULL);
    while (n < PARALLEL - 1 && n + 1 < f->n_blobs &&
           !pthread_create(&threads[n], NULL, fetch_main, f))
        n++;
    fetch_main(f);
    while (n)
        pthread_join(threads[--n], NULL);
    pthread_mutex_destroy(&f->lock);
    if (f->result)
        *e = f->error;
    return f->result;
}

/* ---- Documents ---- */

struct source {
    struct registry *registry;
    struct http *http;
    struct images *images;
};

/* Fetches a document and stores it; *ret_size is that of the text. */
static int document_fetch(const struct source *from, const char *version,
                          struct image_document *ret, struct image *image, struct err *e)
{
    autobuf text = BUF_INIT;
    autofree char *type = NULL;

    TRY(registry_manifest_get(from->registry, from->http, version, &text, &type, e));
    TRY(image_document_decode(&text, version, ret, e));
    if (images_blob_add(from->images, text.data, text.len, &image->manifest, e) < 0) {
        image_document_done(ret);
        return e->code;
    }
    image->manifest_size = (int64_t)text.len;
    free(image->manifest_type);
    image->manifest_type = ret->media_type ? xstrdup(ret->media_type) : take_ptr(type);
    return 0;
}

/* Goes from indexes to a manifest. */
static int manifest_fetch(const struct source *from, const struct reference *r,
                          struct image_document *ret, struct image *image, struct err *e)
{
    autofree char *version = reference_version(r);

    for (unsigned depth = 0;; depth++) {
        const struct image_descriptor *next;

        TRY(document_fetch(from, version, ret, image, e));
        if (!ret->n_manifests)
            return 0;
        next = depth < IMAGE_INDEX_LIMIT ? image_platform_find(ret, e) : NULL;
        if (!image->index) {
            char digest[DIGEST_TEXT_SIZE];

            digest_format(&image->manifest, digest);
            image->index = xstrdup(digest);
        }
        if (next) {
            free(version);
            version = xstrdup(next->digest);
        } else if (!e->code) {
            err_set(e, -EINVAL, "BadImage", "its indexes are nested too deep");
        }
        image_document_done(ret);
        if (!next)
            return e->code;
    }
}

/* A manifest of Docker or of OCI; "{}" and HTML are none. */
static int manifest_check(const struct image_document *m, struct err *e)
{
    struct digest d;

    if (!m->n_layers)
        return err_set(e, -EINVAL, "BadImage", "what the registry sent has no layers");
    if (m->config.digest)
        TRY(digest_parse(m->config.digest, &d, e));
    for (size_t i = 0; i < m->n_layers; i++)
        TRY(digest_parse(m->layers[i].digest, &d, e));
    return 0;
}

int image_pull(struct images *s, const struct reference *r, const struct pull_options *o,
               struct image *ret, struct err *e)
{
    AUTO(registry) registry = NULL;
    AUTO(http) http = NULL;
    autodocument manifest = {0};
    autofree struct image_descriptor *blobs = NULL; /* their texts are the manifest's */
    __attribute__((cleanup(image_done))) struct image image = {0};
    struct fetch f = {.images = s, .o = o};
    const struct image_descriptor *program;
    struct err why = ERR_INIT;

    TRY(registry_open(r, &o->registry, &registry, e));
    http = registry_http_new(registry);
    TRY(manifest_fetch(&(struct source){registry, http, s}, r, &manifest, &image, e));
    TRY(manifest_check(&manifest, e));
    blobs = xcalloc(manifest.n_layers + 1, sizeof(*blobs));
    if (manifest.config.digest)
        blobs[f.n_blobs++] = manifest.config;
    for (size_t i = 0; i < manifest.n_layers; i++)
        blobs[f.n_blobs++] = manifest.layers[i];
    f.registry = registry;
    f.blobs = blobs;
    TRY(blobs_fetch(&f, e));
    program = image_program_find(&manifest, &why);
    if (program) {
        image.program = xstrdup(program->digest);
        image.program_size = program->size;
    }
    image.fetched_at_ns = (int64_t)clock_realtime_ns();
    image.name = reference_format(r);
    TRY(images_name(s, r, &image, e));
    *ret = image;
    image = (struct image){0};
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pull.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "image/container.h"
#include "image/places.h"

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

struct documents {
    struct registry *registry;
    struct http *http;
    struct images *images;
    struct image *image; /* its manifest is the document that was fetched last */
};

/* Fetches a document and stores it. */
static int document_fetch(const struct documents *from, const char *version,
                          struct image_document *ret, struct err *e)
{
    struct image *image = from->image;
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

static int document_read(void *ctx, const struct image_descriptor *d, struct image_document *ret,
                         struct err *e)
{
    return document_fetch(ctx, d->digest, ret, e);
}

int image_manifest_check(const struct image_document *m, struct err *e)
{
    struct digest d;

    if (!m->n_layers)
        return err_set(e, -EINVAL, "BadImage", "the manifest has no layers");
    if (m->config.digest)
        TRY(digest_parse(m->config.digest, &d, e));
    for (size_t i = 0; i < m->n_layers; i++)
        TRY(digest_parse(m->layers[i].digest, &d, e));
    return 0;
}

int image_program_choose(struct images *s, const struct image_document *m,
                         struct confine_watch watch, struct image *i, struct err *e)
{
    const struct image_descriptor *program = image_program_find(m, e);
    char text[DIGEST_TEXT_SIZE];
    struct digest d;

    if (program) {
        i->program = xstrdup(program->digest);
        i->program_size = program->size;
        i->config = xstrdup("");
        return 0;
    }
    if (!image_is_container(m))
        return e->code;
    *e = ERR_INIT;
    TRY(container_program_store(s, images_folder(s), m, &i->manifest, watch, &d, &i->program_size,
                                e));
    digest_format(&d, text);
    i->program = xstrdup(text);
    i->config = xstrdup(m->config.digest);
    return 0;
}

int image_program_choose_if_any(struct images *s, const struct image_document *m,
                                struct confine_watch watch, struct image *i, struct err *e)
{
    int r = image_program_choose(s, m, watch, i, e);

    if (r >= 0 || !str_eq(e->reason, "NotRunnable"))
        return r;
    log_warn("the image has no program to run: %s", e->msg);
    *e = ERR_INIT;
    return 0;
}

struct pulling {
    struct images *images;
    const struct pull_options *o;
    struct image *ret;
};

/* From one place. */
static int pull_from(void *ctx, const struct reference *r, const struct registry_source *source,
                     bool is_last, struct err *e)
{
    const struct pulling *p = ctx;
    const struct pull_options *o = p->o;
    struct images *s = p->images;
    autofree char *version = reference_version(&source->reference);
    AUTO(registry) registry = NULL;
    AUTO(http) http = NULL;
    struct documents documents;
    autodocument manifest = {0};
    autofree struct image_descriptor *blobs = NULL; /* their texts are the manifest's */
    __attribute__((cleanup(image_done))) struct image image = {0};
    struct fetch f = {.images = s, .o = o};

    TRY(registry_open(source, is_last, &o->registry, &registry, e));
    http = registry_http_new(registry);
    documents = (struct documents){registry, http, s, &image};
    TRY(document_fetch(&documents, version, &manifest, e));
    if (manifest.n_manifests) {
        char digest[DIGEST_TEXT_SIZE];

        digest_format(&image.manifest, digest);
        image.index = xstrdup(digest);
    }
    TRY(image_manifest_reach(&manifest, document_read, &documents, e));
    TRY(image_manifest_check(&manifest, e));
    blobs = xcalloc(manifest.n_layers + 1, sizeof(*blobs));
    if (manifest.config.digest)
        blobs[f.n_blobs++] = manifest.config;
    for (size_t i = 0; i < manifest.n_layers; i++)
        blobs[f.n_blobs++] = manifest.layers[i];
    f.registry = registry;
    f.blobs = blobs;
    TRY(blobs_fetch(&f, e));
    TRY(image_program_choose_if_any(s, &manifest, (struct confine_watch){o->unpacking, o->ctx},
                                    &image, e));
    image.fetched_at_ns = (int64_t)clock_realtime_ns();
    image.name = reference_format(r);
    TRY(images_name(s, r, &image, e));
    *p->ret = image;
    image = (struct image){0};
    return 0;
}

int image_pull(struct images *s, const struct strv *names, const struct pull_options *o,
               struct image *ret, struct err *e)
{
    return places_ask(names, o->registry.registries, pull_from, &(struct pulling){s, o, ret}, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/remote.h"

#include "image/places.h"
#include "image/pull.h"

void image_remote_done(struct image_remote *r)
{
    image_done(&r->image);
    image_description_done(&r->d);
    image_platforms_done(&r->platforms);
    free(r->index_type);
    free(r->problem);
    *r = (struct image_remote){0};
}

/* A place, and what was fetched there last. */
struct visit {
    struct registry *registry;
    struct http *http;
    struct buf text;
    char *type;
};

static void visit_done(struct visit *v)
{
    buf_done(&v->text);
    free(v->type);
}

static int document_fetch(struct visit *v, const char *version, struct image_document *ret,
                          struct err *e)
{
    visit_done(v);
    v->text = BUF_INIT;
    v->type = NULL;
    TRY(registry_manifest_get(v->registry, v->http, version, &v->text, &v->type, e));
    return image_document_decode(&v->text, version, ret, e);
}

static int document_read(void *ctx, const struct image_descriptor *d, struct image_document *ret,
                         struct err *e)
{
    return document_fetch(ctx, d->digest, ret, e);
}

static char *type_of(const struct visit *v, const struct image_document *d)
{
    const char *type = d->media_type ? d->media_type : v->type;

    return type ? xstrdup(type) : NULL;
}

static int index_note(const struct visit *v, const struct image_document *d,
                      struct image_remote *ret, struct err *e)
{
    char digest[DIGEST_TEXT_SIZE];
    struct digest found;

    TRY(image_platforms_decode(&v->text, &ret->platforms, e));
    digest_bytes(v->text.data, v->text.len, &found);
    digest_format(&found, digest);
    ret->image.index = xstrdup(digest);
    ret->index_type = type_of(v, d);
    ret->index_size = (int64_t)v->text.len;
    return 0;
}

static int manifest_note(struct visit *v, const struct image_document *m, struct image_remote *ret,
                         struct err *e)
{
    const struct image_descriptor *program;
    struct image *i = &ret->image;
    struct err ignored = ERR_INIT;
    autobuf config = BUF_INIT;

    TRY(image_manifest_check(m, e));
    TRY(image_description_decode(&v->text, &ret->d, e));
    digest_bytes(v->text.data, v->text.len, &i->manifest);
    i->manifest_size = (int64_t)v->text.len;
    i->manifest_type = type_of(v, m);
    program = image_program_find(m, &ignored);
    if (program) {
        i->program = xstrdup(program->digest);
        i->program_size = program->size;
    }
    /* One that is larger is no document. */
    if (m->config.digest && m->config.size <= (int64_t)IMAGE_DOCUMENT_LIMIT)
        TRY(registry_blob_read(v->registry, v->http, &m->config, IMAGE_DOCUMENT_LIMIT, &config, e));
    image_description_join(&ret->d, &config);
    return 0;
}

/* An index of which nothing can be pulled is described all the same. */
static int manifest_reach(struct visit *v, struct image_document *d, struct image_remote *ret,
                          struct err *e)
{
    if (d->n_manifests) {
        TRY(index_note(v, d, ret, e));
        if (image_manifest_reach(d, document_read, v, e) < 0) {
            if (!str_eq(e->reason, "NotRunnable"))
                return e->code;
            ret->problem = xstrdup(e->msg);
            *e = ERR_INIT;
            return 0;
        }
    }
    return manifest_note(v, d, ret, e);
}

struct asking {
    const struct registry_options *o;
    struct image_remote *ret;
};

static int describe_at(void *ctx, const struct reference *r, const struct registry_source *source,
                       bool is_last, struct err *e)
{
    const struct asking *a = ctx;
    autofree char *version = reference_version(&source->reference);
    AUTO(registry) registry = NULL;
    AUTO(http) http = NULL;
    __attribute__((cleanup(visit_done))) struct visit v = {0};
    __attribute__((cleanup(image_remote_done))) struct image_remote remote = {0};
    autodocument document = {0};

    TRY(registry_open(source, is_last, a->o, &registry, e));
    http = registry_http_new(registry);
    v.registry = registry;
    v.http = http;
    TRY(document_fetch(&v, version, &document, e));
    if (manifest_reach(&v, &document, &remote, e) < 0) {
        if (str_eq(e->reason, "BadJson") || str_eq(e->reason, "BadDigest"))
            e->reason = "BadImage";
        return e->code;
    }
    remote.image.name = reference_format(r);
    *a->ret = remote;
    remote = (struct image_remote){0};
    return 0;
}

int image_remote_describe(const struct strv *names, const struct registry_options *o,
                          struct image_remote *ret, struct err *e)
{
    return places_ask(names, o->registries, describe_at, &(struct asking){o, ret}, e);
}

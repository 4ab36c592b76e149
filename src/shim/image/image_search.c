/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/image/image_search.h"

#include "base/util.h"
#include "store/manifest.h"

void image_search_begin(struct image_search *s, const struct image_blob *target)
{
    *s = (struct image_search){.wanted = {{.blob = *target}}, .n_wanted = 1};
}

const struct image_blob *image_search_next(struct image_search *s)
{
    if (s->is_over || !s->n_wanted || s->n_read == IMAGE_SEARCH_LIMIT)
        return NULL;
    s->current = s->wanted[--s->n_wanted];
    s->n_read++;
    return &s->current.blob;
}

int image_search_missing(struct image_search *s, struct err *e)
{
    if (s->n_read > 1)
        return 0;
    return err_set(e, -ENOENT, "NotFound",
                   "containerd does not have the image's manifest any more; pull it again");
}

/* Those of the index that was read last come first; what there is no room for could not be read
 * any more. */
static void wanted_push(struct image_search *s, const struct image_candidate *found, size_t n)
{
    size_t kept = ARRAY_SIZE(s->wanted) - n < s->n_wanted ? ARRAY_SIZE(s->wanted) - n : s->n_wanted;
    memmove(s->wanted, s->wanted + s->n_wanted - kept, kept * sizeof(*found));
    s->n_wanted = kept;
    while (n)
        s->wanted[s->n_wanted++] = found[--n];
}

/* Which of them are wanted, the best first: those of one rank in the order of the index. */
static int index_take(struct image_search *s, const struct image_document *d, struct err *e)
{
    struct image_candidate found[IMAGE_SEARCH_LIMIT];
    size_t n = 0;
    if (s->current.depth == IMAGE_SEARCH_DEPTH)
        return err_set(e, -EINVAL, "BadImage", "the image's indexes are nested too deep");
    for (unsigned rank = 0; rank <= IMAGE_RANK_LAST; rank++)
        for (size_t i = 0; i < d->n_manifests && n < ARRAY_SIZE(found); i++) {
            const struct image_descriptor *m = &d->manifests[i];
            if (image_platform_rank(m) != rank)
                continue;
            TRY(image_blob_parse(m->digest, m->size, "a manifest of the image's index",
                                 &found[n].blob, e));
            found[n].depth = s->current.depth + 1;
            found[n].is_wasm = s->current.is_wasm || rank <= IMAGE_RANK_WASM;
            n++;
        }
    wanted_push(s, found, n);
    return 0;
}

static bool is_container_config(const struct image_descriptor *d)
{
    return d->digest && (!d->media_type || str_eq(d->media_type, IMAGE_CONFIG_TYPE) ||
                         str_eq(d->media_type, "application/vnd.docker.container.image.v1+json"));
}

static int manifest_take(struct image_search *s, const struct image_document *d, struct err *e)
{
    const struct image_descriptor *program = NULL;
    struct image_blob blob = {0}, config = {0};
    size_t n = 0;
    for (size_t i = 0; i < d->n_layers; i++)
        if (image_layer_is_program(&d->layers[i])) {
            program = &d->layers[i];
            n++;
        }
    if (n > 1) {
        autobuf types = BUF_INIT;
        image_types_describe(d->layers, d->n_layers, &types);
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "%zu layers of the image are programs, and only one can be run: %s", n,
                       buf_str(&types));
    }
    if (program)
        TRY(image_blob_parse(program->digest, program->size, "the image's program", &blob, e));
    if (is_container_config(&d->config))
        TRY(image_blob_parse(d->config.digest, d->config.size, "the image's config", &config, e));
    /* Of those without a program the first says what else the image says. */
    if (program || !s->has_manifest) {
        s->has_config = is_container_config(&d->config);
        s->config = config;
    }
    s->has_manifest = true;
    s->has_program = program;
    s->program = blob;
    s->is_over = program || s->current.is_wasm;
    return 0;
}

int image_search_take(struct image_search *s, const struct buf *text, struct err *e)
{
    autodocument d = {0};
    TRY(image_document_decode(text, "the image's manifest", &d, e));
    return d.n_manifests ? index_take(s, &d, e) : manifest_take(s, &d, e);
}

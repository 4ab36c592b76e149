/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/system.h"
#include "store/inventory.h"

/* A line of the table. */
struct usage {
    const char *title, *key;
    size_t n;
    int64_t bytes, reclaimable;
};

enum { IMAGES, BLOBS, SHARED, PARTS, CODE, N_USAGES };

struct df {
    struct inventory v;
    struct cache_list code;
    struct usage usages[N_USAGES];
};

static void add(struct usage *u, int64_t bytes, bool is_reclaimable)
{
    u->n++;
    u->bytes += bytes;
    u->reclaimable += is_reclaimable ? bytes : 0;
}

static void sum_up(struct df *d)
{
    d->usages[IMAGES] = (struct usage){.title = "Images", .key = "images"};
    d->usages[BLOBS] = (struct usage){.title = "Blobs", .key = "blobs"};
    d->usages[SHARED] = (struct usage){.title = "Shared blobs", .key = "sharedBlobs"};
    d->usages[PARTS] = (struct usage){.title = "Partial blobs", .key = "partialBlobs"};
    d->usages[CODE] = (struct usage){.title = "Compile cache", .key = "compileCache"};
    for (size_t i = 0; i < d->v.n_blobs; i++) {
        const struct stored_blob *b = &d->v.blobs[i];

        add(&d->usages[BLOBS], b->size, !b->n_images);
        if (b->n_images)
            add(&d->usages[IMAGES], b->size, true);
        if (b->n_images > 1)
            add(&d->usages[SHARED], b->size, false);
    }
    d->usages[IMAGES].n = d->v.n_images;
    for (size_t i = 0; i < d->v.n_parts; i++)
        add(&d->usages[PARTS], d->v.parts[i].size, !d->v.parts[i].is_locked);
    for (size_t i = 0; i < d->code.n; i++)
        if (d->code.v[i].kind != CACHE_FOREIGN)
            add(&d->usages[CODE], d->code.v[i].bytes, !d->code.v[i].is_locked);
}

/* ---- Text ---- */

static void blob_texts(const struct stored_blob *b, char digest[static DIGEST_TEXT_SIZE],
                       char size[static SIZE_TEXT_SIZE], char used[static CLOCK_RFC3339_SIZE])
{
    digest_format(&b->digest, digest);
    size_bytes_format((uint64_t)b->size, size);
    clock_rfc3339_format(b->used_at_ns, used);
}

static void details_write(const struct df *d, struct buf *out)
{
    char digest[DIGEST_TEXT_SIZE], size[SIZE_TEXT_SIZE], other[SIZE_TEXT_SIZE],
        used[CLOCK_RFC3339_SIZE];

    buf_addf(out, "\n%-56s  %10s  %10s  %s\n", "IMAGE", "SIZE", "SHARED", "USED");
    for (size_t i = 0; i < d->v.n_images; i++) {
        const struct stored_image *image = &d->v.images[i];
        int64_t all, shared;

        inventory_image_bytes(&d->v, image, &all, &shared);
        size_bytes_format((uint64_t)all, size);
        size_bytes_format((uint64_t)shared, other);
        clock_rfc3339_format(image->used_at_ns, used);
        buf_addf(out, "%-56s  %10s  %10s  %s%s\n", image->name ? image->name : image->path, size,
                 other, used, image->problem ? "  damaged" : "");
    }
    buf_addf(out, "\n%-71s  %10s  %6s  %s\n", "BLOB", "SIZE", "IMAGES", "USED");
    for (size_t i = 0; i < d->v.n_blobs; i++) {
        blob_texts(&d->v.blobs[i], digest, size, used);
        buf_addf(out, "%-71s  %10s  %6zu  %s\n", digest, size, d->v.blobs[i].n_images, used);
    }
    buf_addf(out, "\n%-71s  %10s  %s\n", "COMPILED", "SIZE", "USED");
    for (size_t i = 0; i < d->code.n; i++) {
        size_bytes_format((uint64_t)d->code.v[i].bytes, size);
        clock_rfc3339_format(d->code.v[i].used_at_ns, used);
        buf_addf(out, "%-71s  %10s  %s\n", d->code.v[i].name, size, used);
    }
}

static void text_write(const struct df *d, bool is_verbose, struct buf *out)
{
    char size[SIZE_TEXT_SIZE], reclaimable[SIZE_TEXT_SIZE];

    buf_addf(out, "%-14s  %6s  %10s  %12s\n", "TYPE", "COUNT", "SIZE", "RECLAIMABLE");
    for (size_t i = 0; i < N_USAGES; i++) {
        const struct usage *u = &d->usages[i];

        size_bytes_format((uint64_t)u->bytes, size);
        size_bytes_format((uint64_t)u->reclaimable, reclaimable);
        buf_addf(out, "%-14s  %6zu  %10s  %12s\n", u->title, u->n, size, reclaimable);
    }
    if (is_verbose)
        details_write(d, out);
}

/* ---- JSON ---- */

static void json_details(const struct df *d, struct json_writer *w)
{
    char digest[DIGEST_TEXT_SIZE], size[SIZE_TEXT_SIZE], used[CLOCK_RFC3339_SIZE];

    json_key(w, "imageList");
    json_begin_array(w);
    for (size_t i = 0; i < d->v.n_images; i++) {
        const struct stored_image *image = &d->v.images[i];
        int64_t all, shared;

        inventory_image_bytes(&d->v, image, &all, &shared);
        clock_rfc3339_format(image->used_at_ns, used);
        json_begin_object(w);
        json_key_str(w, "name", image->name);
        json_key_int(w, "bytes", all);
        json_key_int(w, "sharedBytes", shared);
        json_key_str(w, "usedAt", used);
        json_key_bool(w, "damaged", image->problem);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "blobList");
    json_begin_array(w);
    for (size_t i = 0; i < d->v.n_blobs; i++) {
        blob_texts(&d->v.blobs[i], digest, size, used);
        json_begin_object(w);
        json_key_str(w, "digest", digest);
        json_key_int(w, "bytes", d->v.blobs[i].size);
        json_key_int(w, "images", (int64_t)d->v.blobs[i].n_images);
        json_key_str(w, "usedAt", used);
        json_end_object(w);
    }
    json_end_array(w);
}

static int json_write(const struct df *d, bool is_verbose, struct buf *out, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, out, true);
    json_begin_object(&w);
    for (size_t i = 0; i < N_USAGES; i++) {
        json_key(&w, d->usages[i].key);
        json_begin_object(&w);
        json_key_int(&w, "count", (int64_t)d->usages[i].n);
        json_key_int(&w, "bytes", d->usages[i].bytes);
        json_key_int(&w, "reclaimableBytes", d->usages[i].reclaimable);
        json_end_object(&w);
    }
    if (is_verbose)
        json_details(d, &w);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

/* ---- The command ---- */

static int df(const struct system_df_options *o, struct df *d, struct err *e)
{
    AUTO(images) images = NULL;
    AUTO(cache) cache = NULL;
    autobuf out = BUF_INIT;

    TRY(system_open(o->cache_dir, &images, &cache, e));
    TRY(inventory_read(images, &d->v, e));
    if (cache)
        TRY(cache_list(cache, &d->code, e));
    sum_up(d);
    if (str_eq(o->output, "json"))
        TRY(json_write(d, o->is_verbose, &out, e));
    else
        text_write(d, o->is_verbose, &out);
    return cli_print(&out) ? -EIO : 0;
}

int system_df(int argc, char *const *argv)
{
    struct system_df_options o = {0};
    autostrv operands = STRV_INIT;
    struct df d = {0};
    struct err e = ERR_INIT;
    int status = cli_parse(&command_system_df, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = 0;
    if (df(&o, &d, &e) < 0)
        status = e.code ? cli_fail("system df", &e, image_exit_for(&e)) : GUEST_EXIT_WHERRY;
    inventory_done(&d.v);
    cache_list_done(&d.code);
    options_done(&command_system_df, &o);
    return status;
}

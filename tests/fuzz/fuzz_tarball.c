/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive: entries with harmless names, and an error or an end; docker's layers in
 * it are found over links, or not. And as docker's manifest.json: an error or images. */
#include <sys/mman.h>

#include "base/fds.h"
#include "image/docker_archive.h"
#include "image/docker_layers.h"
#include "image/tarball.h"

struct seen {
    bool is_open;
    struct docker_layers *layers;
    struct strv names; /* of the layers */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_entry(void *ctx, const struct tarball_entry *t, struct err *e)
{
    struct seen *s = ctx;
    struct digest d = {0};

    BUG_ON(s->is_open || !*t->name || *t->name == '/' || str_eq(t->name, "..") ||
           str_starts(t->name, "../") || strstr(t->name, "/../") || t->size < 0 ||
           strlen(t->name) > TARBALL_NAME_LIMIT || strlen(t->link) > TARBALL_NAME_LIMIT ||
           t->kind > TARBALL_OTHER);
    docker_archive_digest(t->name, &d);
    if (docker_layer_is(t->name)) {
        BUG_ON(docker_layers_add(s->layers, t, &d, e) < 0);
        strv_add(&s->names, t->name);
    }
    s->is_open = t->size % 2;
    return s->is_open;
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
    const struct seen *s = ctx;

    (void)data;
    (void)e;
    BUG_ON(!s->is_open || !len);
    return 0;
}

static int on_end(void *ctx, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    BUG_ON(!s->is_open);
    s->is_open = false;
    return 0;
}

static void layers_find(struct seen *s)
{
    for (size_t i = 0; i < s->names.n; i++) {
        struct err e = ERR_INIT;
        struct digest d;

        if (docker_layers_find(s->layers, s->names.v[i], &d, &e) < 0)
            BUG_ON(e.code != -EINVAL || !str_eq(e.reason, "BadImage") || !*e.msg);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(docker_layers) layers = docker_layers_new();
    struct seen seen = {.layers = layers};
    struct tarball_visitor v = {.entry = on_entry, .data = on_data, .end = on_end, .ctx = &seen};
    struct docker_archive docker = {0};
    struct buf text = {.data = (char *)(uintptr_t)data, .len = size};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    BUG_ON(memfd_from("fuzz", data, size, &fd, &e) < 0);
    if (tarball_visit_here(fd, &v, &e) < 0)
        BUG_ON(!e.code || !e.reason || !*e.msg);
    layers_find(&seen);
    strv_done(&seen.names);
    e = ERR_INIT;
    if (docker_archive_decode(&text, &docker, &e) < 0)
        BUG_ON(e.code != -EINVAL || docker.n_images);
    docker_archive_done(&docker);
    return 0;
}

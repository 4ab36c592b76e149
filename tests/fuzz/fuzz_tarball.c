/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive: entries with harmless names, and an error or an end. And as docker's
 * manifest.json: an error or images. */
#include <sys/mman.h>

#include "base/fds.h"
#include "image/docker_archive.h"
#include "image/tarball.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_entry(void *ctx, const struct tarball_entry *t, struct err *e)
{
    bool *is_open = ctx;
    struct digest d;

    (void)e;
    BUG_ON(*is_open || !*t->name || *t->name == '/' || str_eq(t->name, "..") ||
           str_starts(t->name, "../") || strstr(t->name, "/../") || t->size < 0 ||
           strlen(t->name) > TARBALL_NAME_LIMIT || t->kind > TARBALL_OTHER);
    docker_archive_digest(t->name, &d);
    *is_open = t->size % 2;
    return *is_open;
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
    const bool *is_open = ctx;

    (void)data;
    (void)e;
    BUG_ON(!*is_open || !len);
    return 0;
}

static int on_end(void *ctx, struct err *e)
{
    bool *is_open = ctx;

    (void)e;
    BUG_ON(!*is_open);
    *is_open = false;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_open = false;
    struct tarball_visitor v = {.entry = on_entry, .data = on_data, .end = on_end, .ctx = &is_open};
    struct docker_archive docker = {0};
    struct buf text = {.data = (char *)(uintptr_t)data, .len = size};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    BUG_ON(memfd_from("fuzz", data, size, &fd, &e) < 0);
    if (tarball_visit_here(fd, &v, &e) < 0)
        BUG_ON(!e.code || !e.reason || !*e.msg);
    e = ERR_INIT;
    if (docker_archive_decode(&text, &docker, &e) < 0)
        BUG_ON(e.code != -EINVAL || docker.n_images);
    docker_archive_done(&docker);
    return 0;
}

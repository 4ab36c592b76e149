/* SPDX-License-Identifier: Apache-2.0 */
#include "store/collect.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/fds.h"
#include "store/store_folder.h"

#define LOCKED_AT_ONCE 512 /* blobs, each by a descriptor */

struct collector {
    struct images *store;
    struct collect_options o;
    int lock;
    struct digest *candidates;
    size_t n_candidates;
    struct strv forgotten; /* names, of a dry run */
    int64_t bytes;
};

int collector_open(struct images *s, const struct collect_options *o, bool is_waiting,
                   struct collector **ret, struct err *e)
{
    struct collector *c;
    int lock = file_try_lock_at(s->dirfd, STORE_COLLECTING);

    if (lock == -EAGAIN && !is_waiting)
        return 0;
    if (lock < 0)
        lock = file_lock_at(s->dirfd, STORE_COLLECTING);
    if (lock < 0)
        return store_failed(e, lock, "lock", STORE_COLLECTING);
    c = xcalloc(1, sizeof(*c));
    c->store = s;
    c->o = *o;
    c->lock = lock;
    *ret = c;
    return 1;
}

void collector_free(struct collector *c)
{
    close(c->lock);
    free(c->candidates);
    strv_done(&c->forgotten);
    free(c);
}

int64_t collector_bytes(const struct collector *c)
{
    return c->bytes;
}

int64_t images_collected_at_ns(struct images *s)
{
    struct stat st;

    if (fstatat(s->dirfd, STORE_COLLECTING, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return clock_timespec_ns(st.st_mtim);
}

static void removed(struct collector *c, enum collected what, const char *name, int64_t bytes)
{
    c->bytes += bytes;
    if (c->o.removed)
        c->o.removed(c->o.ctx, what, name, bytes);
}

static void candidate_add(struct collector *c, const struct digest *d)
{
    c->candidates = xrealloc(c->candidates, c->n_candidates + 1, sizeof(*c->candidates));
    c->candidates[c->n_candidates++] = *d;
}

/* ---- What may go ---- */

int collector_unname(struct collector *c, const struct reference *r, struct err *e)
{
    autofree char *path = reference_store_path(r), *name = reference_format(r);
    __attribute__((cleanup(image_done))) struct image image = {0};
    autofree struct digest *blobs = NULL;
    struct err damaged = ERR_INIT;
    size_t n = 0;
    int found = store_record_read(c->store->dirfd, path, &image, &damaged);

    /* A damaged image can be removed as well; what it led to is left over then. */
    if (found > 0)
        store_image_blobs(c->store->dirfd, &image, &blobs, &n, &damaged);
    if (c->o.is_dry_run) {
        if (found)
            strv_add(&c->forgotten, name);
    } else {
        found = images_unname(c->store, r, e);
        TRY(found);
    }
    if (!found)
        return 0;
    for (size_t i = 0; i < n; i++)
        candidate_add(c, &blobs[i]);
    removed(c, COLLECTED_NAME, name, 0);
    return 1;
}

static int file_remove(struct collector *c, enum collected what, const char *path, int64_t bytes,
                       struct err *e)
{
    if (!c->o.is_dry_run && unlinkat(c->store->dirfd, path, 0) < 0)
        return errno == ENOENT ? 0 : store_failed(e, -errno, "remove", path);
    removed(c, what, path, bytes);
    return 0;
}

static int part_remove(struct collector *c, const struct stored_part *p, struct err *e)
{
    autofd lock = file_try_lock_at(c->store->dirfd, p->path);

    if (lock == -EAGAIN || lock == -ENOENT)
        return 0; /* somebody goes on with it, or has */
    if (lock < 0)
        return store_failed(e, lock, "lock", p->path);
    return file_remove(c, COLLECTED_PART, p->path, p->size, e);
}

int collector_leftovers(struct collector *c, int64_t before_ns, struct err *e)
{
    autoinventory v = {0};

    TRY(inventory_read(c->store, &v, e));
    for (size_t i = 0; i < v.n_blobs; i++)
        if (!v.blobs[i].n_images && v.blobs[i].used_at_ns < before_ns)
            candidate_add(c, &v.blobs[i].digest);
    for (size_t i = 0; i < v.n_parts; i++)
        if (v.parts[i].changed_at_ns < before_ns)
            TRY(part_remove(c, &v.parts[i], e));
    for (size_t i = 0; i < v.temporaries.n; i++)
        TRY(file_remove(c, COLLECTED_TEMPORARY, v.temporaries.v[i], 0, e));
    if (c->o.is_dry_run)
        return 0;
    for (size_t i = 0; i + 1 < v.folders.n; i++)                 /* names/ itself is the last */
        unlinkat(c->store->dirfd, v.folders.v[i], AT_REMOVEDIR); /* those that are empty */
    futimens(c->lock, NULL);
    return 0;
}

/* ---- Removing ---- */

struct locked {
    struct digest digest;
    int fd;
};

/* Locks a blob: 1, or 0 when somebody has leased it or it is gone. */
static int blob_lock(const struct collector *c, const struct digest *d, struct locked *ret,
                     struct err *e)
{
    char path[STORE_BLOB_PATH_SIZE];
    autofd fd = -EBADF;

    store_blob_path("blobs/sha256/", d, path);
    fd = file_open_at(c->store->dirfd, path);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return store_failed(e, fd, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0;
    *ret = (struct locked){.digest = *d, .fd = take_fd(&fd)};
    return 1;
}

static int blob_remove(struct collector *c, const struct inventory *v, const struct digest *d,
                       struct err *e)
{
    const struct stored_blob *blob = inventory_blob_find(v, d);
    char path[STORE_BLOB_PATH_SIZE], digest[DIGEST_TEXT_SIZE];

    if (!blob || blob->n_images)
        return 0;
    store_blob_path("blobs/sha256/", d, path);
    if (!c->o.is_dry_run && unlinkat(c->store->dirfd, path, 0) < 0)
        return store_failed(e, -errno, "remove", path);
    digest_format(d, digest);
    removed(c, COLLECTED_BLOB, digest, blob->size);
    return 0;
}

/* Whoever wants to name one of these has to lease it, which waits now; so the names that are read
 * now are all that count. */
static int locked_remove(struct collector *c, const struct locked *l, size_t n, struct err *e)
{
    autoinventory v = {0};

    TRY(inventory_read(c->store, &v, e));
    TRY(inventory_check(&v, e));
    for (size_t i = 0; i < v.n_images; i++)
        if (v.images[i].name && strv_contains(&c->forgotten, v.images[i].name))
            inventory_forget(&v, &v.images[i]);
    for (size_t i = 0; i < n; i++)
        TRY(blob_remove(c, &v, &l[i].digest, e));
    return 0;
}

int collector_sweep(struct collector *c, struct err *e)
{
    struct locked locked[LOCKED_AT_ONCE];
    size_t at = 0;
    int r = 0;

    if (c->n_candidates)
        qsort(c->candidates, c->n_candidates, sizeof(*c->candidates), digest_compare);
    while (r >= 0 && at < c->n_candidates) {
        size_t n = 0;

        for (; r >= 0 && at < c->n_candidates && n < LOCKED_AT_ONCE; at++) {
            const struct digest *d = &c->candidates[at];

            if (at && !memcmp(d, d - 1, sizeof(*d)))
                continue;
            locked[n].fd = -EBADF;
            r = blob_lock(c, d, &locked[n], e);
            n += r > 0;
        }
        if (r >= 0 && n)
            r = locked_remove(c, locked, n, e);
        while (n)
            close(locked[--n].fd);
    }
    c->n_candidates = 0;
    if (!c->o.is_dry_run)
        store_programs_prune(c->store->dirfd);
    return r < 0 ? r : 0;
}

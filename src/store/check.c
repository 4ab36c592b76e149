/* SPDX-License-Identifier: Apache-2.0 */
#include "store/check.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "store/collect.h"
#include "store/inventory.h"
#include "store/store_folder.h"

struct check {
    struct images *store;
    const struct check_options *o;
    struct inventory v;
    struct check_result *r;
};

static void tell(const struct check_options *o, struct check_result *r, const char *path,
                 const char *what, const char *done)
{
    r->n_found++;
    r->n_left += !done;
    o->found(o->ctx, &(struct check_finding){path, what, done});
}

static bool is_trusted(const struct stat *st)
{
    return (st->st_uid == geteuid() || st->st_uid == 0) && !(st->st_mode & 022);
}

/* ---- Permissions ---- */

static void mode_check(struct check *c, const char *path)
{
    bool is_done;
    struct stat st;

    if (fstatat(c->store->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_trusted(&st))
        return;
    is_done = c->o->is_repair && (st.st_uid == geteuid() || st.st_uid == 0) &&
              fchmodat(c->store->dirfd, path, st.st_mode & 07755, 0) == 0;
    tell(c->o, c->r, path, "others may write to it", is_done ? "taken away from them" : NULL);
}

static void modes_check(struct check *c)
{
    static const char *const paths[] = {STORE_LAYOUT, "blobs", STORE_BLOBS, STORE_PARTIAL};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        mode_check(c, paths[i]);
    for (size_t i = 0; i < c->v.folders.n; i++)
        mode_check(c, c->v.folders.v[i]);
    for (size_t i = 0; i < c->v.n_images; i++)
        mode_check(c, c->v.images[i].path);
}

/* ---- Blobs ---- */

/* What is wrong with it; NULL: nothing, or it is gone. */
static const char *blob_examine(struct check *c, const char *path, const struct digest *d)
{
    autofd fd = file_open_at(c->store->dirfd, path);
    struct digest is;
    struct err e = ERR_INIT;

    if (fd < 0)
        return fd == -ENOENT ? NULL : "it cannot be opened";
    if (digest_fd(fd, &is, &e) < 0)
        return "it cannot be read";
    return memcmp(&is, d, sizeof(is)) ? "the content is another than the name says" : NULL;
}

static void blobs_examine(struct check *c, const char **ret_what)
{
    int64_t all = 0, done = 0;

    for (size_t i = 0; i < c->v.n_blobs; i++)
        all += c->v.blobs[i].size;
    for (size_t i = 0; i < c->v.n_blobs; i++) {
        char path[STORE_BLOB_PATH_SIZE];

        if (c->o->progress)
            c->o->progress(c->o->ctx, done, all);
        store_blob_path("blobs/sha256/", &c->v.blobs[i].digest, path);
        mode_check(c, path);
        ret_what[i] = blob_examine(c, path, &c->v.blobs[i].digest);
        done += c->v.blobs[i].size;
    }
    if (c->o->progress)
        c->o->progress(c->o->ctx, all, all);
}

/* A blob that a pull has leased would be missing in what it names. */
static bool blob_remove(struct check *c, const char *path)
{
    autofd fd = file_open_at(c->store->dirfd, path);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(c->store->dirfd, path, 0) == 0;
}

static void blobs_repair(struct check *c, const char *const *what)
{
    for (size_t i = 0; i < c->v.n_blobs; i++) {
        char path[STORE_BLOB_PATH_SIZE];

        if (!what[i])
            continue;
        store_blob_path("blobs/sha256/", &c->v.blobs[i].digest, path);
        tell(c->o, c->r, path, what[i], c->o->is_repair && blob_remove(c, path) ? "removed" : NULL);
    }
}

/* ---- Names ---- */

static bool is_own_name(const struct stored_image *i)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    autofree char *path = NULL;

    if (reference_parse(i->name, &r, &(struct err){0}) < 0)
        return false;
    path = reference_store_path(&r);
    return str_eq(path, i->path);
}

static char *image_examine(struct check *c, const struct stored_image *i, const char *const *what)
{
    if (i->problem)
        return xstrdup(i->problem);
    if (!is_own_name(i))
        return xasprintf("it says that it is '%s'", i->name);
    for (size_t b = 0; b < i->n_blobs; b++) {
        char digest[DIGEST_TEXT_SIZE];

        if (!what[i->blobs[b]])
            continue;
        digest_format(&c->v.blobs[i->blobs[b]].digest, digest);
        return xasprintf("%s is damaged", digest);
    }
    return NULL;
}

static int names_check(struct check *c, const char *const *what, struct err *e)
{
    for (size_t i = 0; i < c->v.n_images; i++) {
        const struct stored_image *image = &c->v.images[i];
        autofree char *problem = image_examine(c, image, what), *done = NULL;

        if (!problem)
            continue;
        if (c->o->is_repair) {
            autofree char *path = xstrdup(image->path);

            TRY(store_name_remove(c->store->dirfd, path, e));
            done = image->name
                       ? xasprintf("removed; to fetch it again: wherry pull %s", image->name)
                       : xstrdup("removed");
        }
        tell(c->o, c->r, image->path, problem, done);
    }
    return 0;
}

/* ---- All of it ---- */

static void others_check(struct check *c)
{
    for (size_t i = 0; i < c->v.foreign.n; i++)
        tell(c->o, c->r, c->v.foreign.v[i], "it is no file of the image store", NULL);
    for (size_t i = 0; i < c->v.temporaries.n; i++)
        tell(c->o, c->r, c->v.temporaries.v[i], "it was left by a process that was killed",
             c->o->is_repair && unlinkat(c->store->dirfd, c->v.temporaries.v[i], 0) == 0 ? "removed"
                                                                                         : NULL);
}

int images_check(struct images *s, const struct check_options *o, struct check_result *ret,
                 struct err *e)
{
    struct check c = {.store = s, .o = o, .r = ret};
    AUTO(collector) collector = NULL; /* nobody else removes anything */
    autofree const char **what = NULL;
    int r;

    TRY(collector_open(s, &(struct collect_options){0}, true, &collector, e));
    TRY(inventory_read(s, &c.v, e));
    ret->n_images = c.v.n_images;
    ret->n_blobs = c.v.n_blobs;
    what = xcalloc(c.v.n_blobs + 1, sizeof(*what));
    modes_check(&c);
    blobs_examine(&c, what);
    r = names_check(&c, what, e); /* before the blobs: who is killed leaves no name without */
    if (r >= 0) {
        blobs_repair(&c, what);
        others_check(&c);
    }
    inventory_done(&c.v);
    return r;
}

int cache_check(struct cache *c, const struct check_options *o, struct check_result *ret,
                struct err *e)
{
    static const char *const what[] = {
        [CACHE_UNFINISHED] = "it was left by a process that was killed",
        [CACHE_UNTRUSTED] = "others could have written it",
        [CACHE_FOREIGN] = "it is no file of the compile cache",
    };
    autocache_list list = {0};

    TRY(cache_list(c, &list, e));
    for (size_t i = 0; i < list.n; i++) {
        const struct cache_file *f = &list.v[i];
        struct err why = ERR_INIT;
        bool is_done;

        ret->n_code += f->kind == CACHE_ENTRY;
        if (f->kind == CACHE_ENTRY || f->is_locked)
            continue;
        is_done = o->is_repair && cache_file_remove(c, f, &why) > 0;
        tell(o, ret, f->name, what[f->kind], is_done ? "removed" : NULL);
    }
    return 0;
}

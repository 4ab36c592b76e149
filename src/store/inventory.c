/* SPDX-License-Identifier: Apache-2.0 */
#include "store/inventory.h"

#include <dirent.h>
#include <fcntl.h>
#include <time.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "store/store_folder.h"

struct stored_blob *inventory_blob_find(const struct inventory *v, const struct digest *d)
{
    return v->n_blobs ? bsearch(d, v->blobs, v->n_blobs, sizeof(*v->blobs), digest_compare) : NULL;
}

/* ---- Files ---- */

static int hex_parse(const char *name, struct digest *ret)
{
    autofree char *text = xasprintf("sha256:%s", name);

    return digest_parse(text, ret, &(struct err){0});
}

static void blob_add(struct inventory *v, const struct digest *d, const struct stat *st)
{
    v->blobs = xrealloc(v->blobs, v->n_blobs + 1, sizeof(*v->blobs));
    v->blobs[v->n_blobs++] = (struct stored_blob){
        .digest = *d, .size = st->st_size, .used_at_ns = clock_timespec_ns(st->st_mtim)};
}

static void part_add(struct inventory *v, int dirfd, const char *path, const struct stat *st)
{
    autofd lock = file_try_lock_at(dirfd, path);

    v->parts = xrealloc(v->parts, v->n_parts + 1, sizeof(*v->parts));
    v->parts[v->n_parts++] = (struct stored_part){.path = xstrdup(path),
                                                  .size = st->st_size,
                                                  .changed_at_ns = clock_timespec_ns(st->st_mtim),
                                                  .is_locked = lock == -EAGAIN};
}

/* Of a folder whose files are named by their digests. */
static int files_list(struct inventory *v, int dirfd, const char *folder, bool is_partial,
                      struct err *e)
{
    int fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return store_failed(e, -errno, "read", folder);
    while ((entry = readdir(dir))) {
        autofree char *path = xasprintf("%s/%s", folder, entry->d_name);
        struct digest d;
        struct stat st;

        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
            fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!S_ISREG(st.st_mode) || hex_parse(entry->d_name, &d) < 0)
            strv_add(&v->foreign, path);
        else if (is_partial)
            part_add(v, dirfd, path, &st);
        else
            blob_add(v, &d, &st);
    }
    closedir(dir);
    return 0;
}

/* What is in the folder itself. */
static int top_list(int dirfd, struct strv *ret_others, struct err *e)
{
    static const char *const own[] = {".",     "..",          STORE_LAYOUT, STORE_COLLECTING,
                                      "blobs", STORE_PARTIAL, STORE_NAMES,  STORE_PROGRAMS,
                                      NULL};
    autofd here = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = here < 0 ? NULL : fdopendir(here);
    const struct dirent *entry;

    if (!dir)
        return store_failed(e, -errno, "read", ".");
    take_fd(&here); /* it is the stream's */
    while ((entry = readdir(dir))) {
        bool is_own = false;

        for (const char *const *o = own; *o; o++)
            is_own |= str_eq(entry->d_name, *o);
        if (!is_own)
            strv_add(ret_others, entry->d_name);
    }
    closedir(dir);
    return 0;
}

/* ---- Images ---- */

static bool image_has(const struct stored_image *i, size_t blob)
{
    for (size_t n = 0; n < i->n_blobs; n++)
        if (i->blobs[n] == blob)
            return true;
    return false;
}

static void problem_set(struct stored_image *i, char *problem)
{
    if (i->problem)
        free(problem);
    else
        i->problem = problem;
}

static void image_lead(struct inventory *v, int dirfd, struct stored_image *i,
                       const struct digest *d)
{
    struct stored_blob *blob = inventory_blob_find(v, d);
    char path[STORE_BLOB_PATH_SIZE], digest[DIGEST_TEXT_SIZE];
    struct stat st;

    store_blob_path("blobs/sha256/", d, path);
    if (blob) {
        size_t at = (size_t)(blob - v->blobs);

        if (image_has(i, at))
            return;
        i->blobs = xrealloc(i->blobs, i->n_blobs + 1, sizeof(*i->blobs));
        i->blobs[i->n_blobs++] = at;
        blob->n_images++;
        if (blob->used_at_ns > i->used_at_ns)
            i->used_at_ns = blob->used_at_ns;
    } else if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        digest_format(d, digest);
        problem_set(i, xasprintf("%s is missing", digest));
    } /* else it has come since the blobs were listed */
}

static void program_check(const struct inventory *v, struct stored_image *i,
                          const struct image *record)
{
    const struct stored_blob *blob;
    struct digest d;

    if (!record->program || digest_parse(record->program, &d, &(struct err){0}) < 0)
        return;
    blob = inventory_blob_find(v, &d);
    if (blob && blob->size != record->program_size)
        problem_set(i, xasprintf("%s has another size than is said of it", record->program));
}

static void image_add(struct inventory *v, int dirfd, const char *path)
{
    __attribute__((cleanup(image_done))) struct image image = {0};
    struct stored_image i = {.path = xstrdup(path)};
    autofree struct digest *blobs = NULL;
    struct err e = ERR_INIT;
    struct stat st;
    size_t n = 0;
    int found = store_record_read(dirfd, path, &image, &e);

    if (!found) {
        free(i.path); /* it was removed meanwhile */
        return;
    }
    if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        i.used_at_ns = clock_timespec_ns(st.st_mtim);
    if (found > 0) {
        i.name = xstrdup(image.name);
        found = store_image_blobs(dirfd, &image, &blobs, &n, &e);
    }
    for (size_t b = 0; b < n; b++)
        image_lead(v, dirfd, &i, &blobs[b]);
    if (i.name)
        program_check(v, &i, &image);
    if (found < 0) {
        i.is_unknown = true;
        problem_set(&i, xstrdup(e.msg));
    }
    v->images = xrealloc(v->images, v->n_images + 1, sizeof(*v->images));
    v->images[v->n_images++] = i;
}

static void others_sort(struct inventory *v, int dirfd, const struct strv *others)
{
    for (size_t i = 0; i < others->n; i++) {
        const char *path = others->v[i];
        size_t len = strlen(path);
        struct stat st;

        if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (*path_base(path) != '.' || len < 4 || !str_eq(path + len - 4, ".tmp"))
            strv_add(&v->foreign, path);
        else if (time(NULL) - st.st_mtime >= STORE_TEMPORARY_S)
            strv_add(&v->temporaries, path);
    }
}

int inventory_read(struct images *s, struct inventory *ret, struct err *e)
{
    __attribute__((cleanup(store_names_done))) struct store_names names = {0};
    autoinventory v = {0};

    TRY(top_list(s->dirfd, &names.others, e));
    TRY(store_names_list(s->dirfd, &names, e));
    TRY(files_list(&v, s->dirfd, STORE_BLOBS, false, e));
    TRY(files_list(&v, s->dirfd, STORE_PARTIAL, true, e));
    if (v.n_blobs)
        qsort(v.blobs, v.n_blobs, sizeof(*v.blobs), digest_compare);
    for (size_t i = 0; i < names.records.n; i++)
        image_add(&v, s->dirfd, names.records.v[i]);
    others_sort(&v, s->dirfd, &names.others);
    v.folders = strv_take(&names.folders);
    *ret = v;
    v = (struct inventory){0};
    return 0;
}

void inventory_done(struct inventory *v)
{
    for (size_t i = 0; i < v->n_images; i++) {
        free(v->images[i].name);
        free(v->images[i].path);
        free(v->images[i].problem);
        free(v->images[i].blobs);
    }
    for (size_t i = 0; i < v->n_parts; i++)
        free(v->parts[i].path);
    free(v->images);
    free(v->blobs);
    free(v->parts);
    strv_done(&v->temporaries);
    strv_done(&v->folders);
    strv_done(&v->foreign);
    *v = (struct inventory){0};
}

void inventory_forget(struct inventory *v, const struct stored_image *i)
{
    for (size_t b = 0; b < i->n_blobs; b++)
        v->blobs[i->blobs[b]].n_images--;
}

int inventory_check(const struct inventory *v, struct err *e)
{
    for (size_t i = 0; i < v->n_images; i++)
        if (v->images[i].is_unknown)
            return err_set(e, -EINVAL, "BadImage",
                           "no blobs are removed while it is not known what an image needs: "
                           "%.300s; to repair it: wherry system check --repair",
                           v->images[i].problem);
    return 0;
}

void inventory_image_bytes(const struct inventory *v, const struct stored_image *i,
                           int64_t *ret_all, int64_t *ret_shared)
{
    *ret_all = *ret_shared = 0;
    for (size_t b = 0; b < i->n_blobs; b++) {
        const struct stored_blob *blob = &v->blobs[i->blobs[b]];

        *ret_all += blob->size;
        if (blob->n_images > 1)
            *ret_shared += blob->size;
    }
}

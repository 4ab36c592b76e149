/* SPDX-License-Identifier: Apache-2.0 */
#include "store/images.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/paths.h"
#include "store/store_folder.h"

#define LAYOUT_VERSION "{\"imageLayoutVersion\":\"1.0.0\"}\n"

int store_failed(struct err *e, int code, const char *what, const char *path)
{
    return err_errno(e, code, errno_is_disk_full(code) ? "DiskFull" : "StoreFailed",
                     "cannot %s '%s' of the image store", what, path);
}

int images_open(const char *dir, struct images **ret, struct err *e)
{
    static const char *const folders[] = {"blobs", STORE_BLOBS, STORE_PARTIAL, STORE_NAMES};
    autofd fd = -EBADF;
    struct images *s;
    struct stat st;

    TRY(path_open_private(dir, &fd, e));
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
            return store_failed(e, -errno, "create the folder", folders[i]);
    /* Once, and then the folders are durable too. */
    if (fstatat(fd, STORE_LAYOUT, &st, 0) < 0)
        TRY(file_write_at(fd, STORE_LAYOUT, LAYOUT_VERSION, strlen(LAYOUT_VERSION), 0644,
                          FILE_WRITE_SYNC, e));
    s = xcalloc(1, sizeof(*s));
    s->dirfd = take_fd(&fd);
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

void images_free(struct images *s)
{
    for (size_t i = 0; i < s->n_leases; i++)
        close(s->leases[i]);
    free(s->leases);
    pthread_mutex_destroy(&s->lock);
    close(s->dirfd);
    free(s);
}

void image_done(struct image *i)
{
    free(i->name);
    free(i->manifest_type);
    free(i->index);
    free(i->program);
    free(i->config);
    *i = (struct image){0};
}

/* ---- Names ---- */

int images_find_at(int dirfd, const struct reference *r, struct image *ret, struct err *e)
{
    autofree char *path = reference_store_path(r);

    return store_record_read(dirfd, path, ret, e);
}

int images_find(struct images *s, const struct reference *r, struct image *ret, struct err *e)
{
    return images_find_at(s->dirfd, r, ret, e);
}

int images_program_open_at(int dirfd, const struct image *i, int *ret_fd, struct digest *ret_digest,
                           struct err *e)
{
    autofd fd = -EBADF;
    struct digest d;
    struct stat st = {0};

    if (!i->program)
        return err_set(e, -ENOEXEC, "NotRunnable", "there is no WebAssembly program in it");
    TRY(digest_parse(i->program, &d, e));
    TRY(store_blob_open(dirfd, &d, &fd, &st, e));
    if (st.st_size != i->program_size)
        return err_set(e, -EINVAL, "BadImage",
                       "'%s' of the image store is damaged; pull the image again", i->program);
    store_use_note(fd, &st);
    *ret_fd = take_fd(&fd);
    *ret_digest = d;
    return 0;
}

static int program_open_at(int dirfd, const struct image *i, int *ret_fd, struct digest *ret_digest,
                           struct guest_command *ret_command, struct err *e)
{
    struct digest digest;
    autofd fd = -EBADF;

    TRY(images_program_open_at(dirfd, i, &fd, &digest, e));
    TRY(images_command_read_at(dirfd, i, ret_command, e));
    *ret_fd = take_fd(&fd);
    *ret_digest = digest;
    return 0;
}

int images_program_find_at(int dirfd, const struct reference *r, int *ret_fd,
                           struct digest *ret_digest, struct guest_command *ret_command,
                           struct err *e)
{
    struct digest tried;
    bool has_tried = false;

    for (;;) {
        __attribute__((cleanup(image_done))) struct image image = {0};
        int found = images_find_at(dirfd, r, &image, e), opened;

        if (found <= 0)
            return found;
        opened = program_open_at(dirfd, &image, ret_fd, ret_digest, ret_command, e);
        if (opened >= 0)
            return 1;
        /* A name leads to what is there; but it may have gone elsewhere since it was read. */
        if (opened != -ENOENT)
            return opened;
        if (has_tried && !memcmp(&tried, &image.manifest, sizeof(tried))) {
            autofree char *cause = xstrdup(e->msg);

            return err_set(e, -EINVAL, "BadImage", "%s; pull the image again", cause);
        }
        tried = image.manifest;
        has_tried = true;
        *e = ERR_INIT;
    }
}

int store_folder_sync(int dirfd, const char *path, struct err *e)
{
    autofd fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? store_failed(e, -errno, "write", path) : 0;
}

void store_use_note(int fd, const struct stat *st)
{
    struct timespec now, times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec - st->st_mtim.tv_sec >= STORE_USE_RESOLUTION_S)
        futimens(fd, times);
}

/* Folders that the name needs; another process may be removing those that are empty. */
static int folders_make(int dirfd, const char *path, struct err *e)
{
    autofree char *parent = NULL;

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        autofree char *folder = xstrndup(path, (size_t)(slash - path));
        bool is_new = mkdirat(dirfd, folder, 0700) == 0;

        if (!is_new && errno != EEXIST)
            return store_failed(e, -errno, "create the folder", folder);
        if (is_new && parent)
            TRY(store_folder_sync(dirfd, parent, e));
        free(parent);
        parent = take_ptr(folder);
    }
    return 0;
}

#define NAME_ATTEMPTS 100

int images_name(struct images *s, const struct reference *r, const struct image *i, struct err *e)
{
    autofree char *path = reference_store_path(r), *name = reference_format(r);
    autobuf text = BUF_INIT;
    int result = -ENOENT;

    TRY(store_record_encode(name, i, &text, e));
    /* Blobs that we found may be there only since just now, by somebody who was killed then. */
    TRY(store_folder_sync(s->dirfd, STORE_BLOBS, e));
    for (int n = 0; n < NAME_ATTEMPTS && result == -ENOENT; n++) {
        autofree char *folder = path_dir(path);
        autofd fd = -EBADF;

        *e = ERR_INIT;
        result = folders_make(s->dirfd, path, e);
        if (result < 0)
            continue;
        fd = openat(s->dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            result = store_failed(e, -errno, "open", folder);
        else
            result =
                file_write_at(fd, path_base(path), text.data, text.len, 0644, FILE_WRITE_SYNC, e);
    }
    return result;
}

int store_name_remove(int dirfd, char *path, struct err *e)
{
    autofree char *folder = path_dir(path);
    autofd fd = openat(dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || unlinkat(fd, path_base(path), 0) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : store_failed(e, -errno, "remove", path);
    /* Its blobs may be gone before it otherwise. */
    if (fsync(fd) < 0)
        return store_failed(e, -errno, "write", folder);
    /* Folders go as long as they are empty, up to names/. */
    for (char *slash = strrchr(path, '/'); slash && slash > path + strlen(STORE_NAMES);
         slash = strrchr(path, '/')) {
        *slash = 0;
        if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0)
            break;
    }
    return 1;
}

int images_unname(struct images *s, const struct reference *r, struct err *e)
{
    autofree char *path = reference_store_path(r);

    return store_name_remove(s->dirfd, path, e);
}

int images_list(struct images *s, int (*each)(void *ctx, const struct image *i, struct err *e),
                void *ctx, struct err *e)
{
    __attribute__((cleanup(store_names_done))) struct store_names names = {0};
    int r = store_names_list(s->dirfd, &names, e);

    for (size_t i = 0; i < names.records.n && r >= 0; i++) {
        __attribute__((cleanup(image_done))) struct image image = {0};

        r = store_record_read(s->dirfd, names.records.v[i], &image, e);
        if (r > 0)
            r = each(ctx, &image, e);
    }
    return r < 0 ? r : 0;
}

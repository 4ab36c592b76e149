/* SPDX-License-Identifier: Apache-2.0 */
#include "store/images.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/strv.h"
#include "store/store_folder.h"

#define RECORD_LIMIT_BYTES 4096
#define RECORD_DEPTH       2
#define LAYOUT_VERSION     "{\"imageLayoutVersion\":\"1.0.0\"}\n"

int store_failed(struct err *e, int code, const char *what, const char *path)
{
    return err_errno(e, code, code == -ENOSPC || code == -EDQUOT ? "DiskFull" : "StoreFailed",
                     "cannot %s '%s' of the image store", what, path);
}

int images_open(const char *dir, struct images **ret, struct err *e)
{
    static const char *const folders[] = {"blobs", "blobs/sha256", "partial", "names"};
    autofd fd = -EBADF;
    struct images *s;
    struct stat st;

    TRY(path_open_private(dir, &fd, e));
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (mkdirat(fd, folders[i], 0700) < 0 && errno != EEXIST)
            return store_failed(e, -errno, "create the folder", folders[i]);
    if (fstatat(fd, "oci-layout", &st, 0) < 0)
        TRY(file_write_at(fd, "oci-layout", LAYOUT_VERSION, strlen(LAYOUT_VERSION), 0644, 0, e));
    s = xcalloc(1, sizeof(*s));
    s->dirfd = take_fd(&fd);
    *ret = s;
    return 0;
}

void images_free(struct images *s)
{
    close(s->dirfd);
    free(s);
}

/* ---- Records ---- */

struct record {
    struct image image;
    char *manifest;
};

#define TEXT(name_, member_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct record, member_),         \
        .limit = REFERENCE_LIMIT + DIGEST_TEXT_SIZE                                                \
    }
#define NUMBER(name_, member_)                                                                     \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct record, member_),          \
        .max = INT64_MAX                                                                           \
    }

static const struct json_field record_fields[] = {
    TEXT("name", image.name),
    TEXT("manifest", manifest),
    NUMBER("manifest_size", image.manifest_size),
    TEXT("manifest_type", image.manifest_type),
    TEXT("program", image.program),
    NUMBER("program_size", image.program_size),
    NUMBER("fetched_at_ns", image.fetched_at_ns),
    {0},
};

void image_done(struct image *i)
{
    free(i->name);
    free(i->manifest_type);
    free(i->program);
    *i = (struct image){0};
}

static int record_decode(const struct buf *text, const char *path, struct image *ret, struct err *e)
{
    struct json_limits limits = {.bytes = RECORD_LIMIT_BYTES, .depth = RECORD_DEPTH};
    struct record r = {0};
    struct digest program;
    int d = json_decode(text->data, text->len, limits, record_fields, 0, &r, e);

    if (d >= 0 && (!r.image.name || !r.manifest))
        d = err_set(e, -EINVAL, "BadImage", "something is missing in it");
    if (d >= 0)
        d = digest_parse(r.manifest, &r.image.manifest, e);
    if (d >= 0 && r.image.program)
        d = digest_parse(r.image.program, &program, e);
    if (d < 0) {
        json_fields_done(record_fields, &r);
        e->reason = "BadImage";
        return err_prefix(e, "the image store's '%s' is damaged; pull the image again", path);
    }
    free(r.manifest);
    *ret = r.image;
    return 0;
}

static int record_encode(const char *name, const struct image *i, struct buf *ret, struct err *e)
{
    char manifest[DIGEST_TEXT_SIZE];
    struct json_writer w;

    digest_format(&i->manifest, manifest);
    json_writer_init(&w, ret, true);
    json_begin_object(&w);
    json_key_str(&w, "name", name);
    json_key_str(&w, "manifest", manifest);
    json_key_int(&w, "manifest_size", i->manifest_size);
    if (i->manifest_type)
        json_key_str(&w, "manifest_type", i->manifest_type);
    if (i->program) {
        json_key_str(&w, "program", i->program);
        json_key_int(&w, "program_size", i->program_size);
    }
    json_key_int(&w, "fetched_at_ns", i->fetched_at_ns);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

/* ---- Names ---- */

int images_find_at(int dirfd, const struct reference *r, struct image *ret, struct err *e)
{
    autofree char *path = reference_store_path(r);
    autobuf text = BUF_INIT;
    autofd fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return store_failed(e, -errno, "open", path);
    TRY(fd_read_all(fd, RECORD_LIMIT_BYTES, &text, e));
    TRY(record_decode(&text, path, ret, e));
    return 1;
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
    int64_t size;

    if (!i->program)
        return err_set(e, -ENOEXEC, "NotRunnable", "there is no WebAssembly program in it");
    TRY(digest_parse(i->program, &d, e));
    TRY(images_blob_open_at(dirfd, &d, &fd, &size, e));
    if (size != i->program_size)
        return err_set(e, -EINVAL, "BadImage",
                       "'%s' of the image store is damaged; pull the image again", i->program);
    *ret_fd = take_fd(&fd);
    *ret_digest = d;
    return 0;
}

/* Folders that the name needs; another process may be removing those that are empty. */
static int folders_make(int dirfd, const char *path, struct err *e)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        autofree char *folder = xstrndup(path, (size_t)(slash - path));

        if (mkdirat(dirfd, folder, 0700) < 0 && errno != EEXIST)
            return store_failed(e, -errno, "create the folder", folder);
    }
    return 0;
}

#define NAME_ATTEMPTS 100

int images_name(struct images *s, const struct reference *r, const struct image *i, struct err *e)
{
    autofree char *path = reference_store_path(r), *name = reference_format(r);
    autobuf text = BUF_INIT;
    int result = -ENOENT;

    TRY(record_encode(name, i, &text, e));
    for (int n = 0; n < NAME_ATTEMPTS && result == -ENOENT; n++) {
        autofree char *folder = path_dir(path);
        autofd fd = -EBADF;

        *e = ERR_INIT;
        TRY(folders_make(s->dirfd, path, e));
        fd = openat(s->dirfd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            result = store_failed(e, -errno, "open", folder);
        else
            result =
                file_write_at(fd, path_base(path), text.data, text.len, 0644, FILE_WRITE_SYNC, e);
    }
    return result;
}

int images_unname(struct images *s, const struct reference *r, struct err *e)
{
    autofree char *path = reference_store_path(r);

    if (unlinkat(s->dirfd, path, 0) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : store_failed(e, -errno, "remove", path);
    /* Folders go as long as they are empty, up to names/. */
    for (char *slash = strrchr(path, '/'); slash && slash > path + strlen("names");
         slash = strrchr(path, '/')) {
        *slash = 0;
        if (unlinkat(s->dirfd, path, AT_REMOVEDIR) < 0)
            break;
    }
    return 1;
}

/* ---- List ---- */

static int paths_add(int dirfd, const char *path, struct strv *ret, struct err *e)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return errno == ENOENT ? 0 : store_failed(e, -errno, "read", path);
    }
    while (r >= 0 && (entry = readdir(dir))) {
        autofree char *below = xasprintf("%s/%s", path, entry->d_name);

        if (entry->d_name[0] == '.')
            continue; /* also what is being written */
        if (entry->d_name[0] == ':' || entry->d_name[0] == '@')
            strv_add(ret, below);
        else
            r = paths_add(dirfd, below, ret, e);
    }
    closedir(dir);
    return r;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int images_list(struct images *s, int (*each)(void *ctx, const struct image *i, struct err *e),
                void *ctx, struct err *e)
{
    struct strv paths = {0};
    int r = paths_add(s->dirfd, "names", &paths, e);

    if (r >= 0 && paths.n)
        qsort(paths.v, paths.n, sizeof(*paths.v), by_text);
    for (size_t i = 0; i < paths.n && r >= 0; i++) {
        struct image image = {0};
        autobuf text = BUF_INIT;

        r = file_read_at(s->dirfd, paths.v[i], RECORD_LIMIT_BYTES, &text, e);
        if (r == -ENOENT) {
            *e = ERR_INIT; /* it was removed meanwhile */
            r = 0;
            continue;
        }
        if (r >= 0)
            r = record_decode(&text, paths.v[i], &image, e);
        if (r >= 0)
            r = each(ctx, &image, e);
        image_done(&image);
    }
    strv_done(&paths);
    return r;
}

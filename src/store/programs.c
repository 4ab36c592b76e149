/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "store/container_config.h"
#include "store/images.h"
#include "store/manifest.h"
#include "store/store_folder.h"

#define STEP_BYTES (1 << 20)
#define FOLDER     STORE_PROGRAMS "/"

int images_folder(const struct images *s)
{
    return s->dirfd;
}

/* ---- How it is started ---- */

/* The digest of the container's config: 1, or 0 when it is no container's image. */
static int config_find(int dirfd, const struct image *i, struct digest *ret, struct err *e)
{
    autodocument manifest = {0};
    autobuf text = BUF_INIT;

    if (i->config && !*i->config)
        return 0;
    if (!i->config) {
        TRY(images_text_read_at(dirfd, &i->manifest, &text, e));
        TRY(image_document_decode(&text, "the image's manifest", &manifest, e));
        if (!image_is_container(&manifest))
            return 0;
    }
    TRY(digest_parse(i->config ? i->config : manifest.config.digest, ret, e));
    return 1;
}

int images_command_read_at(int dirfd, const struct image *i, struct guest_command *ret,
                           struct err *e)
{
    __attribute__((cleanup(container_config_done))) struct container_config config = {0};
    autobuf text = BUF_INIT;
    struct digest digest;
    int found = config_find(dirfd, i, &digest, e);

    if (found <= 0)
        return found;
    TRY(images_text_read_at(dirfd, &digest, &text, e));
    TRY(container_config_decode(&text, &config, e));
    container_command(&config, ret);
    return 0;
}

/* ---- Storing one ---- */

/* For file systems that have no files without a name: one that has lost it. */
static int file_open_and_unlink(int dirfd)
{
    char name[] = STORE_PARTIAL "/unpacked-XXXXXXXXXXXXXXXX";
    uint64_t random;
    int fd;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    snprintf(name + sizeof(STORE_PARTIAL "/unpacked-") - 1, 17, "%016" PRIx64, random);
    fd = openat(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    unlinkat(dirfd, name, 0);
    return fd;
}

int images_file_open(struct images *s, int *ret_fd, struct err *e)
{
    int fd = openat(s->dirfd, STORE_PARTIAL, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        fd = errno == EOPNOTSUPP || errno == EISDIR ? file_open_and_unlink(s->dirfd) : -errno;
    if (fd < 0)
        return store_failed(e, fd, "create a file in", STORE_PARTIAL);
    *ret_fd = fd;
    return 0;
}

int images_file_write(int fd, const void *data, size_t len, struct err *e)
{
    int r = fd_write_all(fd, data, len, e);

    return r < 0 ? store_failed(e, r, "write a file in", STORE_PARTIAL) : 0;
}

static int content_copy(struct blob_writer *w, int fd, struct err *e)
{
    autofree char *block = xcalloc(STEP_BYTES, 1);
    off_t at = 0;
    ssize_t n;

    TRY(blob_writer_restart(w, e));
    while ((n = pread(fd, block, STEP_BYTES, at)) > 0) {
        TRY(blob_writer_add(w, block, (size_t)n, e));
        at += n;
    }
    return n < 0 ? err_errno(e, -errno, "ReadFailed", "cannot read what was unpacked") : 0;
}

int images_file_add(struct images *s, int fd, struct digest *ret, int64_t *ret_size, struct err *e)
{
    AUTO(blob_writer) w = NULL;
    struct digest d;
    struct stat st;
    int64_t at;
    int r;

    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine what was unpacked");
    /* So that the disk has less to do when it has to be durable. */
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    TRY(digest_fd(fd, &d, e));
    r = images_blob_begin(s, &d, &w, &at, e);
    if (r == 0)
        r = blob_writer_adopt(w, fd, e);
    if (r == 0) {
        TRY(content_copy(w, fd, e));
        r = blob_writer_commit(take_ptr(w), e);
    }
    TRY(r);
    *ret = d;
    *ret_size = st.st_size;
    return 0;
}

/* ---- Knowing it again: a symbolic link from one digest to the other ---- */

int images_program_note(struct images *s, const struct digest *manifest,
                        const struct digest *program, struct err *e)
{
    char path[STORE_BLOB_PATH_SIZE], hex[DIGEST_HEX_SIZE];

    store_blob_path(FOLDER, manifest, path);
    digest_hex_format(program, hex);
    if (mkdirat(s->dirfd, STORE_PROGRAMS, 0700) < 0 && errno != EEXIST)
        return store_failed(e, -errno, "create the folder", STORE_PROGRAMS);
    if (symlinkat(hex, s->dirfd, path) == 0)
        return 0;
    /* One that is there is of no use any more, or another process was quicker. */
    if (errno == EEXIST && unlinkat(s->dirfd, path, 0) < 0 && errno != ENOENT)
        return store_failed(e, -errno, "remove", path);
    if (symlinkat(hex, s->dirfd, path) < 0 && errno != EEXIST)
        return store_failed(e, -errno, "create", path);
    return 0;
}

/* What a link stands for, if that is there. */
static bool link_follow(int dirfd, const char *path, struct digest *ret, struct stat *ret_st)
{
    char blob[STORE_BLOB_PATH_SIZE], text[DIGEST_TEXT_SIZE] = "sha256:";
    struct err ignored = ERR_INIT;
    ssize_t n = readlinkat(dirfd, path, text + strlen(text), sizeof(text) - 1 - strlen(text));

    if (n < 0 || digest_parse(text, ret, &ignored) < 0)
        return false;
    store_blob_path("blobs/sha256/", ret, blob);
    return fstatat(dirfd, blob, ret_st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(ret_st->st_mode);
}

void store_programs_prune(int dirfd)
{
    autofd fd = openat(dirfd, STORE_PROGRAMS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return;
    take_fd(&fd); /* it is the stream's */
    while ((entry = readdir(dir))) {
        autofree char *path = path_join(STORE_PROGRAMS, entry->d_name);
        struct digest d;
        struct stat st;

        if (*entry->d_name != '.' && !link_follow(dirfd, path, &d, &st))
            unlinkat(dirfd, path, 0);
    }
    closedir(dir);
}

int images_program_find(struct images *s, const struct digest *manifest, struct digest *ret,
                        int64_t *ret_size)
{
    char path[STORE_BLOB_PATH_SIZE];
    struct err ignored = ERR_INIT;
    struct digest d;
    struct stat st;

    store_blob_path(FOLDER, manifest, path);
    if (!link_follow(s->dirfd, path, &d, &st) || images_blob_lease(s, &d, &ignored) <= 0)
        return 0;
    *ret = d;
    *ret_size = st.st_size;
    return 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>

#include "base/fds.h"
#include "image/tarball.h"

#define BLOCK_BYTES (256 << 10)

struct tarball_writer {
    struct archive *archive;
    struct archive_entry *entry;
    int fd;
    bool is_given_up; /* nothing more is written */
};

static la_ssize_t on_write(struct archive *a, void *ctx, const void *data, size_t len)
{
    const struct tarball_writer *w = ctx;
    struct err e = ERR_INIT;

    if (!w->is_given_up && fd_write_all(w->fd, data, len, &e) < 0) {
        archive_set_error(a, -e.code, "%s", e.msg);
        return -1;
    }
    return (la_ssize_t)len;
}

static int failed(struct tarball_writer *w, struct err *e)
{
    int number = archive_errno(w->archive);

    return err_errno(e, number > 0 ? -number : -EIO,
                     errno_is_disk_full(number) ? "DiskFull" : "WriteFailed",
                     "cannot write the archive");
}

struct tarball_writer *tarball_writer_new(int fd)
{
    struct tarball_writer *w = xcalloc(1, sizeof(*w));

    w->archive = archive_write_new();
    w->entry = archive_entry_new();
    BUG_ON(!w->archive || !w->entry);
    archive_write_set_format_pax_restricted(w->archive);
    archive_write_set_bytes_in_last_block(w->archive, 1);
    w->fd = fd;
    BUG_ON(archive_write_open(w->archive, w, NULL, on_write, NULL) != ARCHIVE_OK);
    return w;
}

void tarball_writer_free(struct tarball_writer *w)
{
    w->is_given_up = true; /* no end that would make it look whole */
    archive_write_free(w->archive);
    archive_entry_free(w->entry);
    free(w);
}

static int header_write(struct tarball_writer *w, const char *name, unsigned type, unsigned mode,
                        int64_t size, struct err *e)
{
    archive_entry_clear(w->entry);
    archive_entry_set_pathname(w->entry, name);
    archive_entry_set_filetype(w->entry, type);
    archive_entry_set_perm(w->entry, mode);
    archive_entry_set_size(w->entry, size);
    archive_entry_set_mtime(w->entry, 0, 0);
    return archive_write_header(w->archive, w->entry) == ARCHIVE_OK ? 0 : failed(w, e);
}

int tarball_writer_folder(struct tarball_writer *w, const char *name, struct err *e)
{
    return header_write(w, name, AE_IFDIR, 0755, 0, e);
}

int tarball_writer_text(struct tarball_writer *w, const char *name, const void *data, size_t len,
                        struct err *e)
{
    TRY(header_write(w, name, AE_IFREG, 0644, (int64_t)len, e));
    return archive_write_data(w->archive, data, len) == (la_ssize_t)len ? 0 : failed(w, e);
}

int tarball_writer_file(struct tarball_writer *w, const char *name, int fd, int64_t size,
                        struct err *e)
{
    autofree char *block = xcalloc(BLOCK_BYTES, 1);

    TRY(header_write(w, name, AE_IFREG, 0644, size, e));
    for (int64_t at = 0; at < size;) {
        size_t want = size - at < BLOCK_BYTES ? (size_t)(size - at) : BLOCK_BYTES;
        ssize_t n = pread(fd, block, want, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(e, n ? -errno : -EIO, "ReadFailed", "cannot read '%s'", name);
        if (archive_write_data(w->archive, block, (size_t)n) != n)
            return failed(w, e);
        at += n;
    }
    return 0;
}

int tarball_writer_finish(struct tarball_writer *w, struct err *e)
{
    return archive_write_close(w->archive) == ARCHIVE_OK ? 0 : failed(w, e);
}

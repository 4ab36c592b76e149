/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layer_write.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/paths.h"
#include "base/util.h"

#define BLOCK_BYTES (128u << 10)
#define ENDING      ".wasm"

void layer_name(const char *path, char ret[static LAYER_NAME_SIZE])
{
    const char *base = path_base(path), *dot = strrchr(base, '.');
    size_t len = dot && str_eq(dot, ENDING) ? (size_t)(dot - base) : strlen(base);
    const size_t limit = LAYER_NAME_SIZE - sizeof(ENDING);

    if (len > limit)
        len = limit;
    snprintf(ret, LAYER_NAME_SIZE, "%.*s" ENDING, (int)len, base);
    for (size_t i = 0; i < len; i++)
        if (!isascii(ret[i]) || (!isalnum(ret[i]) && !strchr("._-", ret[i])))
            ret[i] = '_';
}

/* Two writers of the library: the bytes that the one makes, a tar, are what the other compresses.
 */
struct writer {
    struct archive *tar, *gzip;
    struct archive_entry *file, *content; /* what each has in it */
    struct digest_stream digest;
};

static void writer_done(struct writer *w)
{
    archive_entry_free(w->file);
    archive_entry_free(w->content);
    archive_write_free(w->tar);
    archive_write_free(w->gzip);
}

static int failed(struct archive *a, struct err *e)
{
    const char *why = archive_error_string(a);

    return err_set(e, -EIO, "WriteFailed", "cannot make a layer: %s",
                   why ? why : "there is too little memory");
}

static la_ssize_t tar_write(struct archive *a, void *ctx, const void *data, size_t len)
{
    struct writer *w = ctx;

    digest_add(&w->digest, data, len);
    if (archive_write_data(w->gzip, data, len) == (la_ssize_t)len)
        return (la_ssize_t)len;
    archive_set_error(a, EIO, "%s", archive_error_string(w->gzip));
    return -1;
}

static int gzip_begin(struct writer *w, int out, struct err *e)
{
    archive_entry_set_filetype(w->content, AE_IFREG);
    if (archive_write_set_format_raw(w->gzip) || archive_write_add_filter_gzip(w->gzip) ||
        archive_write_set_filter_option(w->gzip, "gzip", "timestamp", NULL) ||
        archive_write_set_bytes_in_last_block(w->gzip, 1) || archive_write_open_fd(w->gzip, out) ||
        archive_write_header(w->gzip, w->content))
        return failed(w->gzip, e);
    return 0;
}

static int tar_begin(struct writer *w, const char *name, int64_t size, struct err *e)
{
    archive_entry_set_pathname(w->file, name);
    archive_entry_set_filetype(w->file, AE_IFREG);
    archive_entry_set_perm(w->file, 0755);
    archive_entry_set_size(w->file, size);
    archive_entry_set_mtime(w->file, 0, 0);
    if (archive_write_set_format_ustar(w->tar) ||
        archive_write_open(w->tar, w, NULL, tar_write, NULL) ||
        archive_write_header(w->tar, w->file))
        return failed(w->tar, e);
    return 0;
}

static int content_write(struct writer *w, int fd, int64_t size, struct err *e)
{
    autofree char *block = xcalloc(1, BLOCK_BYTES);
    int64_t at = 0;

    while (at < size) {
        ssize_t n = pread(fd, block, BLOCK_BYTES, at);

        if (n < 0)
            return err_errno(e, -errno, "ReadFailed", "cannot read the program");
        if (n == 0 || at + n > size)
            return err_set(e, -EIO, "ReadFailed", "the program changes while it is read");
        if (archive_write_data(w->tar, block, (size_t)n) != n)
            return failed(w->tar, e);
        at += n;
    }
    return 0;
}

int layer_write(int fd, const char *name, int out, struct digest *ret_diff_id, struct err *e)
{
    __attribute__((cleanup(writer_done))) struct writer w = {.tar = archive_write_new(),
                                                             .gzip = archive_write_new(),
                                                             .file = archive_entry_new(),
                                                             .content = archive_entry_new()};
    struct stat st;

    if (!w.tar || !w.gzip || !w.file || !w.content)
        return err_set(e, -ENOMEM, "WriteFailed", "there is too little memory");
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine the program");
    digest_begin(&w.digest);
    TRY(gzip_begin(&w, out, e));
    TRY(tar_begin(&w, name, st.st_size, e));
    TRY(content_write(&w, fd, st.st_size, e));
    if (archive_write_close(w.tar))
        return failed(w.tar, e);
    if (archive_write_close(w.gzip))
        return failed(w.gzip, e);
    digest_end(&w.digest, ret_diff_id);
    return 0;
}

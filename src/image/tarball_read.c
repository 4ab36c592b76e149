/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>

#include "image/tarball.h"

#define BLOCK_BYTES (256 << 10)

struct scan {
    struct archive *archive;
    const struct tarball_visitor *v;
    int fd;
    char *block;
    bool is_packed;
    int64_t delivered; /* bytes, holes of sparse files included */
};

/* ---- The file: with what the child of tarball.c may call, which is less than the library does */

static la_ssize_t on_read(struct archive *a, void *ctx, const void **ret)
{
    struct scan *s = ctx;
    ssize_t n;

    do
        n = read(s->fd, s->block, BLOCK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(a, errno, "%s", "it cannot be read");
    *ret = s->block;
    return n;
}

/* As far as it can without reading: of a pipe not at all. */
static la_int64_t on_skip(struct archive *a, void *ctx, la_int64_t n)
{
    struct scan *s = ctx;
    off_t at = lseek(s->fd, 0, SEEK_CUR), end = at < 0 ? -1 : lseek(s->fd, 0, SEEK_END);

    (void)a;
    if (at < 0 || end < 0)
        return 0;
    if (n > end - at) /* what is not there is missed when it is read */
        n = end - at;
    return lseek(s->fd, at + n, SEEK_SET) < 0 ? -1 : n;
}

static int failed(struct scan *s, struct err *e)
{
    int number = archive_errno(s->archive);
    const char *text = archive_error_string(s->archive);

    if (number == EIO || number == EISDIR)
        return err_errno(e, -number, "ReadFailed", "cannot read the archive");
    return err_set(e, -EINVAL, "BadImage", "it is no tar archive, or it is damaged: %.200s",
                   text ? text : "the end is missing");
}

/* A bomb: what comes out has no relation to what went in. */
static int size_check(const struct scan *s, struct err *e)
{
    int64_t in = archive_filter_bytes(s->archive, -1), out = archive_filter_bytes(s->archive, 0);

    if (s->delivered > out)
        out = s->delivered;
    if (out - TARBALL_PACKED_SLACK <= in * TARBALL_PACKED_LIMIT)
        return 0;
    return err_set(e, -EFBIG, "TooLarge",
                   "the archive unpacks to more than %d times its size; unpack it first if you "
                   "trust it",
                   TARBALL_PACKED_LIMIT);
}

/* ---- Names ---- */

static bool has_parent_part(const char *name)
{
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (str_starts(part, "..") && (part[2] == '/' || !part[2]))
            return true;
    }
    return false;
}

static int name_read(struct archive_entry *entry, char ret[static TARBALL_NAME_LIMIT + 1],
                     struct err *e)
{
    const char *name = archive_entry_pathname(entry);
    size_t len;

    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (!name || !*name)
        return err_set(e, -EINVAL, "BadImage", "an entry of the archive has no name");
    if (*name == '/' || has_parent_part(name))
        return err_set(e, -EINVAL, "BadImage",
                       "the entry '%.200s' of the archive leads out of it; it is not read", name);
    while (str_starts(name, "./"))
        for (name += 2; *name == '/'; name++)
            ;
    len = strlen(name);
    if (len > TARBALL_NAME_LIMIT)
        return err_set(e, -EINVAL, "BadImage",
                       "an entry of the archive has a name of %zu characters", len);
    memcpy(ret, name, len + 1);
    while (len && ret[len - 1] == '/')
        ret[--len] = 0;
    return 0;
}

/* Whether it is a link. Where it leads to is for who needs that to judge. */
static bool is_link(struct archive_entry *entry, struct tarball_entry *t)
{
    const char *hard = archive_entry_hardlink(entry), *symlink = archive_entry_symlink(entry);

    if (!hard)
        hard = archive_entry_hardlink_utf8(entry);
    if (!hard && archive_entry_filetype(entry) != AE_IFLNK)
        return false;
    if (!hard && !symlink)
        symlink = archive_entry_symlink_utf8(entry);
    t->kind = hard ? TARBALL_HARD_LINK : TARBALL_SYMLINK;
    t->link = hard ? hard : symlink ? symlink : "";
    return true;
}

static enum tarball_kind kind_of(struct archive_entry *entry)
{
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return TARBALL_FOLDER;
    return archive_entry_filetype(entry) == AE_IFREG ? TARBALL_FILE : TARBALL_OTHER;
}

/* ---- Content ---- */

/* Goes over the content as the size is checked; what is not packed is skipped without reading. */
static int content_skip(struct scan *s, struct err *e)
{
    const void *data;
    la_int64_t at;
    size_t len;
    int r;

    if (!s->is_packed)
        return archive_read_data_skip(s->archive) < ARCHIVE_WARN ? failed(s, e) : 0;
    while ((r = archive_read_data_block(s->archive, &data, &len, &at)) == ARCHIVE_OK)
        TRY(size_check(s, e));
    return r == ARCHIVE_EOF ? 0 : failed(s, e);
}

static int content_deliver(struct scan *s, struct err *e)
{
    autofree char *block = xcalloc(BLOCK_BYTES, 1);
    la_ssize_t n;

    while ((n = archive_read_data(s->archive, block, BLOCK_BYTES)) > 0) {
        s->delivered += n;
        TRY(size_check(s, e));
        TRY(s->v->data(s->v->ctx, block, (size_t)n, e));
    }
    if (n < 0)
        return failed(s, e);
    return s->v->end(s->v->ctx, e);
}

static int entry_visit(struct scan *s, struct archive_entry *entry, struct err *e)
{
    char name[TARBALL_NAME_LIMIT + 1] = "";
    struct tarball_entry t = {.name = name, .link = ""};
    int is_wanted;

    TRY(name_read(entry, name, e));
    if (!is_link(entry, &t))
        t.kind = kind_of(entry);
    if (strlen(t.link) > TARBALL_NAME_LIMIT)
        return err_set(e, -EINVAL, "BadImage", "the link '%.200s' of the archive is too long",
                       name);
    if (t.kind == TARBALL_FILE)
        t.size = archive_entry_size(entry);
    is_wanted = *name ? s->v->entry(s->v->ctx, &t, e) : 0;
    TRY(is_wanted);
    return is_wanted ? content_deliver(s, e) : content_skip(s, e);
}

static int entries_visit(struct scan *s, struct err *e)
{
    struct archive_entry *entry;
    int r;

    while ((r = archive_read_next_header(s->archive, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
        s->is_packed = archive_filter_code(s->archive, 0) != ARCHIVE_FILTER_NONE;
        TRY(size_check(s, e));
        TRY(entry_visit(s, entry, e));
    }
    return r == ARCHIVE_EOF ? 0 : failed(s, e);
}

int tarball_visit_here(int fd, const struct tarball_visitor *v, struct err *e)
{
    autofree char *block = xcalloc(BLOCK_BYTES, 1);
    struct scan s = {.archive = archive_read_new(), .v = v, .fd = fd, .block = block};
    int r;

    BUG_ON(!s.archive);
    archive_read_support_format_tar(s.archive);
    archive_read_support_filter_gzip(s.archive);
    archive_read_support_filter_bzip2(s.archive);
    archive_read_support_filter_xz(s.archive);
    archive_read_support_filter_zstd(s.archive);
    r = archive_read_open2(s.archive, &s, NULL, on_read, on_skip, NULL) == ARCHIVE_OK
            ? entries_visit(&s, e)
            : failed(&s, e);
    archive_read_free(s.archive);
    return r;
}

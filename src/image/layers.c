/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layers.h"

#include <locale.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/fds.h"
#include "base/util.h"
#include "image/rootfs.h"

#define BLOCK_BYTES (128u << 10)
#define WASM_MAGIC  "\0asm"

const char *const layers_reasons[] = {
    "BadImage",   "NotRunnable", "DigestMismatch", "TooLarge",
    "ReadFailed", "WriteFailed", "DiskFull",       NULL,
};

static void archive_free_cleanup_(struct archive **a)
{
    archive_read_free(*a);
}
#define autoarchive __attribute__((cleanup(archive_free_cleanup_))) struct archive

/* ---- A layer's content, decompressed ---- */

struct content {
    const struct layers *of;
    int64_t *total;      /* of all layers so far */
    struct archive *raw; /* what is in the compressed file */
    int fd;
    bool is_empty;
    int64_t in, out; /* bytes */
    struct digest_stream digest;
    struct err error; /* of this side, when the library only knows that there was one */
    char compressed[BLOCK_BYTES], block[BLOCK_BYTES];
};

/* The library's own words, which may quote the layer. */
static int damaged(struct archive *a, struct err *e)
{
    const char *why = archive_error_string(a);

    if (archive_errno(a) == ENOMEM)
        return -ENOMEM; /* confine.h */
    return err_set(e, -EINVAL, "BadImage", "it is damaged: %.160s",
                   why ? why : "it is no tar file");
}

static la_ssize_t compressed_read(struct archive *a, void *ctx, const void **ret)
{
    struct content *c = ctx;
    ssize_t n;

    do
        n = pread(c->fd, c->compressed, sizeof(c->compressed), c->in);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        err_errno(&c->error, -errno, "ReadFailed", "cannot read it");
        archive_set_error(a, EIO, "cannot read it");
        return ARCHIVE_FATAL;
    }
    c->in += n;
    *ret = c->compressed;
    return n;
}

static int size_check(const struct content *c, struct err *e)
{
    const struct layers_limits *l = &c->of->limits;

    if (*c->total > l->content_bytes)
        return err_set(e, -EFBIG, "TooLarge",
                       "the layers have more than the %lld MiB that they may have decompressed",
                       (long long)(l->content_bytes >> 20));
    if (c->out > l->free_bytes && c->out / l->ratio > c->in)
        return err_set(e, -EFBIG, "TooLarge",
                       "it grows to more than %lld times its size when it is decompressed, as what "
                       "is made to fill disks and memory does",
                       (long long)l->ratio);
    return 0;
}

/* The next piece of the content: its bytes, 0 at the end. */
static la_ssize_t content_next(struct content *c)
{
    la_ssize_t n = c->is_empty ? 0 : archive_read_data(c->raw, c->block, sizeof(c->block));

    if (n < 0) {
        if (!c->error.code)
            c->error.code = damaged(c->raw, &c->error);
        return ARCHIVE_FATAL;
    }
    c->out += n;
    *c->total += n;
    digest_add(&c->digest, c->block, (size_t)n);
    return size_check(c, &c->error) < 0 ? ARCHIVE_FATAL : n;
}

static la_ssize_t content_read(struct archive *a, void *ctx, const void **ret)
{
    struct content *c = ctx;
    la_ssize_t n = content_next(c);

    if (n < 0)
        archive_set_error(a, EIO, "cannot decompress it");
    *ret = c->block;
    return n;
}

static int content_begin(struct content *c, struct err *e)
{
    struct archive_entry *entry;
    int r;

    archive_read_support_filter_gzip(c->raw);
    archive_read_support_filter_zstd(c->raw);
    archive_read_support_format_raw(c->raw);
    archive_read_support_format_empty(c->raw);
    r = archive_read_open(c->raw, c, NULL, compressed_read, NULL);
    if (r >= ARCHIVE_WARN)
        r = archive_read_next_header(c->raw, &entry);
    if (r != ARCHIVE_OK && r != ARCHIVE_EOF && r != ARCHIVE_WARN) {
        *e = c->error;
        return e->code ? e->code : damaged(c->raw, e);
    }
    c->is_empty = r == ARCHIVE_EOF;
    return 0;
}

/* What follows the archive's end belongs to the content as well. */
static int content_end(struct content *c, const struct digest *wanted, struct err *e)
{
    char is[DIGEST_TEXT_SIZE], should[DIGEST_TEXT_SIZE];
    struct digest found;
    la_ssize_t n;

    do
        n = content_next(c);
    while (n > 0);
    if (n < 0) {
        *e = c->error;
        return e->code;
    }
    digest_end(&c->digest, &found);
    if (memcmp(&found, wanted, sizeof(found)) == 0)
        return 0;
    digest_format(&found, is);
    digest_format(wanted, should);
    return err_set(e, -EBADMSG, "DigestMismatch",
                   "its content is not what the config says (diff_ids): it has %s instead of %s",
                   is, should);
}

/* ---- A layer's entries ---- */

typedef int (*entry_fn)(void *ctx, struct archive *a, struct archive_entry *entry,
                        struct rootfs_place place, struct err *e);

static int entries_read(struct archive *tar, unsigned layer, entry_fn each, void *ctx,
                        struct err *e)
{
    struct archive_entry *entry;

    for (unsigned i = 0;; i++) {
        int r = archive_read_next_header(tar, &entry);

        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return damaged(tar, e);
        TRY(each(ctx, tar, entry, (struct rootfs_place){layer, i}, e));
    }
}

static int layer_read(const struct layers *l, unsigned i, int64_t *total, entry_fn each, void *ctx,
                      struct err *e)
{
    autoarchive *raw = archive_read_new(), *tar = archive_read_new();
    autofree struct content *c = xcalloc(1, sizeof(*c));
    int r;

    if (!raw || !tar)
        return -ENOMEM;
    *c = (struct content){.of = l, .total = total, .raw = raw, .fd = l->fds[i]};
    digest_begin(&c->digest);
    TRY(content_begin(c, e));
    archive_read_support_format_tar(tar);
    archive_read_support_format_empty(tar);
    r = archive_read_open(tar, c, NULL, content_read, NULL);
    r = r < ARCHIVE_WARN ? damaged(tar, e) : entries_read(tar, i, each, ctx, e);
    if (r < 0 && c->error.code) {
        *e = c->error; /* which was first */
        r = e->code;
    }
    return r < 0 ? r : content_end(c, &l->diff_ids[i], e);
}

/* ---- The file ---- */

struct extraction {
    const struct layers *of;
    struct rootfs *files;
    int fd;
    bool is_used;    /* something is behind `fd` */
    bool is_written; /* and that is the file at `place` */
    struct rootfs_place place;
};

static int piece_write(int fd, const char *data, size_t len, struct err *e)
{
    if (fd_write_all(fd, data, len, e) >= 0)
        return 0;
    e->reason = errno_is_disk_full(e->code) ? "DiskFull" : "WriteFailed";
    return err_prefix(e, "cannot keep the program");
}

static int too_large(const struct extraction *x, struct err *e)
{
    return err_set(e, -EFBIG, "TooLarge", "the program has more than %lld MiB",
                   (long long)(x->of->limits.program_bytes >> 20));
}

static bool is_wasm(const char *data, size_t len)
{
    return len >= sizeof(WASM_MAGIC) - 1 && memcmp(data, WASM_MAGIC, sizeof(WASM_MAGIC) - 1) == 0;
}

static int program_write(struct extraction *x, struct archive *a, struct archive_entry *entry,
                         struct rootfs_place place, struct err *e)
{
    autofree char *block = xcalloc(1, BLOCK_BYTES);
    int64_t size = 0;
    la_ssize_t n;

    /* A sparse file may be larger than all that is there. */
    if (archive_entry_size(entry) > x->of->limits.program_bytes)
        return too_large(x, e);
    x->is_written = false;
    if (x->is_used && (lseek(x->fd, 0, SEEK_SET) < 0 || ftruncate(x->fd, 0) < 0))
        return err_errno(e, -errno, "WriteFailed", "cannot keep the program");
    while ((n = archive_read_data(a, block, BLOCK_BYTES)) > 0) {
        if (!size && !is_wasm(block, (size_t)n))
            break;
        size += n;
        if (size > x->of->limits.program_bytes)
            return too_large(x, e);
        x->is_used = true;
        TRY(piece_write(x->fd, block, (size_t)n, e));
    }
    if (n < 0)
        return damaged(a, e);
    if (!size)
        return err_set(e, -ENOEXEC, "NotRunnable", "its entry point is no WebAssembly program");
    x->is_written = true;
    x->place = place;
    return 0;
}

static int entry_extract(void *ctx, struct archive *a, struct archive_entry *entry,
                         struct rootfs_place place, struct err *e)
{
    struct extraction *x = ctx;

    return place.entry == x->place.entry ? program_write(x, a, entry, place, e) : 0;
}

/* ---- What is where ---- */

/* A file that is likely to be the one is written out when it passes by, to read its layer once. */
static int likely_write(struct extraction *x, struct archive *a, struct archive_entry *entry,
                        const char *name, struct rootfs_place place, struct err *e)
{
    bool is_likely = false;

    for (size_t i = 0; i < x->of->paths.n; i++)
        is_likely = is_likely || rootfs_is_name_of(name, x->of->paths.v[i]);
    if (!is_likely || program_write(x, a, entry, place, e) >= 0)
        return 0;
    if (!str_eq(e->reason, "TooLarge") && !str_eq(e->reason, "NotRunnable"))
        return e->code;
    *e = ERR_INIT; /* which is no matter if it is another */
    return 0;
}

static int entry_index(void *ctx, struct archive *a, struct archive_entry *entry,
                       struct rootfs_place place, struct err *e)
{
    struct extraction *x = ctx;
    const char *name = archive_entry_pathname(entry);
    const char *hard = archive_entry_hardlink(entry), *symlink = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    enum rootfs_kind kind = hard               ? ROOTFS_HARD_LINK
                            : type == AE_IFREG ? ROOTFS_FILE
                            : type == AE_IFDIR ? ROOTFS_FOLDER
                            : type == AE_IFLNK ? ROOTFS_SYMLINK
                                               : ROOTFS_OTHER;

    /* A name that is no text is not the one that is wanted. */
    if (!name || (kind == ROOTFS_SYMLINK && !symlink))
        return 0;
    TRY(rootfs_add(x->files, place, kind, name, hard ? hard : symlink, e));
    return kind == ROOTFS_FILE ? likely_write(x, a, entry, name, place, e) : 0;
}

static int paths_find(const struct extraction *x, struct rootfs_place *ret, struct err *e)
{
    const struct strv *paths = &x->of->paths;

    for (size_t i = 0; i < paths->n; i++) {
        int r = rootfs_find(x->files, paths->v[i], ret, e);

        if (r)
            return r < 0 ? r : 0;
    }
    return err_set(e, -ENOEXEC, "NotRunnable", "there is no '%.128s' in its layers",
                   paths->n ? paths->v[0] : "");
}

int layers_program_extract(const struct layers *l, int fd, struct err *e)
{
    AUTO(rootfs) files = rootfs_new();
    struct extraction x = {.of = l, .files = files, .fd = fd};
    struct rootfs_place found = {0};
    int64_t total = 0;

    for (unsigned i = 0; i < l->n; i++)
        if (layer_read(l, i, &total, entry_index, &x, e) < 0)
            return e->code ? err_prefix(e, "layer %u of %zu", i + 1, l->n) : -ENOMEM;
    TRY(paths_find(&x, &found, e));
    if (x.is_written && x.place.layer == found.layer && x.place.entry == found.entry)
        return 0;
    /* To the end again, and its digest again: the file may be another by now. */
    total = 0;
    x.place = found;
    return layer_read(l, found.layer, &total, entry_extract, &x, e);
}

/* ---- The locale ---- */

/* The library converts names from UTF-8 to the locale's characters; when those are UTF-8 too there
 * is nothing to convert, and no converter to load. */
int layers_locale_begin(struct layers_locale *ret, struct err *e)
{
    locale_t set = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);

    if (!set)
        return err_errno(e, -errno, "ConfineFailed", "there is no locale C.UTF-8");
    ret->set = set;
    ret->before = uselocale(set);
    return 0;
}

void layers_locale_done(struct layers_locale *l)
{
    uselocale(l->before);
    freelocale(l->set);
}

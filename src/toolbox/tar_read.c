/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "toolbox/tar.h"

static bool read_full(struct tar *t, char *data, size_t len)
{
    while (len) {
        ssize_t n = stream_read(t->stream, data, len);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static int mistake(struct tar *t, const char *what)
{
    t->status = job_error(t->job, "%s", what);
    return -EBADMSG;
}

/* Octal, or base 256 for what does not fit; false when it is neither. */
static bool parse_number(const char *field, size_t len, unsigned long long *ret_value)
{
    unsigned long long value = 0;
    size_t i = 0;

    if ((unsigned char)field[0] == 0x80) {
        for (i = 1; i < len; i++) {
            if (value >> 55)
                return false;
            value = value << 8 | (unsigned char)field[i];
        }
        *ret_value = value;
        return true;
    }
    while (i < len && field[i] == ' ')
        i++;
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (unsigned)(field[i] - '0');
    *ret_value = value;
    return i == len || field[i] == ' ' || !field[i];
}

static bool has_good_sum(const char *block)
{
    unsigned long long sum = 0, wanted;

    for (int i = 0; i < TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)block[i];
    return parse_number(block + 148, 8, &wanted) && sum == wanted;
}

static unsigned long long filling(unsigned long long size)
{
    return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

static bool skip(struct tar *t, unsigned long long n)
{
    char block[4096];

    while (n) {
        size_t part = n < sizeof(block) ? (size_t)n : sizeof(block);

        if (!read_full(t, block, part))
            return false;
        n -= part;
    }
    return true;
}

static void set_text(char *dst, const char *src, size_t len)
{
    len = len < TAR_NAME_MAX ? len : TAR_NAME_MAX;
    memcpy(dst, src, len);
    dst[len] = '\0';
}

static bool parse_header(const char *block, struct tar_entry *e)
{
    unsigned long long mode, mtime;
    char prefix[156], name[101];

    if (!has_good_sum(block) || !parse_number(block + 100, 8, &mode) ||
        !parse_number(block + 124, 12, &e->size) || !parse_number(block + 136, 12, &mtime))
        return false;
    snprintf(name, sizeof(name), "%.100s", block);
    snprintf(prefix, sizeof(prefix), "%.155s",
             memcmp(block + 257, "ustar", 6) == 0 ? block + 345 : "");
    if (!e->name[0])
        snprintf(e->name, sizeof(e->name), "%s%s%s", prefix, prefix[0] ? "/" : "", name);
    if (!e->target[0])
        snprintf(e->target, sizeof(e->target), "%.100s", block + 157);
    e->type = block[156] ? block[156] : '0';
    if (e->type == '7')
        e->type = '0';
    if (e->type == '0' && e->name[0] && e->name[strlen(e->name) - 1] == '/')
        e->type = '5';
    e->mode = (mode_t)(mode & 07777);
    e->mtime = mtime < 1ULL << 40 ? (long long)mtime : 0;
    return true;
}

/* "LEN KEY=VALUE\n" records; -1 in *size for none. */
static bool parse_pax(const char *text, size_t len, struct tar_entry *e, long long *size)
{
    while (len) {
        char *end;
        size_t record = strtoul(text, &end, 10), head = (size_t)(end - text) + 1;
        const char *equals;
        size_t value_len;

        if (*end != ' ' || record > len || record < head + 2 || text[record - 1] != '\n')
            return false;
        equals = memchr(end + 1, '=', record - head);
        if (!equals)
            return false;
        value_len = record - (size_t)(equals + 1 - text) - 1;
        if (memcmp(end + 1, "path=", 5) == 0 && value_len <= TAR_NAME_MAX)
            set_text(e->name, equals + 1, value_len);
        else if (str_starts(end + 1, "path=") ||
                 (str_starts(end + 1, "linkpath=") && value_len > TAR_NAME_MAX))
            return false;
        else if (str_starts(end + 1, "linkpath="))
            set_text(e->target, equals + 1, value_len);
        else if (str_starts(end + 1, "size="))
            *size = strtoll(equals + 1, NULL, 10);
        text += record;
        len -= record;
    }
    return true;
}

/* What stands in front of an entry with a long name. */
static int read_extra(struct tar *t, const struct tar_entry *extra, struct tar_entry *e,
                      long long *size)
{
    autobuf text = BUF_INIT;
    bool is_good = true;

    if (extra->size > TAR_EXTRA_MAX)
        return mistake(t, "an extended header is too large");
    if (!read_full(t, buf_reserve(&text, (size_t)extra->size), (size_t)extra->size))
        return mistake(t, "short read");
    text.len = (size_t)extra->size;
    buf_terminate(&text);
    if (!skip(t, filling(extra->size)))
        return mistake(t, "short read");
    if (extra->type == 'x')
        is_good = parse_pax(buf_str(&text), text.len, e, size);
    else if (extra->type == 'L')
        set_text(e->name, buf_str(&text), strlen(buf_str(&text)));
    else if (extra->type == 'K')
        set_text(e->target, buf_str(&text), strlen(buf_str(&text)));
    return is_good ? 0 : mistake(t, "an extended header is not understood");
}

static bool is_zero(const char *block)
{
    for (int i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

int tar_next(struct tar *t, struct tar_entry *e)
{
    char block[TAR_BLOCK];
    long long size = -1;

    memset(e, 0, sizeof(*e));
    for (int extras = 0; extras < 16; extras++) {
        struct tar_entry here = *e;
        ssize_t n = stream_read(t->stream, block, 1);

        if (n <= 0)
            return extras || n < 0 ? mistake(t, "short read") : 0;
        if (!read_full(t, block + 1, TAR_BLOCK - 1))
            return mistake(t, "short read");
        if (is_zero(block)) {
            /* The rest of the pipe is read, so that whoever writes it is not disturbed. */
            while (stream_read(t->stream, block, sizeof(block)) > 0)
                ;
            return 0;
        }
        if (!parse_header(block, &here))
            return mistake(t, "invalid tar header");
        if (!strchr("xgLK", here.type)) {
            *e = here;
            if (size >= 0)
                e->size = (unsigned long long)size;
            if (e->type != '0')
                e->size = e->type == '1' || e->type == '2' || e->type == '5' ? 0 : e->size;
            return 1;
        }
        TRY(read_extra(t, &here, e, &size));
    }
    return mistake(t, "too many extended headers");
}

char *tar_safe_name(const char *name)
{
    autofree char *copy = xstrdup(name);
    struct buf out = BUF_INIT;
    char *rest = copy, *part;

    if (strlen(name) > TAR_NAME_MAX)
        return NULL;
    while ((part = strsep(&rest, "/"))) {
        if (!*part || str_eq(part, "."))
            continue;
        if (str_eq(part, "..")) {
            buf_done(&out);
            return NULL;
        }
        buf_addf(&out, "%s%s", out.len ? "/" : "", part);
    }
    return buf_take(&out);
}

/* Opens the folder of `name` below `root`, made where missing; *ret_last is the name in it. */
static int open_parent(int root, char *name, const char **ret_last)
{
    char *rest = name, *part = strsep(&rest, "/");
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (fd >= 0 && rest) {
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (next < 0 && errno == ENOENT && mkdirat(fd, part, 0777) == 0)
            next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close_cleanup_(&fd);
        fd = next;
        part = strsep(&rest, "/");
    }
    *ret_last = part;
    return fd < 0 ? -errno : fd;
}

static int extract_file(struct tar *t, int folder, const char *last, const struct tar_entry *e)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = (time_t)e->mtime}};
    unsigned long long left = e->size;
    struct stream *out;
    char block[4096];
    int fd;

    fd = openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                e->mode ? e->mode & 0777 : 0666);
    if (fd < 0)
        return -errno;
    out = stream_new_fd(fd, true);
    while (left) {
        size_t part = left < sizeof(block) ? (size_t)left : sizeof(block);

        if (!read_full(t, block, part)) {
            stream_unref(out);
            return mistake(t, "short read");
        }
        stream_write(out, block, part);
        left -= part;
    }
    if (stream_flush(out) < 0)
        t->status = job_error(t->job, "%s: write failed", e->name);
    futimens(fd, times); /* a time that cannot be set is no reason to fail */
    stream_unref(out);
    return 0;
}

/* A hard link to what was extracted before. */
static int extract_link(int root, int folder, const char *last, const char *target)
{
    autofree char *name = tar_safe_name(target);
    const char *target_last;
    autofd parent = -EBADF;

    if (!name || !*name)
        return -EPERM;
    parent = open_parent(root, name, &target_last);
    if (parent < 0)
        return parent;
    return linkat(parent, target_last, folder, last, 0) < 0 ? -errno : 0;
}

static int extract_at(struct tar *t, int root, int folder, const char *last,
                      const struct tar_entry *e)
{
    struct stat st;
    bool is_there = fstatat(folder, last, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (e->type == '5') {
        if (is_there && S_ISDIR(st.st_mode))
            return 0;
        return mkdirat(folder, last, 0777) < 0 ? -errno : 0;
    }
    /* What is there is replaced, never written through. */
    if (is_there && unlinkat(folder, last, 0) < 0)
        return -errno;
    if (e->type == '0')
        return extract_file(t, folder, last, e);
    if (e->type == '1')
        return extract_link(root, folder, last, e->target);
    if (e->type == '2')
        return symlinkat(e->target, folder, last) < 0 ? -errno : 0;
    return -ENOTSUP;
}

/* Negative only when the archive cannot be read on; other failures are reported and counted. */
static int extract(struct tar *t, int root, const struct tar_entry *e, bool *ret_has_read)
{
    autofree char *name = tar_safe_name(e->name);
    const char *last;
    autofd folder = -EBADF;
    int result;

    if (!name) {
        t->status = job_error(t->job, "%.200s: refused, it leads out of the folder", e->name);
        return 0;
    }
    if (!*name)
        return 0;
    folder = open_parent(root, name, &last);
    result = folder < 0 ? folder : extract_at(t, root, folder, last, e);
    if (result == -EBADMSG)
        return result;
    *ret_has_read = result == 0 && e->type == '0';
    if (result < 0)
        t->status = job_error(t->job, "%.200s: %s", e->name, errno_text(-result));
    return 0;
}

static bool is_wanted(const struct tar *t, const char *name)
{
    for (int i = 0; i < t->name_n; i++) {
        size_t len = strlen(t->names[i]);

        while (len && t->names[i][len - 1] == '/')
            len--;
        if (strncmp(name, t->names[i], len) == 0 && (!name[len] || name[len] == '/'))
            return true;
    }
    return !t->name_n;
}

static void list(struct tar *t, const struct tar_entry *e, bool is_long)
{
    time_t when = (time_t)e->mtime;
    char text[24];
    struct tm tm;

    if (is_long) {
        gmtime_r(&when, &tm);
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
        stream_printf(t->job->out, "%c %04o %9llu %s ",
                      e->type == '5'   ? 'd'
                      : e->type == '2' ? 'l'
                                       : '-',
                      (unsigned)e->mode, e->size, text);
    }
    stream_printf(t->job->out, "%s", e->name);
    if (is_long && e->type == '2')
        stream_printf(t->job->out, " -> %s", e->target);
    stream_puts(t->job->out, "\n");
}

int tar_read(struct tar *t, bool is_extracting)
{
    autofree struct tar_entry *e = xcalloc(1, sizeof(*e)); /* large for a stack */
    autofd root = -EBADF;
    int result;

    if (is_extracting) {
        root = open(t->folder ? t->folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
            return job_errno(t->job, t->folder ? t->folder : ".");
    }
    while ((result = tar_next(t, e)) > 0) {
        bool has_read = false;

        if (is_wanted(t, e->name)) {
            if (!is_extracting || t->is_verbose)
                list(t, e, !is_extracting && t->is_verbose);
            if (is_extracting && extract(t, root, e, &has_read) < 0)
                return t->status;
        }
        if (!skip(t, (has_read ? 0 : e->size) + filling(e->size))) {
            mistake(t, "short read");
            break;
        }
    }
    return t->status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/tar.h"

#include <fcntl.h>
#include <stdio.h>

/* In as many digits as the field has, which is one less than its bytes. */
static void put_octal(char *field, size_t len, unsigned long long value)
{
    for (field[--len] = '\0'; len; value /= 8)
        field[--len] = (char)('0' + value % 8);
}

static void put_sum(char *block)
{
    unsigned sum = 0;

    memset(block + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)block[i];
    put_octal(block + 148, 7, sum);
}

static void write_padded(struct tar *t, const char *data, size_t len)
{
    static const char zeros[TAR_BLOCK];

    stream_write(t->stream, data, len);
    stream_write(t->stream, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* "LEN KEY=VALUE\n", where LEN counts itself. */
static void add_record(struct buf *text, const char *key, const char *value)
{
    size_t len = strlen(key) + strlen(value) + 4;

    while ((size_t)snprintf(NULL, 0, "%zu %s=%s\n", len, key, value) != len)
        len++;
    buf_addf(text, "%zu %s=%s\n", len, key, value);
}

/* Up to 100 bytes, without a NUL when it has as many. */
static void put_text(char *field, const char *text)
{
    memcpy(field, text, strnlen(text, 100));
}

static void write_header(struct tar *t, const char *name, const char *target, char type,
                         const struct stat *st, unsigned long long size)
{
    static const char magic[] = {'u', 's', 't', 'a', 'r', 0, '0', '0'};
    char block[TAR_BLOCK] = {0};
    mode_t mode = st->st_mode & 07777;

    /* WASI tells no permissions. */
    if (!mode)
        mode = type == '5' ? 0755 : 0644;
    put_text(block, name);
    put_octal(block + 100, 8, mode);
    put_octal(block + 108, 8, 0);
    put_octal(block + 116, 8, 0);
    put_octal(block + 124, 12, size & 077777777777ULL);
    put_octal(block + 136, 12, st->st_mtim.tv_sec > 0 ? (unsigned long long)st->st_mtim.tv_sec : 0);
    block[156] = type;
    put_text(block + 157, target);
    memcpy(block + 257, magic, sizeof(magic));
    put_sum(block);
    stream_write(t->stream, block, sizeof(block));
}

static void write_entry(struct tar *t, const char *name, const char *target, char type,
                        const struct stat *st, unsigned long long size)
{
    autobuf extra = BUF_INIT;
    char number[24];

    if (strlen(name) > 100)
        add_record(&extra, "path", name);
    if (strlen(target) > 100)
        add_record(&extra, "linkpath", target);
    if (size > 077777777777ULL) {
        snprintf(number, sizeof(number), "%llu", size);
        add_record(&extra, "size", number);
    }
    if (extra.len) {
        write_header(t, "pax", "", 'x', st, extra.len);
        write_padded(t, extra.data, extra.len);
    }
    write_header(t, name, target, type, st, size);
}

/* Exactly as many bytes as the header says, whatever happens to the file meanwhile. */
static void write_content(struct tar *t, const char *path, int fd, unsigned long long size)
{
    struct stream *in = stream_new_fd(fd, false);
    unsigned long long left = size;
    char block[4096] = {0};

    while (left && !t->stream->is_broken) {
        size_t part = left < sizeof(block) ? (size_t)left : sizeof(block);
        ssize_t n = stream_read(in, block, part);

        if (n <= 0) {
            t->status = job_error(t->job, "%s: file shrank, padded with zeros", path);
            memset(block, 0, sizeof(block));
            while (left && stream_write(t->stream, block,
                                        left < sizeof(block) ? (size_t)left : sizeof(block)) == 0)
                left -= left < sizeof(block) ? left : sizeof(block);
            break;
        }
        stream_write(t->stream, block, (size_t)n);
        left -= (unsigned long long)n;
    }
    memset(block, 0, TAR_BLOCK);
    stream_write(t->stream, block, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
    stream_unref(in);
}

static void add_file(struct tar *t, const char *path, const char *name)
{
    autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        t->status = job_errno(t->job, path);
        return;
    }
    write_entry(t, name, "", '0', &st, (unsigned long long)st.st_size);
    write_content(t, path, fd, (unsigned long long)st.st_size);
}

static void add(struct tar *t, const char *path, const char *name, int depth);

static void add_folder(struct tar *t, const char *path, const char *name, const struct stat *st,
                       int depth)
{
    autofree char *with_slash = path_join(name, "");
    autostrv names = STRV_INIT;
    int result;

    write_entry(t, with_slash, "", '5', st, 0);
    result = depth > WALK_DEPTH_MAX ? -ELOOP : folder_names(path, &names);
    if (result < 0) {
        t->status = job_error(t->job, "%s: %s", path, errno_text(-result));
        return;
    }
    for (size_t i = 0; i < names.n && !t->stream->is_broken; i++) {
        autofree char *child = path_join(path, names.v[i]);
        autofree char *child_name = path_join(name, names.v[i]);

        add(t, child, child_name, depth + 1);
    }
}

static void add(struct tar *t, const char *path, const char *name, int depth)
{
    char target[TAR_NAME_MAX + 1];
    struct stat st;
    ssize_t n;

    if (strlen(name) > TAR_NAME_MAX - 1 || lstat(path, &st) < 0) {
        t->status = job_errno(t->job, path);
        return;
    }
    if (t->is_verbose)
        stream_printf(t->stream == t->job->out ? t->job->err : t->job->out, "%s\n", name);
    if (S_ISDIR(st.st_mode)) {
        add_folder(t, path, name, &st, depth);
    } else if (S_ISREG(st.st_mode)) {
        add_file(t, path, name);
    } else if (S_ISLNK(st.st_mode) && (n = readlink(path, target, TAR_NAME_MAX)) >= 0) {
        target[n] = '\0';
        write_entry(t, name, target, '2', &st, 0);
    } else {
        job_error(t->job, "%s: neither file, folder nor link, left out", path);
    }
}

int tar_create(struct tar *t)
{
    static const char zeros[2 * TAR_BLOCK];

    for (int i = 0; i < t->name_n; i++) {
        const char *name = t->names[i];
        autofree char *path =
            t->folder && *name != '/' ? path_join(t->folder, name) : xstrdup(name);

        while (*name == '/')
            name++;
        add(t, path, *name ? name : ".", 0);
    }
    stream_write(t->stream, zeros, sizeof(zeros));
    if (stream_flush(t->stream) < 0 || t->stream->is_broken)
        t->status = job_error(t->job, "the archive cannot be written");
    return t->status;
}

struct tar_call {
    char mode; /* c, x or t */
    const char *file;
};

/* `tar cf - X` is `tar -cf - X`. */
static bool parse_call(struct job *j, struct tar *t, struct tar_call *call)
{
    autofree char *dashed = NULL;
    struct opts o = OPTS(j, "cxtvf:C:mopzjJ");
    char *first = j->argc > 1 ? j->argv[1] : NULL;
    int c;

    if (first && first[0] != '-') {
        dashed = xasprintf("-%s", first);
        j->argv[1] = dashed;
    }
    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            break;
        if (strchr("cxt", c))
            call->mode = (char)c;
        if (c == 'f')
            call->file = o.value;
        if (c == 'C')
            t->folder = o.value;
        t->is_verbose = t->is_verbose || c == 'v';
        if (strchr("zjJ", c)) {
            job_error(j, "compression is not to be had here");
            c = '?';
            break;
        }
    }
    if (dashed)
        j->argv[1] = first;
    t->names = j->argv + o.next;
    t->name_n = j->argc - o.next;
    return c != '?';
}

int tool_tar(struct job *j)
{
    struct tar t = {.job = j};
    struct tar_call call = {.file = "-"};
    bool is_std;
    int status, fd;

    if (!parse_call(j, &t, &call))
        return 2;
    if (!call.mode)
        return job_error(j, "one of -c, -x and -t must be given") + 1;
    is_std = str_eq(call.file, "-");
    if (is_std) {
        t.stream = stream_ref(call.mode == 'c' ? j->out : j->in);
    } else {
        fd = open(call.file,
                  (call.mode == 'c' ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_CLOEXEC, 0666);
        if (fd < 0)
            return job_errno(j, call.file) + 1;
        t.stream = stream_new_fd(fd, true);
    }
    if (!t.stream)
        return job_error(j, "the standard stream is closed") + 1;
    status = call.mode == 'c' ? tar_create(&t) : tar_read(&t, call.mode == 'x');
    stream_unref(t.stream);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* cat, head, tail, wc, tee */
#include <fcntl.h>

#include "toolbox/toolbox.h"

#define BLOCK_BYTES 16384
#define COUNT_MAX   ((long long)1 << 40)

static int copy(struct job *j, struct stream *s, const char *name, void *arg)
{
    char block[BLOCK_BYTES];
    ssize_t n;

    (void)arg;
    while ((n = stream_read(s, block, sizeof(block))) > 0)
        if (stream_write(j->out, block, (size_t)n) < 0)
            return 1;
    errno = (int)-n;
    return n < 0 ? job_errno(j, name) : 0;
}

int tool_cat(struct job *j)
{
    struct opts o = OPTS(j, "u");
    int c;

    while ((c = opts_next(&o)) > 0)
        if (c == '?')
            return 1;
    return job_each_input(j, o.next, copy, NULL);
}

/* Of head and tail. */
struct part {
    long long count;
    bool is_bytes, is_from_start, is_named, is_quiet, was_one;
};

static void part_header(struct job *j, struct part *p, const char *name)
{
    if (p->is_named && !p->is_quiet)
        stream_printf(j->out, "%s==> %s <==\n", p->was_one ? "\n" : "",
                      str_eq(name, "-") ? "standard input" : name);
    p->was_one = true;
}

static bool part_parse(struct job *j, struct part *p, struct opts *o)
{
    const char *number = NULL;
    int c;

    *p = (struct part){.count = 10};
    *o = OPTS(j, "n:c:q");
    /* head -5 */
    if (j->argc > 1 && j->argv[1][0] == '-' && number_parse(j->argv[1] + 1, COUNT_MAX, &p->count))
        o->next = 2;
    while ((c = opts_next(o)) > 0) {
        if (c == '?')
            return false;
        if (c == 'q') {
            p->is_quiet = true;
        } else {
            number = o->value;
            p->is_bytes = c == 'c';
        }
    }
    p->is_named = j->argc - o->next > 1;
    if (!number)
        return true;
    p->is_from_start = *number == '+';
    if (!number_parse(number + (*number == '+' || *number == '-'), COUNT_MAX, &p->count)) {
        job_error(j, "invalid number '%s'", number);
        return false;
    }
    return true;
}

static int head(struct job *j, struct stream *s, const char *name, void *arg)
{
    struct part *p = arg;
    long long left = p->count;
    int c;

    part_header(j, p, name);
    while (left > 0 && (c = stream_getc(s)) >= 0) {
        char byte = (char)c;

        if (stream_write(j->out, &byte, 1) < 0)
            return 1;
        if (p->is_bytes || c == '\n')
            left--;
    }
    return 0;
}

int tool_head(struct job *j)
{
    struct part p;
    struct opts o;

    return part_parse(j, &p, &o) ? job_each_input(j, o.next, head, &p) : 1;
}

/* Everything from line or byte `count` on, counted from 1. */
static int tail_from(struct job *j, struct stream *s, const struct part *p)
{
    long long skip = p->count - 1;
    int c;

    while (skip > 0 && (c = stream_getc(s)) >= 0)
        if (p->is_bytes || c == '\n')
            skip--;
    return copy(j, s, "-", NULL);
}

/* Keeps what may still be the end; cut when twice that has come. */
static int tail(struct job *j, struct stream *s, const char *name, void *arg)
{
    struct part *p = arg;
    autobuf kept = BUF_INIT;
    long long units = 0;
    int c, last = '\n';
    size_t at = 0;

    part_header(j, p, name);
    if (p->is_from_start)
        return tail_from(j, s, p);
    while ((c = stream_getc(s)) >= 0) {
        buf_addc(&kept, (char)c);
        last = c;
        units += p->is_bytes || c == '\n';
        while (units > p->count && at < kept.len) {
            units -= p->is_bytes || kept.data[at] == '\n';
            at++;
        }
        if (at > BLOCK_BYTES && at > kept.len / 2) {
            buf_consume(&kept, at);
            at = 0;
        }
        if (kept.len - at > STREAM_LINE_MAX * 4)
            return job_error(j, "%s: the end is larger than %zu MiB", name,
                             (STREAM_LINE_MAX * 4) >> 20);
    }
    /* A last line without its newline is one as well. */
    if (!p->is_bytes && last != '\n' && units == p->count)
        while (at < kept.len && kept.data[at++] != '\n')
            ;
    if (!p->count)
        at = kept.len;
    return stream_write(j->out, buf_str(&kept) + at, kept.len - at) < 0;
}

int tool_tail(struct job *j)
{
    struct part p;
    struct opts o;

    return part_parse(j, &p, &o) ? job_each_input(j, o.next, tail, &p) : 1;
}

struct counts {
    unsigned long long lines, words, bytes;
};

struct count {
    bool has_lines, has_words, has_bytes, is_single;
    struct counts total;
};

static void print_counts(struct job *j, const struct count *c, const struct counts *n,
                         const char *name)
{
    int kinds = c->has_lines + c->has_words + c->has_bytes;
    bool is_bare = kinds == 1 && c->is_single;
    const char *space = "";

    if (c->has_lines) {
        stream_printf(j->out, is_bare ? "%llu" : "%7llu", n->lines);
        space = " ";
    }
    if (c->has_words) {
        stream_printf(j->out, is_bare ? "%s%llu" : "%s%7llu", space, n->words);
        space = " ";
    }
    if (c->has_bytes)
        stream_printf(j->out, is_bare ? "%s%llu" : "%s%7llu", space, n->bytes);
    stream_printf(j->out, name ? " %s\n" : "\n", name);
}

static int count(struct job *j, struct stream *s, const char *name, void *arg)
{
    struct count *c = arg;
    struct counts n = {0};
    bool in_word = false;
    int byte;

    while ((byte = stream_getc(s)) >= 0) {
        bool is_space = strchr(" \t\n\v\f\r", byte) && byte;

        n.bytes++;
        n.lines += byte == '\n';
        n.words += in_word && is_space;
        in_word = !is_space;
    }
    n.words += in_word;
    c->total.lines += n.lines;
    c->total.words += n.words;
    c->total.bytes += n.bytes;
    print_counts(j, c, &n, str_eq(name, "-") && s == j->in ? NULL : name);
    return 0;
}

int tool_wc(struct job *j)
{
    struct opts o = OPTS(j, "lwcm");
    struct count c = {0};
    int letter, status;

    while ((letter = opts_next(&o)) > 0) {
        if (letter == '?')
            return 1;
        c.has_lines = c.has_lines || letter == 'l';
        c.has_words = c.has_words || letter == 'w';
        c.has_bytes = c.has_bytes || letter == 'c' || letter == 'm';
    }
    if (!c.has_lines && !c.has_words && !c.has_bytes)
        c.has_lines = c.has_words = c.has_bytes = true;
    c.is_single = j->argc - o.next < 2;
    status = job_each_input(j, o.next, count, &c);
    if (j->argc - o.next > 1)
        print_counts(j, &c, &c.total, "total");
    return status;
}

int tool_tee(struct job *j)
{
    struct opts o = OPTS(j, "ai");
    int c, flags = O_TRUNC, status = 0, n = 0;
    struct stream *files[16];
    char block[BLOCK_BYTES];
    ssize_t got;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        if (c == 'a')
            flags = O_APPEND;
    }
    for (int i = o.next; i < j->argc && n < (int)ARRAY_SIZE(files); i++) {
        int fd = open(j->argv[i], O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);

        if (fd < 0)
            status = job_errno(j, j->argv[i]);
        else
            files[n++] = stream_new_fd(fd, true);
    }
    while ((got = stream_read(j->in, block, sizeof(block))) > 0) {
        status |= stream_write(j->out, block, (size_t)got) < 0;
        for (int i = 0; i < n; i++)
            status |= stream_write(files[i], block, (size_t)got) < 0;
    }
    while (n)
        stream_unref(files[--n]);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "toolbox/http.h"
#include "toolbox/net.h"
#include "toolbox/toolbox.h"

#define USAGE "usage: wget [-q] [-O FILE] [-T SECONDS] [http://]HOST[:PORT][/PATH]"

struct fetch {
    struct job *j;
    struct http_url url;
    const char *file; /* "-": standard output */
    uint64_t timeout_ns;
    struct net_connection c;
    struct http_head head;
    struct buf got;
};

static int lost(struct fetch *f, ssize_t result)
{
    return job_error(f->j, "%s: %s", f->url.authority,
                     result == -ETIMEDOUT ? "no answer in time" : "the connection broke");
}

static int request_send(struct fetch *f)
{
    autobuf text = BUF_INIT;

    buf_addf(&text,
             "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: wherry-toolbox\r\nAccept: */*\r\n\r\n",
             f->url.path, f->url.authority);
    while (text.len > 0) {
        ssize_t n = net_send(&f->c, text.data, text.len);
        bool is_ready;

        if (n < 0)
            return lost(f, n);
        buf_consume(&text, (size_t)n);
        if (n == 0 && !net_wait(&f->c.output_ready, 1, f->timeout_ns, &is_ready))
            return lost(f, -ETIMEDOUT);
    }
    return 0;
}

static int head_receive(struct fetch *f)
{
    int r;

    while ((r = http_head_parse(&f->got, &f->head)) == 0) {
        ssize_t n = net_receive(&f->c, f->timeout_ns, &f->got);

        if (n < 0)
            return lost(f, n);
        if (n == 0)
            break;
    }
    if (r <= 0)
        return job_error(f->j, "%s: that is no answer of HTTP", f->url.authority);
    buf_consume(&f->got, f->head.bytes);
    if (f->head.status < 200 || f->head.status > 299)
        return job_error(f->j, "%s%s: the server answers %s%s%s", f->url.authority, f->url.path,
                         f->head.line, f->head.location ? ", which is at " : "",
                         f->head.location ? f->head.location : "");
    if (f->head.is_chunked)
        return job_error(f->j, "%s: the server answers in chunks, which HTTP/1.0 has not",
                         f->url.authority);
    return 0;
}

static int body_receive(struct fetch *f, struct stream *out)
{
    int64_t left = f->head.length;
    ssize_t n = 1;

    for (;;) {
        size_t len = left >= 0 && (int64_t)f->got.len > left ? (size_t)left : f->got.len;

        if (len > 0 && stream_write(out, f->got.data, len) < 0)
            return 1;
        buf_clear(&f->got);
        if (left >= 0)
            left -= (int64_t)len;
        if (left == 0 || n == 0)
            break;
        n = net_receive(&f->c, f->timeout_ns, &f->got);
        if (n < 0)
            return lost(f, n);
    }
    if (left > 0)
        return job_error(f->j, "%s: the connection ended %lld bytes too early", f->url.authority,
                         (long long)left);
    return stream_flush(out) < 0 ? 1 : 0;
}

static int body_keep(struct fetch *f)
{
    struct stream *out;
    int fd, status;

    if (str_eq(f->file, "-"))
        return body_receive(f, f->j->out);
    fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return job_errno(f->j, f->file);
    out = stream_new_fd(fd, true);
    status = body_receive(f, out);
    if (out->is_broken)
        status = job_error(f->j, "%s: it cannot be written", f->file);
    stream_unref(out);
    return status;
}

static int fetch(struct fetch *f)
{
    const char *why = NULL;
    int status;

    if (!net_connect(f->url.host, f->url.port, f->timeout_ns, &f->c, &why))
        return job_error(f->j, "cannot connect to %s port %u: %s", f->url.host, f->url.port, why);
    status = request_send(f);
    if (!status)
        status = head_receive(f);
    if (!status)
        status = body_keep(f);
    net_close(&f->c);
    return status;
}

/* The last part of the path, without the query. */
static char *file_name(const char *path)
{
    char *name = xstrndup(path, strcspn(path, "?"));
    char *slash = strrchr(name, '/');

    memmove(name, slash + 1, strlen(slash + 1) + 1);
    if (*name && !str_eq(name, ".") && !str_eq(name, ".."))
        return name;
    free(name);
    return xstrdup("index.html");
}

int tool_wget(struct job *j)
{
    struct opts o = OPTS(j, "qO:T:");
    struct fetch f = {.j = j};
    autofree char *name = NULL;
    const char *why = NULL;
    long long seconds = 0;
    int letter, status;

    while ((letter = opts_next(&o)) > 0) {
        if (letter == '?')
            return job_error(j, USAGE);
        if (letter == 'O')
            f.file = o.value;
        if (letter == 'T' && (!number_parse(o.value, 1000000000, &seconds) || !seconds))
            return job_error(j, "-T takes a number of seconds, 1 or more, not '%s'", o.value);
    }
    if (j->argc - o.next != 1)
        return job_error(j, USAGE);
    if (!http_url_parse(j->argv[o.next], &f.url, &why))
        return job_error(j, "%s: %s", j->argv[o.next], why);
    f.timeout_ns = (uint64_t)seconds * 1000000000;
    if (!f.file)
        f.file = name = file_name(f.url.path);
    status = fetch(&f);
    http_head_done(&f.head);
    http_url_done(&f.url);
    buf_done(&f.got);
    return status;
}

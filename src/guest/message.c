/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/message.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define HEADER_BYTES 8u

static const char *const type_names[MESSAGE_TYPES] = {
    [MESSAGE_HELLO] = "hello",   [MESSAGE_STARTED] = "started", [MESSAGE_REFUSED] = "refused",
    [MESSAGE_EXITED] = "exited", [MESSAGE_FIGURES] = "figures", [MESSAGE_LISTED] = "listed",
    [MESSAGE_START] = "start",   [MESSAGE_STOP] = "stop",       [MESSAGE_MEASURE] = "measure",
    [MESSAGE_LIST] = "list",     [MESSAGE_FORGET] = "forget",   [MESSAGE_SHUTDOWN] = "shutdown",
};

/* What a message of a type cannot do without. */
enum { NEEDS_ID = 1, NEEDS_SPEC = 2, NEEDS_STATUS = 4 };

static const int type_needs[MESSAGE_TYPES] = {
    [MESSAGE_STARTED] = NEEDS_ID, [MESSAGE_EXITED] = NEEDS_ID | NEEDS_STATUS,
    [MESSAGE_FIGURES] = NEEDS_ID, [MESSAGE_START] = NEEDS_SPEC,
    [MESSAGE_STOP] = NEEDS_ID,    [MESSAGE_MEASURE] = NEEDS_ID,
    [MESSAGE_FORGET] = NEEDS_ID,
};

struct decoded {
    struct message m;
    char *type;
    char *status;
};

static const struct json_field figure_fields[] = {
    JSON_FIELD("cpu_ns", FIELD_INT64, struct message_figures, cpu_ns),
    JSON_FIELD("memory_bytes", FIELD_INT64, struct message_figures, memory_bytes),
    JSON_FIELD("memory_peak_bytes", FIELD_INT64, struct message_figures, memory_peak_bytes),
    JSON_FIELD("calls", FIELD_INT64, struct message_figures, calls),
    {0},
};

static const struct json_field fields[] = {
    JSON_REQUIRED("type", FIELD_STRING, struct decoded, type),
    {.name = "id",
                                                  .type = FIELD_STRING,
                                                  .offset = offsetof(struct decoded, m.id),
                                                  .limit = GUEST_ID_LIMIT},
    JSON_FIELD("reason", FIELD_STRING, struct decoded, m.reason),
    {.name = "grace_ms",
                                                  .type = FIELD_INT64,
                                                  .offset = offsetof(struct decoded, m.grace_ms),
                                                  .min = 0,
                                                  .max = INT64_MAX},
    JSON_FIELD("text", FIELD_STRING, struct decoded, m.text),
    JSON_FIELD("protocol", FIELD_INT64, struct decoded, m.protocol),
    JSON_FIELD("pid", FIELD_INT64, struct decoded, m.pid),
    JSON_FIELD("version", FIELD_STRING, struct decoded, m.version),
    {.name = "figures",
                                                  .type = FIELD_OBJECT,
                                                  .offset = offsetof(struct decoded, m.figures),
                                                  .fields = figure_fields},
    {.name = "spec",
                                                  .type = FIELD_OBJECT,
                                                  .offset = offsetof(struct decoded, m.spec),
                                                  .fields = guest_spec_fields,
                                                  .has_flag = true,
                                                  .has_offset = offsetof(struct decoded, m.has_spec)},
    JSON_FIELD("status", FIELD_RAW, struct decoded, status),
    {0},
};

const char *message_type_name(enum message_type t)
{
    BUG_ON(t >= MESSAGE_TYPES);
    return type_names[t];
}

void message_init(struct message *m, enum message_type type, const char *id)
{
    *m = (struct message){.type = type, .id = id ? xstrdup(id) : NULL};
}

void message_done(struct message *m)
{
    struct decoded d = {.m = *m};

    if (m->has_status)
        guest_status_done(&m->status);
    json_fields_done(fields, &d);
    *m = (struct message){0};
}

void message_encode(const struct message *m, struct buf *ret)
{
    struct json_writer w;
    struct err ignored = ERR_INIT;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_str(&w, "type", message_type_name(m->type));
    if (m->id)
        json_key_str(&w, "id", m->id);
    if (m->reason)
        json_key_str(&w, "reason", m->reason);
    if (m->text)
        json_key_str(&w, "text", m->text);
    if (m->grace_ms)
        json_key_int(&w, "grace_ms", m->grace_ms);
    if (m->version) {
        json_key_int(&w, "protocol", m->protocol);
        json_key_int(&w, "pid", m->pid);
        json_key_str(&w, "version", m->version);
    }
    if (m->type == MESSAGE_FIGURES) {
        json_key(&w, "figures");
        json_begin_object(&w);
        json_key_int(&w, "cpu_ns", m->figures.cpu_ns);
        json_key_int(&w, "memory_bytes", m->figures.memory_bytes);
        json_key_int(&w, "memory_peak_bytes", m->figures.memory_peak_bytes);
        json_key_int(&w, "calls", m->figures.calls);
        json_end_object(&w);
    }
    if (m->has_spec) {
        json_key(&w, "spec");
        guest_spec_encode(&m->spec, &w);
    }
    if (m->has_status) {
        json_key(&w, "status");
        guest_status_encode(&m->status, &w);
    }
    json_end_object(&w);
    /* Text that is not UTF-8 is left out; guest_spec_check() has its place. */
    (void)json_writer_finish(&w, &ignored);
}

static int type_find(const char *name)
{
    for (int t = 0; t < MESSAGE_TYPES; t++)
        if (str_eq(type_names[t], name))
            return t;
    return -ENOENT;
}

static int decode_parts(struct decoded *d, struct err *e)
{
    struct message *m = &d->m;
    int type = type_find(d->type), needs;

    if (type < 0)
        return err_set(e, -EINVAL, "BadMessage", "unknown message type '%.60s'", d->type);
    m->type = (enum message_type)type;
    needs = type_needs[type];
    if (m->has_spec) {
        TRY(guest_spec_words_check(&m->spec, e));
        if (m->spec.module_fd < 0)
            return err_set(e, -EINVAL, "BadSpec", "$.spec.module_fd: missing");
    }
    if (d->status) {
        TRY(guest_status_decode(d->status, strlen(d->status), &m->status, e));
        m->has_status = true;
    }
    if (((needs & NEEDS_ID) && !m->id) || ((needs & NEEDS_SPEC) && !m->has_spec) ||
        ((needs & NEEDS_STATUS) && !m->has_status))
        return err_set(e, -EINVAL, "BadMessage", "a field of the message '%s' is missing", d->type);
    return 0;
}

int message_decode(const char *json, size_t len, struct message *ret, struct err *e)
{
    struct json_limits limits = {.bytes = MESSAGE_LIMIT_BYTES, .depth = 10};
    struct decoded d = {0};
    autofree char *type = NULL, *status = NULL;
    int r;

    guest_spec_init(&d.m.spec); /* the defaults of what it leaves out */
    TRY(json_decode(json, len, limits, fields, 0, &d, e));
    r = decode_parts(&d, e);
    type = take_ptr(d.type);
    status = take_ptr(d.status);
    if (r < 0) {
        message_done(&d.m);
        return r;
    }
    *ret = d.m;
    return 0;
}

/* ---- Channel ---- */

void channel_init(struct channel *c, int fd)
{
    *c = (struct channel){.fd = fd};
}

static void fds_close(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

void channel_done(struct channel *c)
{
    fds_close(c->fds, c->n_fds);
    buf_done(&c->in);
    buf_done(&c->out);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct channel){.fd = -EBADF};
}

/* Keeps received descriptors; more than any message may carry are closed, and its count then does
 * not match. */
static void fds_keep(struct channel *c, const struct msghdr *h)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(h); m;
         m = CMSG_NXTHDR((struct msghdr *)(uintptr_t)h, m)) {
        size_t n;
        int received[MESSAGE_FD_LIMIT];

        if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
            continue;
        n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(received, CMSG_DATA(m), n * sizeof(int));
        for (size_t i = 0; i < n; i++) {
            if (c->n_fds < MESSAGE_FD_LIMIT)
                c->fds[c->n_fds++] = received[i];
            else
                close(received[i]);
        }
    }
}

int channel_read(struct channel *c, struct err *e)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FD_LIMIT * sizeof(int))];
    struct iovec iov = {.iov_base = buf_reserve(&c->in, 65536), .iov_len = 65536};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ssize_t n;

    do
        n = recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        buf_terminate(&c->in);
        return 0;
    }
    if (n < 0)
        return err_errno(e, -errno, "ConnectionLost", "cannot read from the worker connection");
    fds_keep(c, &h);
    c->in.len += (size_t)n;
    buf_terminate(&c->in);
    return n == 0;
}

static uint32_t le32_get(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;

    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void le32_put(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (8 * i));
}

int channel_next(struct channel *c, struct message *ret, int *ret_fds, size_t *ret_n_fds,
                 struct err *e)
{
    uint32_t len, n_fds;
    struct message m;
    int r;

    if (c->in.len < HEADER_BYTES)
        return 0;
    len = le32_get(c->in.data);
    n_fds = le32_get(c->in.data + 4);
    if (len > MESSAGE_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge", "a message of %u bytes; the limit is %u", len,
                       MESSAGE_LIMIT_BYTES);
    if (n_fds > MESSAGE_FD_LIMIT)
        return err_set(e, -EINVAL, "BadMessage", "a message with %u descriptors", n_fds);
    if (c->in.len < HEADER_BYTES + len)
        return 0;
    if (c->n_fds < n_fds)
        return err_set(e, -EINVAL, "BadMessage", "a message said %u descriptors and brought %zu",
                       n_fds, c->n_fds);
    r = message_decode(c->in.data + HEADER_BYTES, len, &m, e);
    if (r < 0)
        return r;
    if (m.has_spec) {
        r = guest_spec_attach(&m.spec, c->fds, n_fds, e);
        if (r < 0) {
            message_done(&m);
            return r;
        }
    }
    memcpy(ret_fds, c->fds, n_fds * sizeof(int));
    *ret_n_fds = n_fds;
    c->n_fds -= n_fds;
    memmove(c->fds, c->fds + n_fds, c->n_fds * sizeof(int));
    buf_consume(&c->in, HEADER_BYTES + len);
    *ret = m;
    return 1;
}

static void body_add(struct buf *out, const struct buf *body, size_t n_fds)
{
    char header[HEADER_BYTES];

    le32_put(header, (uint32_t)body->len);
    le32_put(header + 4, (uint32_t)n_fds);
    buf_add(out, header, sizeof(header));
    buf_add(out, body->data, body->len);
}

static void frame_add(struct buf *out, const struct message *m, size_t n_fds)
{
    autobuf body = BUF_INIT;

    message_encode(m, &body);
    body_add(out, &body, n_fds);
}

void channel_queue(struct channel *c, const struct message *m)
{
    frame_add(&c->out, m, 0);
}

int channel_flush(struct channel *c, struct err *e)
{
    while (c->out.len) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 1;
        if (n < 0)
            return err_errno(e, -errno, "ConnectionLost", "cannot write to the worker connection");
        buf_consume(&c->out, (size_t)n);
    }
    return 0;
}

/* Waits for room in a socket that does not block. */
static int room_wait(const struct channel *c, struct err *e)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};

    if (poll(&p, 1, -1) < 0 && errno != EINTR)
        return err_errno(e, -errno, "ConnectionLost", "cannot wait for the worker connection");
    return 0;
}

static int flush_wait(struct channel *c, struct err *e)
{
    int r;

    while ((r = channel_flush(c, e)) > 0)
        TRY(room_wait(c, e));
    return r;
}

/* Sends the first of the queued bytes with descriptors; the rest follows as plain bytes. 1 when
 * there is no room, and nothing was sent. */
static int first_byte_send(struct channel *c, const int *fds, size_t n_fds, struct err *e)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FD_LIMIT * sizeof(int))] = {0};
    struct iovec iov = {.iov_base = c->out.data, .iov_len = 1};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = CMSG_SPACE(n_fds * sizeof(int))};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&h);
    ssize_t n;

    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(cm), fds, n_fds * sizeof(int));
    do
        n = sendmsg(c->fd, &h, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 1;
    if (n < 0 && errno == ETOOMANYREFS)
        return err_errno(e, -errno, "TooManyInFlight",
                         "the worker has not taken the descriptors sent before");
    if (n < 0)
        return err_errno(e, -errno, "ConnectionLost", "cannot send to the worker");
    buf_consume(&c->out, 1);
    return 0;
}

int channel_send(struct channel *c, const struct message *m, const int *fds, size_t n_fds,
                 struct err *e)
{
    int r;

    BUG_ON(n_fds > MESSAGE_FD_LIMIT);
    TRY(flush_wait(c, e));
    frame_add(&c->out, m, n_fds);
    if (n_fds) {
        while ((r = first_byte_send(c, fds, n_fds, e)) > 0)
            TRY(room_wait(c, e));
        TRY(r);
    }
    return flush_wait(c, e);
}

int channel_try_send(struct channel *c, const struct buf *body, const int *fds, size_t n_fds,
                     struct err *e)
{
    int r;

    BUG_ON(n_fds > MESSAGE_FD_LIMIT || body->len > MESSAGE_LIMIT_BYTES);
    r = channel_flush(c, e);
    if (r)
        return r;
    body_add(&c->out, body, n_fds);
    if (n_fds) {
        r = first_byte_send(c, fds, n_fds, e);
        if (r) {
            buf_clear(&c->out);
            return r;
        }
    }
    r = channel_flush(c, e);
    return r < 0 ? r : 0;
}

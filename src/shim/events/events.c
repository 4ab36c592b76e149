/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/events/events.h"

#include <sys/queue.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "shim/messages/messages.h"
#include "wire/ttrpc.h"

#define QUEUE_LIMIT (4u << 20)
/* How long containerd may take for one event, in either way. */
#define SEND_WAIT_MS 5000u
/* Between attempts; doubled each time. */
#define RETRY_MIN_MS 50u
#define RETRY_MAX_MS 10000u
/* What the binary may fail for one event: it does not say why. */
#define BINARY_ATTEMPTS 5
#define NS_PER_MS       1000000u

struct event {
    STAILQ_ENTRY(event) next;
    uint64_t realtime_ns;
    char *topic, *type_name;
    struct buf packed;
    unsigned attempts;
};

struct events {
    struct loop *loop;
    char *path, *binary, *address, *namespace; /* path is NULL: by the binary */
    size_t queue_limit;
    STAILQ_HEAD(queue, event) queue;
    size_t queued_bytes;
    struct event *sending; /* not in the queue */
    uint64_t n_dropped;
    struct ttrpc_client *client;
    struct loop_child *child;
    struct loop_timer *child_end; /* of its time */
    struct loop_timer *retry;     /* set after a failure */
    uint64_t retry_ms;            /* the last wait; 0: the last attempt succeeded */

    struct loop_timer *flush; /* its deadline, or the moment to tell it; NULL: none */
    void (*flushed)(void *ctx, const struct err *e);
    void *flushed_ctx;
};

static void next(struct events *e);

/* ---- The queue ---- */

static size_t event_bytes(const struct event *v)
{
    return sizeof(*v) + v->packed.len + strlen(v->topic) + strlen(v->type_name);
}

static void event_free(struct event *v)
{
    if (!v)
        return;
    free(v->topic);
    free(v->type_name);
    buf_done(&v->packed);
    free(v);
}

static struct event *queue_take(struct events *e)
{
    struct event *v = STAILQ_FIRST(&e->queue);
    STAILQ_REMOVE_HEAD(&e->queue, next);
    e->queued_bytes -= event_bytes(v);
    return v;
}

static void drop_oldest(struct events *e)
{
    if (!e->n_dropped)
        log_warn("more events wait for containerd than %zu bytes: the oldest are dropped",
                 e->queue_limit);
    event_free(queue_take(e));
    e->n_dropped++;
}

/* ---- The end of an attempt ---- */

static void sent(struct events *e)
{
    event_free(take_ptr(e->sending));
    if (e->retry_ms)
        log_info("containerd takes events again");
    e->retry_ms = 0;
    next(e);
}

static void refused(struct events *e, const char *why)
{
    log_warn("containerd does not take the event %s, which is dropped: %s", e->sending->topic, why);
    event_free(take_ptr(e->sending));
    e->n_dropped++;
    next(e);
}

static void retry_later(struct events *e, const char *why)
{
    struct event *v = take_ptr(e->sending);
    if (!e->retry_ms)
        log_warn("cannot tell containerd of events, and will try again: %s", why);
    STAILQ_INSERT_HEAD(&e->queue, v, next);
    e->queued_bytes += event_bytes(v);
    e->retry_ms = e->retry_ms ? e->retry_ms * 2 : RETRY_MIN_MS;
    if (e->retry_ms > RETRY_MAX_MS)
        e->retry_ms = RETRY_MAX_MS;
    loop_timer_set(e->retry, clock_monotonic_ns() + e->retry_ms * NS_PER_MS);
}

/* ---- By ttrpc ---- */

static bool is_transient(const struct err *err)
{
    return str_eq(err->reason, "ConnectionLost") || str_eq(err->reason, "TimedOut") ||
           str_eq(err->reason, "Unavailable") || str_eq(err->reason, "DeadlineExceeded") ||
           str_eq(err->reason, "Canceled");
}

static void forwarded(void *ctx, const struct err *err, const void *payload, size_t len)
{
    struct events *e = ctx;
    (void)payload, (void)len;
    if (!err) {
        sent(e);
    } else if (is_transient(err)) {
        ttrpc_client_free(take_ptr(e->client));
        retry_later(e, err->msg);
    } else {
        refused(e, err->msg);
    }
}

static void forward_pack(const struct events *e, struct buf *out)
{
    const struct event *v = e->sending;
    Events__ForwardRequest request = EVENTS__FORWARD_REQUEST__INIT;
    Events__Envelope envelope = EVENTS__ENVELOPE__INIT;
    Types__Timestamp timestamp = message_timestamp(v->realtime_ns);
    Types__Any any = message_any(v->type_name, &v->packed);
    envelope.timestamp = &timestamp;
    envelope.namespace_ = e->namespace;
    envelope.topic = v->topic;
    envelope.event = &any;
    request.envelope = &envelope;
    protobuf_add(&request.base, out);
}

static void forward(struct events *e)
{
    autobuf payload = BUF_INIT;
    struct err err = ERR_INIT;
    if (e->client && ttrpc_client_is_lost(e->client))
        ttrpc_client_free(take_ptr(e->client));
    struct ttrpc_client_options o = {.path = e->path};
    if (!e->client && ttrpc_client_new(e->loop, &o, &e->client, &err) < 0) {
        retry_later(e, err.msg);
        return;
    }
    forward_pack(e, &payload);
    struct ttrpc_request r = {.service = "containerd.services.events.ttrpc.v1.Events",
                              .method = "Forward",
                              .payload = payload.data,
                              .len = payload.len,
                              .timeout_ms = SEND_WAIT_MS};
    ttrpc_client_call(e->client, &r, forwarded, e);
}

/* ---- By the binary ---- */

static void binary_failed(struct events *e, const char *why)
{
    if (++e->sending->attempts < BINARY_ATTEMPTS)
        retry_later(e, why);
    else
        refused(e, why);
}

static void binary_ended(void *ctx, int status)
{
    struct events *e = ctx;
    loop_child_free(take_ptr(e->child));
    loop_timer_clear(e->child_end);
    if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        sent(e);
        return;
    }
    autofree char *why = xasprintf("'%s publish' ended with %s %d", e->binary,
                                   WIFEXITED(status) ? "exit status" : "signal",
                                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    binary_failed(e, why);
}

static void binary_late(void *ctx)
{
    struct events *e = ctx;
    loop_child_kill(e->child, SIGKILL);
}

static int binary_start(struct events *e, struct err *err)
{
    const struct event *v = e->sending;
    const char *const argv[] = {e->binary, "--address",   e->address,   "publish", "--topic",
                                v->topic,  "--namespace", e->namespace, NULL};
    autobuf bytes = BUF_INIT;
    autofd input = -EBADF;
    Types__Any any = message_any(v->type_name, &v->packed);
    protobuf_add(&any.base, &bytes);
    TRY(memfd_from("event", bytes.data, bytes.len, &input, err));
    struct loop_child_fd fd = {.fd = input, .child_fd = 0};
    struct loop_child_options o = {
        .argv = argv, .fds = &fd, .n_fds = 1, .ended = binary_ended, .ctx = e};
    return loop_child_start(e->loop, &o, &e->child, err);
}

static void binary_run(struct events *e)
{
    struct err err = ERR_INIT;
    if (binary_start(e, &err) < 0)
        binary_failed(e, err.msg);
    else
        loop_timer_set(e->child_end, clock_monotonic_ns() + SEND_WAIT_MS * NS_PER_MS);
}

/* ---- One after another ---- */

/* Begins the next attempt if there is something to send and nothing to wait for. */
static void next(struct events *e)
{
    if (e->sending || loop_timer_is_set(e->retry))
        return;
    if (STAILQ_EMPTY(&e->queue)) {
        if (e->flush)
            loop_timer_set(e->flush, clock_monotonic_ns());
        return;
    }
    e->sending = queue_take(e);
    if (e->path)
        forward(e);
    else
        binary_run(e);
}

static void retry(void *ctx)
{
    next(ctx);
}

void events_publish(struct events *e, const char *topic, const char *type_name, const void *packed,
                    size_t len)
{
    struct event *v = xcalloc(1, sizeof(*v));
    v->realtime_ns = clock_realtime_ns();
    v->topic = xstrdup(topic);
    v->type_name = xstrdup(type_name);
    buf_add(&v->packed, packed, len);
    STAILQ_INSERT_TAIL(&e->queue, v, next);
    e->queued_bytes += event_bytes(v);
    while (e->queued_bytes > e->queue_limit && STAILQ_FIRST(&e->queue) != v)
        drop_oldest(e);
    next(e);
}

static void flush_end(void *ctx)
{
    struct events *e = ctx;
    struct err err = ERR_INIT;
    loop_timer_free(take_ptr(e->flush));
    if (e->sending || !STAILQ_EMPTY(&e->queue))
        err_set(&err, -ETIMEDOUT, "TimedOut", "containerd has not taken all events in time");
    e->flushed(e->flushed_ctx, err.code ? &err : NULL);
}

void events_flush(struct events *e, uint64_t timeout_ms,
                  void (*done)(void *ctx, const struct err *e), void *ctx)
{
    BUG_ON(e->flush);
    e->flush = loop_timer_new(e->loop, flush_end, e);
    e->flushed = done;
    e->flushed_ctx = ctx;
    loop_timer_set(e->flush, clock_monotonic_ns() + timeout_ms * NS_PER_MS);
    loop_timer_clear(e->retry); /* now or never */
    next(e);
}

uint64_t events_dropped(const struct events *e)
{
    return e->n_dropped;
}

/* ---- Life ---- */

static bool is_given(const char *s)
{
    return s && s[0];
}

int events_open(struct loop *l, const struct events_options *o, struct events **ret, struct err *e)
{
    if (!is_given(o->ttrpc_address) && !is_given(o->publish_binary))
        return err_set(e, -EINVAL, "NoEventAddress",
                       "there is neither an address (TTRPC_ADDRESS) nor a program "
                       "(-publish-binary) to tell containerd of events by");
    struct events *v = xcalloc(1, sizeof(*v));
    v->loop = l;
    if (is_given(o->ttrpc_address)) {
        bool has_scheme = str_starts(o->ttrpc_address, "unix://");
        v->path = xstrdup(o->ttrpc_address + (has_scheme ? strlen("unix://") : 0));
    } else {
        v->binary = xstrdup(o->publish_binary);
        v->address = xstrdup(o->address ? o->address : "");
    }
    v->namespace = xstrdup(o->namespace);
    v->queue_limit = o->queue_limit ? o->queue_limit : QUEUE_LIMIT;
    v->retry = loop_timer_new(l, retry, v);
    v->child_end = loop_timer_new(l, binary_late, v);
    STAILQ_INIT(&v->queue);
    *ret = v;
    return 0;
}

void events_free(struct events *e)
{
    if (!e)
        return;
    event_free(e->sending);
    while (!STAILQ_EMPTY(&e->queue))
        event_free(queue_take(e));
    ttrpc_client_free(e->client);
    loop_child_free(e->child);
    loop_timer_free(e->child_end);
    loop_timer_free(e->retry);
    loop_timer_free(e->flush);
    free(e->path);
    free(e->binary);
    free(e->address);
    free(e->namespace);
    free(e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_async.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/text.h"

#define REDIRECT_LIMIT   10
#define HEAD_LIMIT_BYTES (64u << 10)

struct http_async_call {
    struct http_async *http;
    struct http_async_call *prev, *next; /* in the list that it is in */
    CURL *easy;                          /* NULL once it is done */
    struct curl_slist *headers, *connect_to;
    char *url, *label;
    uint64_t timeout_ms, deadline_ns;
    size_t body_limit, head_len;
    unsigned flags, n_redirects;
    char detail[CURL_ERROR_SIZE];
    struct http_async_response response;
    struct err error;
    void (*done)(void *ctx, const struct http_async_response *r, const struct err *e);
    void *ctx;
};

struct call_list {
    struct http_async_call *first, *last;
};

struct http_async {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    uint64_t library_due_ns;         /* when libcurl wants to be called; 0: never */
    struct call_list running, ended; /* ended: `done` is still to be called */
    bool is_delivering;              /* `done` is called: the memory stays until it returns */
    bool is_gone;                    /* freed meanwhile */
};

/* A socket of libcurl's that it waits for. */
struct watched {
    struct http_async *http;
    int fd;
    unsigned asked; /* enum loop_events */
    struct loop_watch *watch;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
}

static void list_add(struct call_list *l, struct http_async_call *c)
{
    c->next = NULL;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

static void list_remove(struct call_list *l, struct http_async_call *c)
{
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
    c->prev = c->next = NULL;
}

/* ---- libcurl's sockets and its timer are the loop's ---- */

static void deliver(struct http_async *h);

static void timer_update(struct http_async *h)
{
    if (h->ended.first)
        loop_timer_set(h->timer, 0);
    else if (h->library_due_ns)
        loop_timer_set(h->timer, h->library_due_ns);
    else
        loop_timer_clear(h->timer);
}

static void on_due(void *ctx)
{
    struct http_async *h = ctx;
    int running;

    if (h->library_due_ns && clock_monotonic_ns() >= h->library_due_ns) {
        h->library_due_ns = 0;
        curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    deliver(h);
}

static int on_library_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_async *h = ctx;

    (void)multi;
    if (ms <= 0) /* never, or at once */
        h->library_due_ns = ms < 0 ? 0 : 1;
    else
        h->library_due_ns = clock_monotonic_ns() + (uint64_t)ms * 1000000;
    timer_update(h);
    return 0;
}

static void on_ready(void *ctx, unsigned events)
{
    struct watched *w = ctx;
    struct http_async *h = w->http;
    int bits = 0, running;

    /* What was not asked for is an error, which libcurl shall see by whatever it does next. */
    if (events & ~w->asked)
        events |= w->asked;
    if (events & LOOP_READABLE)
        bits |= CURL_CSELECT_IN;
    if (events & LOOP_WRITABLE)
        bits |= CURL_CSELECT_OUT;
    curl_multi_socket_action(h->multi, w->fd, bits, &running);
    deliver(h);
}

static int on_library_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http_async *h = ctx;
    struct watched *w = socket_ctx;
    struct err e = ERR_INIT;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            loop_watch_free(w->watch);
        free(w);
        return 0;
    }
    if (!w) {
        w = xcalloc(1, sizeof(*w));
        *w = (struct watched){.http = h, .fd = fd};
        if (loop_watch_new(h->loop, fd, on_ready, w, &w->watch, &e) < 0) {
            free(w);
            return -1;
        }
        curl_multi_assign(h->multi, fd, w);
    }
    w->asked =
        (what & CURL_POLL_IN ? LOOP_READABLE : 0) | (what & CURL_POLL_OUT ? LOOP_WRITABLE : 0);
    loop_watch_set(w->watch, w->asked);
    return 0;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void)ctx;
    (void)purpose;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- The client ---- */

struct http_async *http_async_new(struct loop *l)
{
    struct http_async *h = xcalloc(1, sizeof(*h));

    pthread_once(&once, library_init);
    h->loop = l;
    h->timer = loop_timer_new(l, on_due, h);
    h->multi = curl_multi_init();
    BUG_ON(!h->multi);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_library_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_library_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    return h;
}

static void call_quit_library(struct http_async_call *c)
{
    if (!c->easy)
        return;
    curl_multi_remove_handle(c->http->multi, c->easy);
    curl_easy_cleanup(take_ptr(c->easy));
}

static void call_free(struct http_async_call *c)
{
    curl_slist_free_all(c->headers);
    curl_slist_free_all(c->connect_to);
    strv_done(&c->response.headers);
    strv_done(&c->response.trailers);
    buf_done(&c->response.body);
    free(c->url);
    free(c->label);
    free(c);
}

void http_async_cancel(struct http_async_call *c)
{
    list_remove(c->easy ? &c->http->running : &c->http->ended, c);
    call_quit_library(c);
    call_free(c);
}

void http_async_free(struct http_async *h)
{
    if (!h)
        return;
    while (h->running.first)
        http_async_cancel(h->running.first);
    while (h->ended.first)
        http_async_cancel(h->ended.first);
    curl_multi_cleanup(h->multi);
    loop_timer_free(h->timer);
    h->is_gone = true;
    if (!h->is_delivering)
        free(h);
}

/* ---- The end of a call ---- */

static void call_end(struct http_async_call *c)
{
    list_remove(&c->http->running, c);
    call_quit_library(c);
    list_add(&c->http->ended, c);
}

static int connect_failure(struct http_async_call *c)
{
    long code = 0;

    curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &code);
    if (!code)
        code = EHOSTUNREACH;

    const char *text = err_text((int)code);

    return err_set(&c->error, (int)-code, "Unreachable", "%.300s: connect: %c%s", c->label,
                   tolower((unsigned char)text[0]), text + 1);
}

static int failure(struct http_async_call *c, CURLcode code)
{
    const char *why = *c->detail ? c->detail : curl_easy_strerror(code);
    char time[DURATION_SIZE];

    text_mute(c->detail, strlen(c->detail), false);
    /* Also its word for an answer that does not begin as one of HTTP does. */
    if (code == CURLE_UNSUPPORTED_PROTOCOL && !strncasecmp(c->url, "http", 4))
        return err_set(&c->error, -EBADMSG, "BadResponse", "%.300s: what answers speaks no HTTP",
                       c->label);
    switch ((int)code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(&c->error, -EINVAL, "BadRequest", "%.300s: this is no URL of HTTP",
                       c->label);
    case CURLE_COULDNT_RESOLVE_HOST:
        return err_set(&c->error, -EHOSTUNREACH, "UnknownHost", "%.300s: %s", c->label, why);
    case CURLE_COULDNT_CONNECT:
        return connect_failure(c);
    case CURLE_OPERATION_TIMEDOUT:
        duration_ms_format((int64_t)c->timeout_ms, time);
        return err_set(&c->error, -ETIMEDOUT, "TimedOut", "%.300s: no answer within %s", c->label,
                       time);
    case CURLE_SSL_CONNECT_ERROR:
        return err_set(&c->error, -EPROTO, "TlsFailed", "%.300s: %s", c->label, why);
    case CURLE_PEER_FAILED_VERIFICATION:
        return err_set(&c->error, -EKEYREJECTED, "TlsFailed", "%.300s: %s", c->label, why);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP2:
        return err_set(&c->error, -ECONNRESET, "CutOff", "%.300s: %s", c->label, why);
    default:
        return err_set(&c->error, -EBADMSG, "BadResponse", "%.300s: %s", c->label, why);
    }
}

static char *url_host(const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL, *copy = NULL;

    if (u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0))
        copy = xstrdup(host);
    curl_free(host);
    curl_url_cleanup(u);
    return copy;
}

/* Where to go on, if there is such a place at the same host; the caller frees it. */
static char *redirection(const struct http_async_call *c)
{
    char *url = NULL;

    if (!(c->flags & HTTP_ASYNC_FOLLOW))
        return NULL;
    curl_easy_getinfo(c->easy, CURLINFO_REDIRECT_URL, &url);
    if (!url)
        return NULL;

    autofree char *from = url_host(c->url);
    autofree char *to = url_host(url);

    return from && to && !strcasecmp(from, to) ? xstrdup(url) : NULL;
}

/* Sends it once more, to `url`, which is taken. */
static void call_follow(struct http_async_call *c, char *url)
{
    uint64_t now = clock_monotonic_ns();

    free(c->url);
    c->url = url;
    buf_clear(&c->response.body);
    c->response.is_cut = false;
    c->head_len = 0;
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
                     c->deadline_ns > now ? (long)((c->deadline_ns - now) / 1000000) + 1 : 1L);
    curl_multi_add_handle(c->http->multi, c->easy);
}

static void headers_take(CURL *easy, unsigned origin, struct strv *out)
{
    struct curl_header *f = NULL;

    while ((f = curl_easy_nextheader(easy, origin, -1, f)))
        strv_addf(out, "%s: %s", f->name, f->value);
}

static void call_result(struct http_async_call *c, CURLcode code)
{
    char *url;

    if (code == CURLE_WRITE_ERROR && c->head_len > HEAD_LIMIT_BYTES)
        err_set(&c->error, -EFBIG, "TooLarge", "%.300s: the answer has more than %u KiB of headers",
                c->label, HEAD_LIMIT_BYTES >> 10);
    else if (code != CURLE_OK && !c->response.is_cut)
        failure(c, code);
    else if (!(url = redirection(c))) {
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->response.status);
        headers_take(c->easy, CURLH_HEADER, &c->response.headers);
        headers_take(c->easy, CURLH_TRAILER, &c->response.trailers);
    } else if (c->n_redirects++ < REDIRECT_LIMIT) {
        call_follow(c, url);
        return;
    } else {
        free(url);
        err_set(&c->error, -ELOOP, "RedirectLoop", "%.300s: redirected more than %d times",
                c->label, REDIRECT_LIMIT);
    }
    call_end(c);
}

/* Calls `done` for what has ended; the client may be gone after it. */
static void deliver(struct http_async *h)
{
    CURLMsg *m;
    int rest;

    while ((m = curl_multi_info_read(h->multi, &rest))) {
        CURLcode code = m->data.result;
        struct http_async_call *c = NULL;

        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        curl_multi_remove_handle(h->multi, c->easy);
        call_result(c, code);
    }
    h->is_delivering = true;
    while (h->ended.first) {
        struct http_async_call *c = h->ended.first;

        list_remove(&h->ended, c);
        c->done(c->ctx, c->error.code ? NULL : &c->response, &c->error);
        call_free(c);
    }
    h->is_delivering = false;
    if (h->is_gone)
        free(h);
    else
        timer_update(h);
}

/* ---- A new call ---- */

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct http_async_call *c = ctx;

    (void)data;
    c->head_len += size * n;
    return c->head_len > HEAD_LIMIT_BYTES ? 0 : size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct http_async_call *c = ctx;
    struct buf *b = &c->response.body;
    size_t len = size * n, room = c->body_limit - b->len;

    buf_add(b, data, len < room ? len : room);
    if (len <= room)
        return len;
    c->response.is_cut = true;
    return 0;
}

const char *http_async_header(const struct strv *headers, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < headers->n; i++) {
        const char *h = headers->v[i];

        if (!strncasecmp(h, name, len) && h[len] == ':')
            return h + len + 1 + strspn(h + len + 1, " \t");
    }
    return NULL;
}

static bool is_header(const char *line)
{
    size_t name_len = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "!#$%&'*+-.^_`|~");

    if (!name_len || line[name_len] != ':')
        return false;
    for (const char *s = line + name_len; *s; s++)
        if ((unsigned char)*s < ' ' ? *s != '\t' : *s == 0x7f)
            return false;
    return true;
}

static void header_add(struct http_async_call *c, const char *line)
{
    size_t name_len = strcspn(line, ":");

    /* libcurl's way to say that there is a header without a value. */
    if (!line[name_len + 1 + strspn(line + name_len + 1, " \t")]) {
        autofree char *empty = xasprintf("%.*s;", (int)name_len, line);

        c->headers = curl_slist_append(c->headers, empty);
    } else {
        c->headers = curl_slist_append(c->headers, line);
    }
}

static int headers_set_up(struct http_async_call *c, const struct http_async_request *q)
{
    static const char *const own[] = {"Accept", "Content-Type", "Expect"};

    for (size_t i = 0; i < q->headers.n; i++) {
        if (!is_header(q->headers.v[i]))
            return err_set(&c->error, -EINVAL, "BadRequest",
                           "%.200s: the header %zu (of %zu) cannot be sent: a name is of letters, "
                           "digits and '-', and a value has no control characters",
                           c->label, i + 1, q->headers.n);
        header_add(c, q->headers.v[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (!http_async_header(&q->headers, own[i])) {
            autofree char *none = xasprintf("%s:", own[i]);

            c->headers = curl_slist_append(c->headers, none);
        }
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    return 0;
}

static void connection_set_up(struct http_async_call *c, const struct http_async_request *q)
{
    CURL *y = c->easy;

    curl_easy_setopt(y, CURLOPT_NOSIGNAL, 1L);
    /* Who gives up while a name is looked up does not wait for the thread that does it. */
    curl_easy_setopt(y, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(y, CURLOPT_URL, c->url);
    curl_easy_setopt(y, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(y, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(y, CURLOPT_PROXY, "");
    curl_easy_setopt(y, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    curl_easy_setopt(y, CURLOPT_CONNECTTIMEOUT_MS, (long)q->timeout_ms);
    curl_easy_setopt(y, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(y, CURLOPT_HTTP_VERSION,
                     q->flags & HTTP_ASYNC_HTTP2 ? CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                                 : CURL_HTTP_VERSION_1_1);
    if (q->flags & HTTP_ASYNC_ONCE) {
        curl_easy_setopt(y, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(y, CURLOPT_FORBID_REUSE, 1L);
    }
    if (q->flags & HTTP_ASYNC_CONNECT)
        curl_easy_setopt(y, CURLOPT_CONNECT_ONLY, 1L);
    if (q->flags & HTTP_ASYNC_INSECURE) {
        curl_easy_setopt(y, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(y, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (q->address) {
        bool is_v6 = strchr(q->address, ':') && q->address[0] != '[';
        autofree char *to = xasprintf("::%s%s%s:", is_v6 ? "[" : "", q->address, is_v6 ? "]" : "");

        c->connect_to = curl_slist_append(NULL, to);
        curl_easy_setopt(y, CURLOPT_CONNECT_TO, c->connect_to);
    }
}

static void exchange_set_up(struct http_async_call *c, const struct http_async_request *q,
                            const char *method)
{
    CURL *y = c->easy;

    if (str_eq(method, "HEAD"))
        curl_easy_setopt(y, CURLOPT_NOBODY, 1L);
    else if (q->body) {
        curl_easy_setopt(y, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        curl_easy_setopt(y, CURLOPT_COPYPOSTFIELDS, q->body);
    }
    if (!str_eq(method, "GET") && !str_eq(method, "HEAD"))
        curl_easy_setopt(y, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(y, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(y, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(y, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(y, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(y, CURLOPT_ERRORBUFFER, c->detail);
    curl_easy_setopt(y, CURLOPT_PRIVATE, c);
}

struct http_async_call *
http_async_start(struct http_async *h, const struct http_async_request *q,
                 void (*done)(void *ctx, const struct http_async_response *r, const struct err *e),
                 void *ctx)
{
    struct http_async_call *c = xcalloc(1, sizeof(*c));
    const char *method = q->method ? q->method : "GET";

    BUG_ON(!q->timeout_ms);
    c->http = h;
    c->url = xstrdup(q->url);
    c->label = q->label ? xstrdup(q->label) : xasprintf("%s %s", method, q->url);
    c->timeout_ms = q->timeout_ms;
    c->deadline_ns = clock_monotonic_ns() + q->timeout_ms * 1000000;
    c->body_limit = q->body_limit;
    c->flags = q->flags;
    c->done = done;
    c->ctx = ctx;
    c->easy = curl_easy_init();
    BUG_ON(!c->easy);
    list_add(&h->running, c);
    connection_set_up(c, q);
    exchange_set_up(c, q, method);
    if (headers_set_up(c, q) < 0) {
        call_end(c);
        timer_update(h);
    } else {
        curl_multi_add_handle(h->multi, c->easy);
    }
    return c;
}

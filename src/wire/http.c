/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/secret.h"

#define CONNECT_TIMEOUT_MS 15000L
#define REDIRECT_LIMIT     10L
#define HEADER_LIMIT       200
#define CA_LIMIT_BYTES     (4u << 20)
#define USER_AGENT         "wherry"

struct http {
    CURL *easy;
    struct buf ca_pem;
    char *cert_file, *key_file, *unix_socket;
    bool is_insecure;
    unsigned stall_ms;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    BUG_ON(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK);
}

struct http *http_new(const struct http_options *o)
{
    struct http *h = xcalloc(1, sizeof(*h));
    const char *system_ca = paths_system_ca();
    struct err e = ERR_INIT;

    pthread_once(&once, library_init);
    h->easy = curl_easy_init();
    BUG_ON(!h->easy);
    if (o->ca_pem) {
        /* A list of one's own takes the place of the system's, so it begins with that. */
        if (system_ca)
            file_read(system_ca, CA_LIMIT_BYTES, &h->ca_pem, &e);
        buf_addc(&h->ca_pem, '\n');
        buf_addstr(&h->ca_pem, o->ca_pem);
    }
    h->cert_file = o->cert_file ? xstrdup(o->cert_file) : NULL;
    h->key_file = o->key_file ? xstrdup(o->key_file) : NULL;
    h->unix_socket = o->unix_socket ? xstrdup(o->unix_socket) : NULL;
    h->is_insecure = o->is_insecure;
    h->stall_ms = o->stall_ms;
    return h;
}

void http_free(struct http *h)
{
    curl_easy_cleanup(h->easy);
    buf_done(&h->ca_pem);
    free(h->cert_file);
    free(h->key_file);
    free(h->unix_socket);
    free(h);
}

void http_response_done(struct http_response *r)
{
    strv_done(&r->headers);
    buf_done(&r->text);
    r->status = 0;
}

const char *http_header(const struct http_response *r, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < r->headers.n; i++) {
        const char *h = r->headers.v[i];

        if (!strncasecmp(h, name, len) && h[len] == ':')
            return h + len + 1 + strspn(h + len + 1, " \t");
    }
    return NULL;
}

uint64_t http_retry_after_ms(const struct http_response *r)
{
    const char *text = http_header(r, "Retry-After");
    time_t at;

    if (!text)
        return 0;
    if (text[strspn(text, "0123456789")] == 0 && *text)
        return strlen(text) > 6 ? 1000000000 : strtoull(text, NULL, 10) * 1000;
    at = curl_getdate(text, NULL);
    return at > time(NULL) ? (uint64_t)(at - time(NULL)) * 1000 : 0;
}

void http_query_add(struct buf *url, const char *text)
{
    for (const char *s = text; *s; s++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *s))
            buf_addc(url, *s);
        else
            buf_addf(url, "%%%02X", (unsigned char)*s);
}

/* ---- One request ---- */

struct exchange {
    struct http *http;
    const struct http_request *request;
    struct http_response *response;
    struct err *error; /* of the sink */
    bool is_refused;   /* by the sink */
    uint64_t moved_ns; /* when the last byte came or went */
    curl_off_t moved;  /* bytes that had by then */
};

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    size_t len = size * n;

    while (len && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        len--;
    if (len >= 5 && !memcmp(data, "HTTP/", 5)) {
        /* Of a redirection, or of a proxy, before the one that counts. */
        strv_done(&x->response->headers);
        buf_clear(&x->response->text);
    } else if (len && x->response->headers.n < HEADER_LIMIT) {
        autofree char *line = xstrndup(data, len);

        strv_add(&x->response->headers, line);
    }
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    const struct http_request *q = x->request;
    size_t len = size * n;

    curl_easy_getinfo(x->http->easy, CURLINFO_RESPONSE_CODE, &x->response->status);
    if (q->sink && x->response->status / 100 == 2) {
        x->is_refused = q->sink(q->ctx, x->response, data, len, x->error) < 0;
        return x->is_refused ? 0 : len;
    }
    if (x->response->status / 100 == 3)
        return len;
    if (x->response->text.len + len > q->text_limit) {
        if (x->response->status / 100 != 2)
            return len; /* the beginning of what it complains about will do */
        x->is_refused = true;
        err_set(x->error, -EFBIG, "TooLarge", "%s: the answer has more than %zu bytes", q->url,
                q->text_limit);
        return 0;
    }
    buf_add(&x->response->text, data, len);
    return len;
}

static size_t on_upload(char *data, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    ssize_t r;

    do
        r = read(x->request->body_fd, data, size * n);
    while (r < 0 && errno == EINTR);
    return r < 0 ? CURL_READFUNC_ABORT : (size_t)r;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct exchange *x = ctx;

    return lseek(x->request->body_fd, offset, origin) < 0 ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

/* Less than a second is more than the library's own limit can say. */
static int on_progress(void *ctx, curl_off_t total_in, curl_off_t in, curl_off_t total_out,
                       curl_off_t out)
{
    struct exchange *x = ctx;
    uint64_t now = clock_monotonic_ns();

    (void)total_in, (void)total_out;
    if (in + out != x->moved) {
        x->moved = in + out;
        x->moved_ns = now;
    }
    return now - x->moved_ns > (uint64_t)x->http->stall_ms * 1000000;
}

static struct curl_slist *header_list(const struct http_request *q)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (size_t i = 0; i < q->headers.n; i++)
        list = curl_slist_append(list, q->headers.v[i]);
    if (q->authorization) {
        autosecret char *line = xasprintf("Authorization: %s", q->authorization);

        list = curl_slist_append(list, line);
    }
    return list;
}

static void header_list_free(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

/* ---- Proxies: what docker does and the library does not ---- */

/* The port of a URL, also where it is not written; 0 for what is none. */
static unsigned long url_port(const char *url)
{
    CURLU *u = curl_url();
    char *text = NULL;
    unsigned long port = 0;

    if (u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
        !curl_url_get(u, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT))
        port = strtoul(text, NULL, 10);
    curl_free(text);
    curl_url_cleanup(u);
    return port;
}

/* One of the list: HOST:PORT counts for this port only. */
static void no_proxy_add(struct buf *out, const char *item, size_t len, unsigned long port)
{
    const char *colon = memchr(item, ':', len);
    bool has_port = colon && !memchr(colon + 1, ':', len - (size_t)(colon + 1 - item));

    if (has_port && strtoul(colon + 1, NULL, 10) != port)
        return;
    buf_add(out, item, has_port ? (size_t)(colon - item) : len);
    buf_addc(out, ',');
}

/* As the library takes it: "*" alone stands for every host. */
static void no_proxy_format(const char *list, const char *url, struct buf *out)
{
    static const char separators[] = ", \t", here[] = "localhost,127.0.0.0/8,::1";
    unsigned long port = url_port(url);

    for (const char *item = list + strspn(list, separators); *item;) {
        size_t len = strcspn(item, separators);

        if (len == 1 && *item == '*') {
            buf_clear(out);
            buf_addc(out, '*');
            return;
        }
        no_proxy_add(out, item, len, port);
        item += len;
        item += strspn(item, separators);
    }
    buf_addstr(out, here);
}

static void proxy_set_up(CURL *c, const char *url, bool is_tls)
{
    const char *lower = getenv("no_proxy"), *no_proxy = lower ? lower : getenv("NO_PROXY");
    const char *http_proxy = getenv("HTTP_PROXY");
    autobuf list = BUF_INIT;

    no_proxy_format(no_proxy ? no_proxy : "", url, &list);
    curl_easy_setopt(c, CURLOPT_NOPROXY, list.data);
    /* With REQUEST_METHOD this is a CGI program, and the variable a header of its client. */
    if (!is_tls && http_proxy && !getenv("http_proxy") && !getenv("REQUEST_METHOD"))
        curl_easy_setopt(c, CURLOPT_PROXY, http_proxy);
}

/* ---- Setting up ---- */

static void connection_set_up(const struct http *h, const struct http_request *q)
{
    CURL *c = h->easy;
    bool is_tls = !strncasecmp(q->url, "https:", 6);

    curl_easy_reset(c); /* keeps the connections */
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_URL, q->url);
    if (h->unix_socket) {
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->unix_socket);
        curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    } else {
        proxy_set_up(c, q->url, is_tls);
    }
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, is_tls ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECT_LIMIT);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c, CURLOPT_USERAGENT, USER_AGENT);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    if (h->ca_pem.len) {
        struct curl_blob blob = {.data = h->ca_pem.data, .len = h->ca_pem.len};

        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (h->cert_file)
        curl_easy_setopt(c, CURLOPT_SSLCERT, h->cert_file);
    if (h->key_file)
        curl_easy_setopt(c, CURLOPT_SSLKEY, h->key_file);
    if (h->is_insecure) {
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static int body_set_up(CURL *c, struct exchange *x, struct err *e)
{
    const struct http_request *q = x->request;
    struct stat st;

    if (str_eq(q->method, "HEAD"))
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    else if (q->body_fd >= 0) {
        if (fstat(q->body_fd, &st) < 0 || lseek(q->body_fd, 0, SEEK_SET) < 0)
            return err_errno(e, -errno, "ReadFailed", "cannot read what is to be sent");
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(c, CURLOPT_READDATA, x);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
    } else if (q->body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
    }
    if (!str_eq(q->method, "GET") && !str_eq(q->method, "HEAD"))
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
    return 0;
}

static int failure(CURLcode code, const struct http_request *q, const char *detail, struct err *e)
{
    /* What has an '@' in it may be the URL of a proxy, with a password. */
    const char *why = *detail && !strchr(detail, '@') ? detail : curl_easy_strerror(code);

    if (str_starts(detail, "Unsupported proxy"))
        return err_set(e, -EINVAL, "BadProxy",
                       "%.200s: the environment names a proxy by no URL that can be used; it is "
                       "written http://[USER:PASSWORD@]HOST:PORT",
                       q->url);
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return err_set(e, -EHOSTUNREACH, "Unreachable", "%.200s: %s", q->url, why);
    case CURLE_SSL_CONNECT_ERROR:
        return err_set(e, -EPROTO, "TlsFailed", "%.200s: %s", q->url, why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(e, -EKEYREJECTED, "TlsFailed", "%.200s: %s", q->url, why);
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_ABORTED_BY_CALLBACK:
        return err_set(e, -ETIMEDOUT, "Stalled", "%.200s: nothing moved for too long", q->url);
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2_STREAM:
    case CURLE_HTTP2:
        return err_set(e, -ECONNRESET, "CutOff", "%.200s: %s", q->url, why);
    default:
        return err_set(e, -EBADMSG, "BadResponse", "%.200s: %s", q->url, why);
    }
}

/* Less than 0 with what a proxy said, if it was the one who answered. */
static int proxy_check(CURL *c, const struct http_request *q, long status, struct err *e)
{
    long connect_status = 0;

    curl_easy_getinfo(c, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (status == 407 || connect_status == 407 || connect_status == 401)
        return err_set(e, -EACCES, "ProxyRefused",
                       "%.200s: the proxy wants other credentials; write them into %s as "
                       "http://USER:PASSWORD@HOST:PORT",
                       q->url, connect_status ? "https_proxy" : "http_proxy");
    if (connect_status / 100 == 5)
        return err_set(e, -EHOSTUNREACH, "Unreachable", "%.200s: the proxy answers %ld", q->url,
                       connect_status);
    if (connect_status / 100 == 4)
        return err_set(e, -EACCES, "ProxyRefused", "%.200s: the proxy answers %ld", q->url,
                       connect_status);
    return 0;
}

int http_perform(struct http *h, const struct http_request *q, struct http_response *ret,
                 struct err *e)
{
    autohttp_response response = {0};
    char detail[CURL_ERROR_SIZE] = "";
    struct exchange x = {.http = h,
                         .request = q,
                         .response = &response,
                         .error = e,
                         .moved_ns = clock_monotonic_ns()};
    struct curl_slist *headers;
    CURL *c = h->easy;
    CURLcode code;

    connection_set_up(h, q);
    TRY(body_set_up(c, &x, e));
    headers = header_list(q);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &x);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &x);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, &x);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, detail);
    code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &response.status);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    header_list_free(headers);
    if (x.is_refused)
        return e->code;
    TRY(proxy_check(c, q, response.status, e));
    if (code != CURLE_OK)
        return failure(code, q, detail, e);
    *ret = response;
    response = (struct http_response){0};
    return 0;
}

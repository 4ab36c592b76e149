/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/cgi.h"

#include "base/buf.h"
#include "base/util.h"
#include "base/version.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(struct text name, const struct text *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text_same_name(name, names[i]))
            return true;
    return false;
}

/* Of the connection, not of the request or response (RFC 9110 section 7.6.1). */
static bool is_hop_by_hop(struct text name)
{
    static const struct text names[] = {TEXT("Connection"), TEXT("Keep-Alive"),
                                        TEXT("TE"),         TEXT("Trailer"),
                                        TEXT("Upgrade"),    TEXT("Transfer-Encoding")};
    static const struct text proxy = TEXT("Proxy-");

    return is_one_of(name, names, ARRAY_SIZE(names)) ||
           (name.len > proxy.len && text_same_name((struct text){name.data, proxy.len}, proxy));
}

/* ---- The request, as environment variables ---- */

static int bad_request(struct err *e, const char *what)
{
    return err_set(e, -EINVAL, "BadRequest", "%s", what);
}

static bool has_nul(struct text t)
{
    return t.len && memchr(t.data, 0, t.len);
}

/* An environment cannot hold a NUL, and cutting a value there would change its meaning. */
static int nul_check(const struct cgi_request *r, struct err *e)
{
    const struct text texts[] = {r->method,   r->path,   r->query,       r->host,
                                 r->protocol, r->scheme, r->remote_addr, r->content_type};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (has_nul(texts[i]))
            return bad_request(e, "there is a NUL in the request");
    for (size_t i = 0; i < r->n_headers; i++)
        if (has_nul(r->headers[i].value))
            return bad_request(e, "there is a NUL in a header");
    return 0;
}

static int percent_decode(struct text t, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < t.len; i++) {
        int high, low;

        if (t.data[i] != '%') {
            buf_addc(out, t.data[i]);
            continue;
        }
        high = i + 2 < t.len ? text_hex_digit(t.data[i + 1]) : -1;
        low = high >= 0 ? text_hex_digit(t.data[i + 2]) : -1;
        if (low < 0)
            return bad_request(e, "there is a '%' without two hex digits in the path");
        if (!high && !low)
            return bad_request(e, "there is a NUL in the path");
        buf_addc(out, (char)(high << 4 | low));
        i += 2;
    }
    return 0;
}

/* The name without a slash at its end, and what the path has behind it. */
static int path_split(const struct cgi_request *r, struct text *ret_script,
                      struct text *ret_path_info, struct err *e)
{
    struct text script = r->script_name, path = r->path;

    if (script.len && script.data[script.len - 1] == '/')
        script.len--;
    if (!path.len || path.data[0] != '/')
        return bad_request(e, "the path does not begin with '/'");
    if (path.len < script.len || (script.len && memcmp(path.data, script.data, script.len) != 0) ||
        (path.len > script.len && path.data[script.len] != '/'))
        return bad_request(e, "the path does not lead to this program");
    *ret_script = script;
    *ret_path_info = (struct text){path.data + script.len, path.len - script.len};
    return 0;
}

static void variable_add(struct strv *env, const char *name, struct text value)
{
    size_t len = strlen(name);
    struct buf b = BUF_INIT;

    buf_reserve(&b, len + 1 + value.len);
    buf_add(&b, name, len);
    buf_addc(&b, '=');
    text_lossy_add(value, &b);
    strv_add_owned(env, buf_take(&b));
}

static void number_add(struct strv *env, const char *name, uint64_t value)
{
    char storage[TEXT_UINT_SIZE];

    variable_add(env, name, text_uint_format(value, storage));
}

/* The host without its port; an IPv6 address keeps its brackets (RFC 3875 section 4.1.14). */
static struct text server_name(struct text host)
{
    const char *end = NULL;

    if (!host.len)
        return text_of("localhost");
    if (host.data[0] == '[')
        end = memchr(host.data, ']', host.len);
    if (end)
        return (struct text){host.data, (size_t)(end + 1 - host.data)};
    end = memchr(host.data, ':', host.len);
    return (struct text){host.data, end ? (size_t)(end - host.data) : host.len};
}

static void full_url_add(const struct cgi_request *r, struct strv *env)
{
    autobuf url = BUF_INIT;

    buf_add(&url, r->scheme.data, r->scheme.len);
    buf_addstr(&url, "://");
    if (r->host.len) {
        buf_add(&url, r->host.data, r->host.len);
    } else {
        buf_addstr(&url, "localhost:");
        text_uint_add(r->server_port, &url);
    }
    buf_add(&url, r->path.data, r->path.len);
    if (r->query.len) {
        buf_addc(&url, '?');
        buf_add(&url, r->query.data, r->query.len);
    }
    variable_add(env, "X_FULL_URL", (struct text){url.data, url.len});
}

static bool is_for_guest(struct text name)
{
    static const struct text names[] = {TEXT("Proxy"), TEXT("Authorization"),
                                        TEXT("Content-Length"), TEXT("Content-Type")};

    if (!name.len || is_hop_by_hop(name) || is_one_of(name, names, ARRAY_SIZE(names)))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_alnum(name.data[i]) && name.data[i] != '-')
            return false;
    return true;
}

/* "HTTP_USER_AGENT=" */
static void name_add(struct text name, struct buf *out)
{
    static const struct text prefix = TEXT("HTTP_");
    char *to = buf_reserve(out, prefix.len + name.len + 1);

    memcpy(to, prefix.data, prefix.len);
    to += prefix.len;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        *to++ = c == '-' ? '_' : (char)(c >= 'a' && c <= 'z' ? c - 0x20 : c);
    }
    *to = '=';
    out->len += prefix.len + name.len + 1;
    buf_terminate(out);
}

/* One variable for headers[i] and the later ones of that name; none when an earlier one had it. */
static void header_add(const struct cgi_header *headers, size_t n, size_t i, struct strv *env)
{
    static const struct text cookie = TEXT("Cookie");
    const struct text name = headers[i].name;
    struct buf b = BUF_INIT;

    if (!is_for_guest(name))
        return;
    for (size_t k = 0; k < i; k++)
        if (text_same_name(headers[k].name, name))
            return;
    name_add(name, &b);
    text_lossy_add(headers[i].value, &b);
    for (size_t k = i + 1; k < n; k++) {
        if (!text_same_name(headers[k].name, name))
            continue;
        buf_addstr(&b, text_same_name(name, cookie) ? "; " : ", ");
        text_lossy_add(headers[k].value, &b);
    }
    strv_add_owned(env, buf_take(&b));
}

int cgi_environment(const struct cgi_request *r, struct strv *env, struct err *e)
{
    autobuf path_info = BUF_INIT, route = BUF_INIT;
    struct text script = {0}, raw = {0}, decoded;

    TRY(nul_check(r, e));
    TRY(path_split(r, &script, &raw, e));
    TRY(percent_decode(raw, &path_info, e));
    decoded = (struct text){buf_str(&path_info), path_info.len};
    buf_add(&route, script.data, script.len);
    buf_addstr(&route, "/...");

    variable_add(env, "AUTH_TYPE", text_of("")); /* the server asks nobody for a password */
    if (r->content_length >= 0)
        number_add(env, "CONTENT_LENGTH", (uint64_t)r->content_length);
    if (r->content_type.data)
        variable_add(env, "CONTENT_TYPE", r->content_type);
    variable_add(env, "GATEWAY_INTERFACE", text_of("CGI/1.1"));
    variable_add(env, "PATH_INFO", decoded);
    variable_add(env, "PATH_TRANSLATED", decoded);
    variable_add(env, "QUERY_STRING", r->query);
    variable_add(env, "REMOTE_ADDR", r->remote_addr);
    variable_add(env, "REMOTE_HOST", r->remote_addr);
    variable_add(env, "REQUEST_METHOD", r->method);
    variable_add(env, "SCRIPT_NAME", script);
    variable_add(env, "SERVER_NAME", server_name(r->host));
    number_add(env, "SERVER_PORT", r->server_port);
    variable_add(env, "SERVER_PROTOCOL", r->protocol);
    strv_addf(env, "SERVER_SOFTWARE=wherry/%s", wherry_version);
    variable_add(env, "X_MATCHED_ROUTE", (struct text){route.data, route.len});
    variable_add(env, "X_RAW_PATH_INFO", raw);
    full_url_add(r, env);
    for (size_t i = 0; i < r->n_headers; i++)
        header_add(r->headers, r->n_headers, i, env);
    return 0;
}

/* ---- The response's head ---- */

static int bad_head(struct err *e, const char *what, struct text line)
{
    int shown = line.len < 60 ? (int)line.len : 60;

    return err_set(e, -EINVAL, "BadCgiHead", "the guest's response: %s: '%.*s'", what, shown,
                   shown ? line.data : "");
}

/* A character of a token (RFC 9110 section 5.6.2). */
static bool is_token(char c)
{
    return is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static struct text trim(struct text t)
{
    while (t.len && (t.data[0] == ' ' || t.data[0] == '\t')) {
        t.data++;
        t.len--;
    }
    while (t.len && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t'))
        t.len--;
    return t;
}

static int line_parse(struct text line, struct cgi_header *ret, struct err *e)
{
    const char *colon = memchr(line.data, ':', line.len);
    struct text name, value;

    if (!colon || colon == line.data)
        return bad_head(e, "not a header line", line);
    name = (struct text){line.data, (size_t)(colon - line.data)};
    value = trim((struct text){colon + 1, line.len - name.len - 1});
    for (size_t i = 0; i < name.len; i++)
        if (!is_token(name.data[i]))
            return bad_head(e, "a bad name of a header", line);
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.data[i] < 0x20 && value.data[i] != '\t') || value.data[i] == 0x7f)
            return bad_head(e, "a control character in the header", name);
    *ret = (struct cgi_header){name, value};
    return 0;
}

/* "NNN" or "NNN reason" (RFC 3875 section 6.3.3). */
static int status_parse(struct text value, struct cgi_head *h, struct err *e)
{
    unsigned status = 0;

    if (h->status)
        return bad_head(e, "a second Status", value);
    for (size_t i = 0; i < 3; i++) {
        if (i >= value.len || value.data[i] < '0' || value.data[i] > '9')
            return bad_head(e, "not a status", value);
        status = status * 10 + (unsigned)(value.data[i] - '0');
    }
    if (value.len > 3 && value.data[3] != ' ')
        return bad_head(e, "not a status", value);
    if (status < 200 || status > 599)
        return bad_head(e, "the status is not 200 to 599", value);
    h->status = status;
    h->reason = trim((struct text){value.data + 3, value.len - 3});
    return 0;
}

/* A field that may come once. */
static int once_set(struct text *field, const struct cgi_header *line, struct err *e)
{
    if (field->data)
        return bad_head(e, "a second one of this header", line->name);
    *field = line->value;
    return 0;
}

static int line_take(const struct cgi_header *line, struct cgi_head *h, struct err *e)
{
    static const struct text status = TEXT("Status"), location = TEXT("Location"),
                             type = TEXT("Content-Type"), length = TEXT("Content-Length");

    if (text_same_name(line->name, status))
        return status_parse(line->value, h, e);
    if (is_hop_by_hop(line->name) || text_same_name(line->name, length))
        return 0;
    if (text_same_name(line->name, location))
        TRY(once_set(&h->location, line, e));
    if (text_same_name(line->name, type))
        TRY(once_set(&h->content_type, line, e));
    h->headers[h->n_headers++] = *line;
    return 0;
}

/* The line at `data` without its end, which is at data[newline]. */
static struct text line_at(const char *data, const char *newline)
{
    size_t len = (size_t)(newline - data);

    if (len && data[len - 1] == '\r')
        len--;
    return (struct text){data, len};
}

/* All lines are there and are headers. Only now are they kept, as the bytes do not move any more.
 */
static int head_finish(struct cgi_head *h, const char *data, struct err *e)
{
    const char *line = data;

    if (!h->n_lines)
        return bad_head(e, "an empty line instead of a header", (struct text){0});
    for (unsigned i = 0; i < h->n_lines; i++) {
        const char *newline = memchr(line, '\n', h->lines_len - (size_t)(line - data));
        struct cgi_header header = {0};

        BUG_ON(!newline);
        TRY(line_parse(line_at(line, newline), &header, e));
        TRY(line_take(&header, h, e));
        line = newline + 1;
    }
    if (!h->status)
        h->status = h->location.data ? 302 : 200;
    h->len = h->lines_len;
    return 1;
}

int cgi_head_parse(struct cgi_head *h, const char *data, size_t len, bool is_end,
                   size_t limit_bytes, struct err *e)
{
    const size_t visible = len < limit_bytes ? len : limit_bytes;

    while (h->scanned_len < visible) {
        const char *newline = memchr(data + h->scanned_len, '\n', visible - h->scanned_len);
        struct cgi_header header = {0};
        struct text line;

        if (!newline) {
            h->scanned_len = visible;
            break;
        }
        line = line_at(data + h->lines_len, newline);
        h->lines_len = h->scanned_len = (size_t)(newline + 1 - data);
        if (!line.len)
            return head_finish(h, data, e);
        if (++h->n_lines > CGI_HEAD_LIMIT_LINES)
            return err_set(e, -EFBIG, "BadCgiHead",
                           "the guest's response has more than %d header lines",
                           CGI_HEAD_LIMIT_LINES);
        TRY(line_parse(line, &header, e));
    }
    if (len >= limit_bytes)
        return err_set(e, -EFBIG, "BadCgiHead",
                       "the guest's response has more than %zu bytes of headers", limit_bytes);
    if (is_end)
        return err_set(e, -EINVAL, "BadCgiHead",
                       "the guest's output ended before the empty line behind its headers");
    return 0;
}

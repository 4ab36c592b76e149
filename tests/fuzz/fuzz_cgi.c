/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a guest writes, and, cut at newlines, as the parts of a request: a head is the
 * same in one piece and byte by byte, and an environment is UTF-8 without what must not be there.
 */
#include "base/json.h"
#include "worker/http/cgi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS_LIMIT 40

static bool same_text(struct text a, struct text b)
{
    return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

static void head_check(const struct cgi_head *h, const char *text, size_t len)
{
    BUG_ON(h->status < 200 || h->status > 599 || h->len > len || text[h->len - 1] != '\n');
    for (size_t i = 0; i < h->n_headers; i++) {
        const struct cgi_header *line = &h->headers[i];

        BUG_ON(!line->name.len || memchr(line->name.data, ':', line->name.len));
        BUG_ON(memchr(line->value.data, '\n', line->value.len) ||
               memchr(line->value.data, '\r', line->value.len) ||
               memchr(line->value.data, 0, line->value.len));
        BUG_ON(text_same_name(line->name, text_of("content-length")) ||
               text_same_name(line->name, text_of("status")) ||
               text_same_name(line->name, text_of("connection")));
    }
}

static void head(const char *text, size_t len)
{
    struct cgi_head whole = {0}, pieces = {0};
    struct err e = ERR_INIT;
    int expected = cgi_head_parse(&whole, text, len, true, 1024, &e), r = 0;

    BUG_ON(!expected || (expected < 0 && (expected != e.code || !e.msg[0])));
    for (size_t i = 0; i <= len && !r; i++)
        r = cgi_head_parse(&pieces, text, i, false, 1024, &e);
    if (!r)
        r = cgi_head_parse(&pieces, text, len, true, 1024, &e);
    BUG_ON(r != expected);
    if (r < 0)
        return;
    head_check(&whole, text, len);
    BUG_ON(whole.len != pieces.len || whole.status != pieces.status ||
           whole.n_headers != pieces.n_headers);
    for (size_t i = 0; i < whole.n_headers; i++)
        BUG_ON(!same_text(whole.headers[i].name, pieces.headers[i].name) ||
               !same_text(whole.headers[i].value, pieces.headers[i].value));
}

/* The next line, or no text behind the last one. */
static struct text next(const char **text, size_t *len)
{
    const char *start = *text, *newline = *len ? memchr(start, '\n', *len) : NULL;
    size_t n = newline ? (size_t)(newline - start) : *len, used = n + (newline != NULL);

    if (!*len)
        return (struct text){0};
    *text += used;
    *len -= used;
    return (struct text){start, n};
}

static void environment(const char *text, size_t len)
{
    struct cgi_header headers[HEADERS_LIMIT];
    struct cgi_request r = {.headers = headers, .server_port = 80};
    struct text *const parts[] = {&r.path,   &r.script_name,  &r.query,
                                  &r.host,   &r.method,       &r.protocol,
                                  &r.scheme, &r.content_type, &r.remote_addr};
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    r.content_length = len % 3 ? (int64_t)len : -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        *parts[i] = next(&text, &len);
    for (; len && r.n_headers < HEADERS_LIMIT; r.n_headers++) {
        headers[r.n_headers].name = next(&text, &len);
        headers[r.n_headers].value = next(&text, &len);
    }
    if (cgi_environment(&r, &env, &e) < 0) {
        BUG_ON(env.n || e.code != -EINVAL || !e.msg[0]);
        return;
    }
    for (size_t i = 0; i < env.n; i++) {
        const char *equals = strchr(env.v[i], '=');

        BUG_ON(!equals || equals == env.v[i] || !utf8_is_valid(env.v[i], strlen(env.v[i])));
        BUG_ON(str_starts(env.v[i], "HTTP_PROXY=") || str_starts(env.v[i], "HTTP_AUTHORIZATION="));
        for (size_t k = 0; k < i; k++)
            BUG_ON(!strncmp(env.v[i], env.v[k], (size_t)(equals + 1 - env.v[i])));
    }
}

/* The fuzzer cannot see into a comparison that ignores case, so the first bytes stand for words. */
static void expand(const uint8_t *data, size_t size, struct buf *ret)
{
    static const char *const words[] = {"Status: 404 ",  "Location: /",     "content-TYPE: a",
                                        "Connection: x", "Content-Length:", "Proxy",
                                        "cookie\na=1\n", "status: 5"};

    for (size_t i = 0; i < size; i++) {
        if (data[i] && data[i] <= ARRAY_SIZE(words))
            buf_addstr(ret, words[data[i] - 1]);
        else
            buf_addc(ret, (char)data[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autobuf text = BUF_INIT;

    expand(data, size, &text);
    head(buf_str(&text), text.len);
    environment(buf_str(&text), text.len);
    return 0;
}

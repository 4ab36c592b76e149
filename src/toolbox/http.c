/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/http.h"

#include <strings.h>

#include "toolbox/toolbox.h"

/* ---- URLs ---- */

static bool authority_split(const char *text, struct http_url *u)
{
    const char *host = text, *end;
    long long port = 80;

    if (*text == '[') {
        host = text + 1;
        end = strchr(host, ']');
        if (!end)
            return false;
        text = end + 1;
    } else {
        text = end = host + strcspn(host, ":");
    }
    if (*text && (*text != ':' || !number_parse(text + 1, 65535, &port) || port == 0))
        return false;
    if (end == host)
        return false;
    u->host = xstrndup(host, (size_t)(end - host));
    u->port = (uint16_t)port;
    return true;
}

bool http_url_parse(const char *text, struct http_url *ret, const char **ret_why)
{
    struct http_url u = {0};
    const char *scheme_end = strstr(text, "://"), *rest = text;
    size_t len;

    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            *ret_why = "a URL has no spaces and control characters";
            return false;
        }
    }
    if (scheme_end && strcspn(text, "/?#") == (size_t)(scheme_end + 1 - text)) {
        if (strncasecmp(text, "http:", 5) != 0) {
            *ret_why = strncasecmp(text, "https:", 6) == 0 ? "there is no TLS here, so no https"
                                                           : "only http:// is known";
            return false;
        }
        rest = scheme_end + 3;
    }
    len = strcspn(rest, "/?#");
    u.authority = xstrndup(rest, len);
    if (strchr(u.authority, '@') || !authority_split(u.authority, &u)) {
        free(u.authority);
        *ret_why = "that is no http://HOST[:PORT][/PATH]";
        return false;
    }
    rest += len;
    u.path = xasprintf("%s%.*s", *rest == '/' ? "" : "/", (int)strcspn(rest, "#"), rest);
    *ret = u;
    return true;
}

void http_url_done(struct http_url *u)
{
    free(u->host);
    free(u->authority);
    free(u->path);
}

/* ---- Heads ---- */

/* What may be shown: at most 200 characters. */
static char *printable(const char *text, size_t len)
{
    char *made = xstrndup(text, len < 200 ? len : 200);

    for (char *c = made; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return made;
}

static bool field_take(struct http_head *h, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len), *value, *end = line + len;
    long long length;

    if (!colon)
        return true;
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    len = (size_t)(colon - line);
    if (len == 14 && strncasecmp(line, "content-length", len) == 0) {
        autofree char *number = xstrndup(value, (size_t)(end - value));

        if (!number_parse(number, INT64_MAX, &length))
            return false;
        h->length = length;
    } else if (len == 17 && strncasecmp(line, "transfer-encoding", len) == 0) {
        h->is_chunked = true;
    } else if (len == 8 && strncasecmp(line, "location", len) == 0 && !h->location) {
        h->location = printable(value, (size_t)(end - value));
    }
    return true;
}

/* HTTP/1.x NNN REASON */
static bool status_take(struct http_head *h, const char *line, size_t len)
{
    long long status;
    char number[4] = "";

    if (len < 12 || strncmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    memcpy(number, line + 9, 3);
    if (!number_parse(number, 599, &status) || status < 100 || (len > 12 && line[12] != ' '))
        return false;
    h->status = (int)status;
    h->line = printable(line + 9, len - 9);
    return true;
}

int http_head_parse(const struct buf *text, struct http_head *ret)
{
    struct http_head h = {.length = -1};
    size_t at = 0;

    for (;;) {
        const char *line = buf_str(text) + at;
        const char *end = text->len > at ? memchr(line, '\n', text->len - at) : NULL;
        size_t len = end ? (size_t)(end - line) : 0;
        bool is_good;

        if (!end) {
            http_head_done(&h);
            return text->len > HTTP_HEAD_MAX ? -1 : 0;
        }
        at += len + 1;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        if (h.status && len == 0)
            break;
        is_good = h.status ? field_take(&h, line, len) : status_take(&h, line, len);
        if (!is_good || at > HTTP_HEAD_MAX) {
            http_head_done(&h);
            return -1;
        }
    }
    h.bytes = at;
    *ret = h;
    return 1;
}

void http_head_done(struct http_head *h)
{
    free(h->line);
    free(h->location);
}

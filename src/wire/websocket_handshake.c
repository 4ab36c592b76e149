/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/websocket_handshake.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/base64.h"
#include "base/digest.h"

enum { KEY_BYTES = 16 };

void websocket_key_new(char ret[static WEBSOCKET_KEY_SIZE])
{
    uint8_t bytes[KEY_BYTES];
    autobuf text = BUF_INIT;

    BUG_ON(getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes));
    base64_encode(bytes, sizeof(bytes), &text);
    memcpy(ret, text.data, WEBSOCKET_KEY_SIZE);
}

bool websocket_key_is_good(const char *key)
{
    autobuf bytes = BUF_INIT;
    struct err e = ERR_INIT;

    return strlen(key) == WEBSOCKET_KEY_SIZE - 1 &&
           base64_decode(key, WEBSOCKET_KEY_SIZE - 1, &bytes, &e) == 0 && bytes.len == KEY_BYTES;
}

void websocket_accept_value(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE])
{
    uint8_t hash[20];
    autobuf text = BUF_INIT, value = BUF_INIT;

    buf_addf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1_bytes(text.data, text.len, hash);
    base64_encode(hash, sizeof(hash), &value);
    memcpy(ret, value.data, WEBSOCKET_ACCEPT_SIZE);
}

static struct text trimmed(struct text t)
{
    while (t.len && (*t.data == ' ' || *t.data == '\t'))
        t.data++, t.len--;
    while (t.len && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t'))
        t.len--;
    return t;
}

/* Takes what comes before the separator off *rest; false at the end. */
static bool part_next(struct text *rest, char separator, struct text *ret)
{
    const char *end;

    if (!rest->data)
        return false;
    end = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
    if (!end) {
        *ret = trimmed(*rest);
        *rest = (struct text){0};
        return true;
    }
    *ret = trimmed((struct text){rest->data, (size_t)(end - rest->data)});
    rest->len -= (size_t)(end + 1 - rest->data);
    rest->data = end + 1;
    return true;
}

bool websocket_list_has(struct text list, const char *token)
{
    struct text one;

    while (part_next(&list, ',', &one))
        if (text_same_name(one, text_of(token)))
            return true;
    return false;
}

const char *websocket_protocol_choose(const char *const *protocols, const char *offered)
{
    for (; *protocols; protocols++) {
        struct text list = text_of(offered), one;

        while (part_next(&list, ',', &one))
            if (text_eq(one, *protocols))
                return *protocols;
    }
    return NULL;
}

struct answer {
    bool has_upgrade, has_connection, has_accept, has_protocol, has_extensions;
    const char *protocol;
};

static void header_take(struct text name, struct text value, const char *accept,
                        const char *const *protocols, struct answer *a)
{
    if (text_same_name(name, text_of("Upgrade"))) {
        a->has_upgrade |= text_same_name(value, text_of("websocket"));
    } else if (text_same_name(name, text_of("Connection"))) {
        a->has_connection |= websocket_list_has(value, "upgrade");
    } else if (text_same_name(name, text_of("Sec-WebSocket-Accept"))) {
        a->has_accept = text_eq(value, accept);
    } else if (text_same_name(name, text_of("Sec-WebSocket-Extensions"))) {
        a->has_extensions = true;
    } else if (text_same_name(name, text_of("Sec-WebSocket-Protocol"))) {
        a->has_protocol = true;
        a->protocol = NULL;
        for (; protocols && *protocols; protocols++)
            if (**protocols && text_eq(value, *protocols))
                a->protocol = *protocols;
    }
}

static struct text line_next(struct text *rest)
{
    struct text line = {0};

    if (part_next(rest, '\n', &line) && line.len && line.data[line.len - 1] == '\r')
        line.len--;
    return line;
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, -EPROTO, "BadHandshake", "the server's answer to the WebSocket request %s",
                   what);
}

int websocket_answer_check(struct text head, const char *key, const char *const *protocols,
                           const char **ret_protocol, struct err *e)
{
    char accept[WEBSOCKET_ACCEPT_SIZE], shown[128];
    struct text line = line_next(&head);
    struct answer a = {0};

    snprintf(shown, sizeof(shown), "%.*s", (int)(line.len < 100 ? line.len : 100),
             line.data ? line.data : "");
    text_mute(shown, strlen(shown), false);
    if (!str_starts(shown, "HTTP/1.1 101"))
        return err_set(e, -EPROTO, "BadHandshake",
                       "the server opens no WebSocket here; it answered '%s'", shown);
    websocket_accept_value(key, accept);
    while ((line = line_next(&head)).len) {
        struct text name;

        if (!memchr(line.data, ':', line.len))
            return bad(e, "has a line that is no header");
        part_next(&line, ':', &name);
        header_take(name, trimmed(line), accept, protocols, &a);
    }
    if (!a.has_upgrade || !a.has_connection)
        return bad(e, "is no upgrade to WebSocket");
    if (!a.has_accept)
        return bad(e, "does not belong to this request (Sec-WebSocket-Accept)");
    if (a.has_extensions || (a.has_protocol && !a.protocol))
        return bad(e, "chooses a protocol or an extension that was not offered");
    *ret_protocol = a.protocol;
    return 0;
}

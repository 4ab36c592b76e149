/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/grpc_message.h"

#include <endian.h>
#include <nghttp2/nghttp2.h>

#include "wire/rpc.h"

#define PREFIX_BYTES  5
#define MESSAGE_LIMIT 400 /* bytes of a status's text: as much as struct err holds */

void grpc_prefix_add(size_t len, struct buf *out)
{
    uint32_t wire = htobe32((uint32_t)len);
    buf_addc(out, 0); /* not compressed */
    buf_add(out, &wire, sizeof(wire));
}

int grpc_message_next(struct text in, size_t limit, struct text *ret, size_t *ret_taken,
                      struct err *e)
{
    uint32_t wire;
    if (in.len < PREFIX_BYTES)
        return 0;
    if (in.data[0])
        return err_set(e, -EBADMSG, "BadResponse",
                       "the other side sends a compressed message, which was not asked for");
    memcpy(&wire, in.data + 1, sizeof(wire));
    size_t len = be32toh(wire);
    if (len > limit)
        return err_set(e, -EFBIG, "MessageTooLarge",
                       "an answer has %zu bytes, and the limit is %zu", len, limit);
    if (in.len - PREFIX_BYTES < len)
        return 0;
    *ret = (struct text){in.data + PREFIX_BYTES, len};
    *ret_taken = PREFIX_BYTES + len;
    return 1;
}

/* ---- Status ---- */

void grpc_status_done(struct grpc_status *s)
{
    buf_done(&s->message);
}

/* A decimal number of at most three digits; -1 for anything else. */
static int small_number(struct text t)
{
    int n = 0;
    if (!t.len || t.len > 3)
        return -1;
    for (size_t i = 0; i < t.len; i++) {
        if (t.data[i] < '0' || t.data[i] > '9')
            return -1;
        n = n * 10 + (t.data[i] - '0');
    }
    return n;
}

/* Percent-encoded UTF-8; what is no such code stays as it is. */
static void percent_decode(struct text t, struct buf *out)
{
    autobuf plain = BUF_INIT;
    for (size_t i = 0; i < t.len && plain.len < MESSAGE_LIMIT; i++) {
        int high = -1, low = -1;
        if (t.data[i] == '%' && t.len - i > 2) {
            high = text_hex_digit(t.data[i + 1]);
            low = text_hex_digit(t.data[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            buf_addc(&plain, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_addc(&plain, t.data[i]);
        }
    }
    text_lossy_add((struct text){plain.data, plain.len}, out);
    if (out->len)
        text_mute(out->data, out->len, true);
}

void grpc_status_field(struct grpc_status *s, struct text name, struct text value)
{
    static const struct text type = TEXT("application/grpc");
    if (text_eq(name, ":status")) {
        s->http_status = small_number(value);
    } else if (text_eq(name, "content-type")) {
        /* "+proto" or parameters may follow. */
        s->has_type = value.len >= type.len && !memcmp(value.data, type.data, type.len);
    } else if (text_eq(name, "grpc-status")) {
        s->has_code = true;
        s->code = small_number(value);
    } else if (text_eq(name, "grpc-message")) {
        buf_clear(&s->message);
        percent_decode(value, &s->message);
    }
}

/* PROTOCOL-HTTP2.md, "Errors". */
static enum ttrpc_code code_of_reset(uint32_t http2_code)
{
    switch (http2_code) {
    case NGHTTP2_REFUSED_STREAM:
        return TTRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return TTRPC_CANCELED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return TTRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return TTRPC_PERMISSION_DENIED;
    default:
        return TTRPC_INTERNAL;
    }
}

int grpc_status_err(const struct grpc_status *s, uint32_t http2_code, struct err *e)
{
    if (s->http_status && (s->http_status != 200 || !s->has_type))
        return err_set(e, -EBADMSG, "BadResponse",
                       "the other side answers with the HTTP status %d%s, and not as gRPC",
                       s->http_status, s->has_type ? "" : " and another content type");
    if (s->has_code && s->code)
        return ttrpc_status_err(s->code, buf_str(&s->message), e);
    if (s->has_code)
        return 0;
    if (http2_code) {
        autofree char *why =
            xasprintf("the other side has ended the call: %s", nghttp2_http2_strerror(http2_code));
        return ttrpc_status_err((int)code_of_reset(http2_code), why, e);
    }
    return err_set(e, -EBADMSG, "BadResponse", "the other side's answer ends without a status");
}

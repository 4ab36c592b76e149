/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/grpc_health.h"

#include <ctype.h>
#include <endian.h>

#include "base/util.h"

#define PREFIX_LEN     5
#define MESSAGE_LIMIT  200  /* bytes of grpc-message that are shown */
#define SERVICE_TAG    0x0a /* HealthCheckRequest.service: field 1, length-delimited */
#define STATUS_TAG     0x08 /* HealthCheckResponse.status: field 1, varint */
#define STATUS_SERVING 1

enum { OK = 0, DEADLINE_EXCEEDED = 4, NOT_FOUND = 5, UNIMPLEMENTED = 12 };

/* ---- Protobuf ---- */

static void varint_add(uint64_t n, struct buf *out)
{
    for (; n >= 0x80; n >>= 7)
        buf_addc(out, (char)(n | 0x80));
    buf_addc(out, (char)n);
}

static bool varint_take(struct text *t, uint64_t *ret)
{
    uint64_t n = 0;

    for (size_t i = 0; i < t->len && i < 10; i++) {
        unsigned char byte = (unsigned char)t->data[i];

        n |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *t = (struct text){t->data + i + 1, t->len - i - 1};
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool skip(struct text *t, uint64_t len)
{
    if (len > t->len)
        return false;
    *t = (struct text){t->data + len, t->len - len};
    return true;
}

/* Past the value of a field that is none of ours. Groups are of no use in new messages. */
static bool field_skip(struct text *t, unsigned wire_type)
{
    uint64_t n;

    switch (wire_type) {
    case 0:
        return varint_take(t, &n);
    case 1:
        return skip(t, 8);
    case 2:
        return varint_take(t, &n) && skip(t, n);
    case 5:
        return skip(t, 4);
    default:
        return false;
    }
}

/* As protobuf has it: absent is 0, of several the last counts. */
static bool status_parse(struct text t, uint64_t *ret)
{
    uint64_t status = 0, tag;

    while (t.len) {
        if (!varint_take(&t, &tag))
            return false;
        if (tag == STATUS_TAG ? !varint_take(&t, &status) : !field_skip(&t, tag & 7))
            return false;
    }
    *ret = status;
    return true;
}

void grpc_health_request_add(const char *service, struct buf *out)
{
    autobuf message = BUF_INIT;
    uint32_t len;

    if (*service) {
        buf_addc(&message, SERVICE_TAG);
        varint_add(strlen(service), &message);
        buf_addstr(&message, service);
    }
    len = htobe32((uint32_t)message.len);
    buf_addc(out, 0);
    buf_add(out, &len, sizeof(len));
    if (message.len)
        buf_add(out, message.data, message.len);
}

/* ---- The response ---- */

/* grpc-message is percent-encoded. */
static void message_add(const char *s, struct buf *out)
{
    size_t start = out->len;

    for (; s && *s && out->len - start < MESSAGE_LIMIT; s++) {
        unsigned byte;

        if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
            char hex[] = {s[1], s[2], 0};

            byte = (unsigned)strtoul(hex, NULL, 16);
            s += 2;
        } else {
            byte = (unsigned char)*s;
        }
        buf_addc(out, byte ? (char)byte : '?');
    }
    if (out->len > start)
        text_mute(out->data + start, out->len - start, false);
}

static int call_check(const struct grpc_health_response *r, struct err *e)
{
    autobuf message = BUF_INIT, said = BUF_INIT;
    unsigned long status;
    char *end;

    if (!r->grpc_status || !isdigit((unsigned char)*r->grpc_status))
        return err_set(e, -EBADMSG, "BadResponse",
                       "the server speaks no gRPC: HTTP status %ld without a grpc-status",
                       r->http_status);
    status = strtoul(r->grpc_status, &end, 10);
    message_add(r->grpc_message, &message);
    text_lossy_add((struct text){message.data, message.len}, &said);
    if (*end)
        return err_set(e, -EBADMSG, "BadResponse",
                       "the server speaks no gRPC: its grpc-status is "
                       "no number");
    switch (status) {
    case OK:
        return 0;
    case UNIMPLEMENTED:
        return err_set(e, -ENOSYS, "NoHealthService",
                       "this server does not implement the grpc health protocol "
                       "(grpc.health.v1.Health): %s",
                       buf_str(&said));
    case NOT_FOUND:
        return err_set(e, -ENOENT, "UnknownService", "the server knows no such service: %s",
                       buf_str(&said));
    case DEADLINE_EXCEEDED:
        return err_set(e, -ETIMEDOUT, "TimedOut", "the server was not ready in time: %s",
                       buf_str(&said));
    default:
        return err_set(e, -EREMOTEIO, "CallFailed", "health rpc failed with grpc-status %lu: %s",
                       status, buf_str(&said));
    }
}

int grpc_health_check(const struct grpc_health_response *r, struct err *e)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    struct text body = r->body;
    uint64_t status;
    uint32_t len;

    TRY(call_check(r, e));
    if (body.len < PREFIX_LEN || body.data[0])
        return err_set(e, -EBADMSG, "BadResponse",
                       "the server answered no message of gRPC that is not compressed");
    memcpy(&len, body.data + 1, sizeof(len));
    skip(&body, PREFIX_LEN);
    if (be32toh(len) != body.len || !status_parse(body, &status))
        return err_set(e, -EBADMSG, "BadResponse",
                       "the server answered what is no grpc.health.v1.HealthCheckResponse");
    if (status == STATUS_SERVING)
        return 0;
    return err_set(e, -EAGAIN, "NotServing", "service unhealthy (responded with \"%s\")",
                   status < ARRAY_SIZE(names) ? names[status] : "a status that is none");
}

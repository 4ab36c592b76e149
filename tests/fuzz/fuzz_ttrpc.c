/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a server of ttrpc reads from a real connection. Whatever they are, the server
 * survives, answers in frames that are responses, and frees every call. Besides, the frames are the
 * same when the bytes come one by one. */
#include <sys/socket.h>
#include <sys/un.h>

#include "loop/stream.h"
#include "wire/ttrpc.h"
#include "wire/ttrpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct ttrpc_call *kept[64];
static size_t n_kept;

static void answer(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                   uint64_t timeout_ns)
{
    (void)ctx, (void)timeout_ns;
    ttrpc_call_answer(call, payload, len);
}

static void keep(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                 uint64_t timeout_ns)
{
    (void)ctx, (void)payload, (void)len, (void)timeout_ns;
    if (n_kept < ARRAY_SIZE(kept))
        kept[n_kept++] = call;
    else
        ttrpc_call_fail(call, TTRPC_UNAVAILABLE, "\xff");
}

static const struct ttrpc_method methods[] = {
    {"a", answer},
    {"k", keep  }
};
static const struct ttrpc_service services[] = {
    {"s", methods, ARRAY_SIZE(methods)}
};

struct peer {
    struct ttrpc_reader reader;
};

static void answers(void *ctx, const void *data, size_t len)
{
    struct peer *p = ctx;
    struct text in = {data, len};
    struct ttrpc_frame f;
    while (ttrpc_reader_next(&p->reader, &in, &f))
        BUG_ON(f.type != TTRPC_RESPONSE || f.flags || f.is_too_large);
}

static void ended(void *ctx, const struct err *e)
{
    (void)ctx, (void)e;
    loop_stop(loop);
}

/* Listens under a name that the kernel chooses, and connects there. */
static int socket_pair(int *ret_listener)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(a.sun_family);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(listener < 0 || fd < 0 || bind(listener, (struct sockaddr *)&a, len) < 0);
    len = sizeof(a);
    BUG_ON(listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&a, &len) < 0);
    BUG_ON(connect(fd, (struct sockaddr *)&a, len) < 0);
    *ret_listener = listener;
    return fd;
}

static void serve(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct ttrpc_server *server = NULL;
    struct stream *stream = NULL;
    struct peer p = {0};
    struct ttrpc_server_options o = {
        .services = services, .n_services = 1, .call_limit = 16, .queue_limit = 65536};
    int fd = socket_pair(&o.listen_fd);
    BUG_ON(ttrpc_server_new(loop, &o, &server, &e) < 0);
    struct stream_options s = {
        .fd = fd, .queue_limit = 1 << 20, .data = answers, .ended = ended, .ctx = &p};
    BUG_ON(stream_new(loop, &s, &stream, &e) < 0);
    BUG_ON(stream_write(stream, data, size, &e) < 0);
    stream_shut(stream);
    loop_run(loop);
    stream_free(stream);
    if (size % 2)
        ttrpc_server_free(take_ptr(server));
    while (n_kept)
        ttrpc_call_answer(kept[--n_kept], "", 0);
    ttrpc_server_free(server);
    ttrpc_reader_done(&p.reader);
}

static void compare(const uint8_t *data, size_t size)
{
    struct ttrpc_reader whole = TTRPC_READER_INIT, piecewise = TTRPC_READER_INIT;
    struct text in = {(const char *)data, size};
    struct ttrpc_frame a, b;
    size_t at = 0;
    while (ttrpc_reader_next(&whole, &in, &a)) {
        bool has_come = false;
        while (!has_come && at <= size) {
            struct text one = {(const char *)data + at, at < size};
            has_come = ttrpc_reader_next(&piecewise, &one, &b);
            at++;
        }
        BUG_ON(!has_come || a.stream_id != b.stream_id || a.type != b.type || a.len != b.len ||
               a.payload.len != b.payload.len ||
               (a.payload.len && memcmp(a.payload.data, b.payload.data, a.payload.len)));
    }
    ttrpc_reader_done(&whole);
    ttrpc_reader_done(&piecewise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    if (!loop)
        BUG_ON(loop_open(&loop, &e) < 0);
    compare(data, size);
    serve(data, size);
    return 0;
}

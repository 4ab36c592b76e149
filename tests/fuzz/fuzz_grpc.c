/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what a server of gRPC says over a real connection, and as the parts of it that need
 * none. Whatever they are, each call ends once, and every message is within its limit. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "loop/stream.h"
#include "wire/grpc.h"
#include "wire/grpc_message.h"
#include "wire/ttrpc.pb-c.h"

#define LIMIT 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static int listener;
static char path[64];
static struct grpc_call *call;
static unsigned n_unary, n_stream;

static void unary_done(void *ctx, const struct err *e, struct text t)
{
    (void)ctx;
    n_unary++;
    BUG_ON(e ? !e->code || !*e->msg : t.len > LIMIT);
}

static void message(void *ctx, struct text t)
{
    (void)ctx;
    BUG_ON(t.len > LIMIT);
    grpc_call_next(call);
}

static void stream_done(void *ctx, const struct err *e)
{
    (void)ctx;
    n_stream++;
    BUG_ON(e && !e->code);
}

static void nothing(void *ctx, const void *data, size_t len)
{
    (void)ctx, (void)data, (void)len;
}

static void ended(void *ctx, const struct err *e)
{
    (void)e;
    stream_free(*(struct stream **)ctx);
    *(struct stream **)ctx = NULL;
}

static void start(void)
{
    struct err e = ERR_INIT;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    BUG_ON(loop_open(&loop, &e) < 0);
    snprintf(path, sizeof(path), "/tmp/fuzz-grpc-%d", (int)getpid());
    memcpy(a.sun_path, path, sizeof(path));
    (void)unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 4) < 0);
}

static void serve(const uint8_t *data, size_t size)
{
    static const struct grpc_stream_handlers handlers = {message, stream_done};
    Ttrpc__Request m = TTRPC__REQUEST__INIT;
    struct grpc_request r = {
        .service = "s", .method = "m", .message = &m.base, .message_limit = LIMIT};
    struct grpc_client_options o = {.path = path};
    struct grpc_client *client = NULL;
    struct stream *stream = NULL;
    struct err e = ERR_INIT;
    BUG_ON(grpc_client_new(loop, &o, &client, &e) < 0);
    n_unary = n_stream = 0;
    grpc_unary(client, &r, unary_done, NULL);
    call = grpc_stream(client, &r, &handlers, NULL);
    struct stream_options s = {.fd = accept(listener, NULL, NULL),
                               .queue_limit = 8 << 20,
                               .data = nothing,
                               .ended = ended,
                               .ctx = &stream};
    BUG_ON(stream_new(loop, &s, &stream, &e) < 0);
    (void)stream_write(stream, data, size, &e);
    stream_shut(stream);
    /* Until the client has closed its end as well, which it does when it has read ours. */
    loop_run(loop);
    BUG_ON(n_unary != 1 || n_stream != 1 || !grpc_client_is_lost(client));
    grpc_client_free(client);
    stream_free(stream);
}

static void parts(struct text in)
{
    struct grpc_status s = GRPC_STATUS_INIT;
    struct text t = {0};
    struct err e = ERR_INIT;
    size_t taken = 0, half = in.len / 2;
    int r = grpc_message_next(in, LIMIT, &t, &taken, &e);
    BUG_ON(r > 0 && (t.len > LIMIT || taken > in.len || t.len + 5 != taken));
    grpc_status_field(&s, (struct text)TEXT(":status"), (struct text){in.data, half});
    grpc_status_field(&s, (struct text)TEXT("content-type"), (struct text)TEXT("application/grpc"));
    grpc_status_field(&s, (struct text)TEXT("grpc-message"), in);
    grpc_status_field(&s, (struct text)TEXT("grpc-status"), (struct text){in.data, half});
    r = grpc_status_err(&s, (uint32_t)half, &e);
    BUG_ON(r < 0 && (!*e.msg || !utf8_is_valid(e.msg, strlen(e.msg))));
    grpc_status_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!loop)
        start();
    parts((struct text){(const char *)data, size});
    serve(data, size);
    return 0;
}

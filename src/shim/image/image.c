/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/image/image.h"

#include "base/fds.h"
#include "container/guest/program.h"
#include "shim/image/image_search.h"
#include "shim/image/module_cache.h"
#include "shim/messages/messages.h"
#include "store/manifest.h"
#include "wire/grpc.h"

#define ANSWER_MS       5000  /* for anything but the program */
#define PROGRAM_MS      60000 /* at the speed of a slow disk */
#define PROGRAM_MESSAGE (4u << 20)

struct image_request {
    struct loop *loop;
    char *address, *containerd_ns, *container_id, *cache_dir;
    bool wants_program;
    void (*done)(void *ctx, const struct err *e, struct image_program *p);
    void *ctx;

    struct grpc_client *client;
    struct grpc_call *call;   /* that is open */
    struct loop_timer *defer; /* to tell `failure` of the start */
    bool is_working;          /* the pool has what follows "The program": then it is not freed */
    bool is_cancelled;
    struct err failure;

    struct arena *arena; /* of one answer */
    char *name;          /* of the image */
    struct image_search search;
    struct container_config config;

    /* The blob that is read: a document into `text`, the program into `file`. */
    const struct image_blob *blob;
    int64_t offset;
    void (*read)(struct image_request *r);
    bool is_manifest; /* which may be missing */
    struct buf text;

    /* The program. */
    int dirfd, file, program;
    struct digest_stream digest;
    struct text piece; /* in `arena` */
};

/* ---- Ends ---- */

static void request_free(struct image_request *r)
{
    grpc_client_free(r->client);
    loop_timer_free(r->defer);
    arena_free(r->arena);
    container_config_done(&r->config);
    buf_done(&r->text);
    close_cleanup_(&r->dirfd);
    close_cleanup_(&r->file);
    close_cleanup_(&r->program);
    free(r->address);
    free(r->containerd_ns);
    free(r->container_id);
    free(r->cache_dir);
    free(r->name);
    free(r);
}

static void fail(struct image_request *r, const struct err *e)
{
    struct err told = *e;
    if (r->name && *r->name)
        err_prefix(&told, "the image '%.200s'", r->name);
    err_prefix(&told, "container '%.80s'", r->container_id);
    r->done(r->ctx, &told, NULL);
    request_free(r);
}

static void succeed(struct image_request *r)
{
    struct image_program p = {.fd = take_fd(&r->program), .name = r->name, .config = &r->config};
    if (p.fd >= 0)
        digest_format(&r->search.program.digest, p.digest);
    r->done(r->ctx, NULL, &p);
    close_cleanup_(&p.fd);
    request_free(r);
}

void image_cancel(struct image_request *r)
{
    if (!r)
        return;
    if (r->is_working)
        r->is_cancelled = true;
    else
        request_free(r);
}

/* ---- Asking ---- */

static struct grpc_request request_of(const struct image_request *r, const char *service,
                                      const char *method, const ProtobufCMessage *m)
{
    return (struct grpc_request){.service = service,
                                 .method = method,
                                 .containerd_ns = r->containerd_ns,
                                 .message = m,
                                 .timeout_ms = ANSWER_MS,
                                 .message_limit = PROGRAM_MESSAGE};
}

static struct arena *arena_anew(struct image_request *r)
{
    arena_free(r->arena);
    return r->arena = arena_new();
}

static void blob_read(struct image_request *r, const struct image_blob *blob, uint64_t timeout_ms,
                      const struct grpc_stream_handlers *handlers)
{
    Containerd__ReadContentRequest m = CONTAINERD__READ_CONTENT_REQUEST__INIT;
    char digest[DIGEST_TEXT_SIZE];
    digest_format(&blob->digest, digest);
    m.digest = digest;
    struct grpc_request q =
        request_of(r, "containerd.services.content.v1.Content", "Read", &m.base);
    q.timeout_ms = timeout_ms;
    r->blob = blob;
    r->offset = 0;
    r->call = grpc_stream(r->client, &q, handlers, r);
}

/* Of what has been read; "BadImage". */
static int blob_check(const struct image_request *r, const struct digest *found, struct err *e)
{
    char digest[DIGEST_TEXT_SIZE];
    if (r->offset == r->blob->size && !digest_compare(found, &r->blob->digest))
        return 0;
    digest_format(&r->blob->digest, digest);
    return err_set(e, -EINVAL, "BadImage",
                   "what containerd has as %s of %lld bytes has %lld, or another digest", digest,
                   (long long)r->blob->size, (long long)r->offset);
}

/* ---- Documents ---- */

static void search_next(struct image_request *r);

static void document_piece(void *ctx, struct text answer)
{
    struct image_request *r = ctx;
    struct err e = ERR_INIT;
    struct text piece = {0};
    if (image_answer_read(answer, r->offset, r->blob, arena_anew(r), &piece, &e) < 0) {
        fail(r, &e);
        return;
    }
    buf_add(&r->text, piece.data, piece.len);
    r->offset += (int64_t)piece.len;
    grpc_call_next(r->call);
}

static void document_read_done(void *ctx, const struct err *e)
{
    struct image_request *r = ctx;
    struct err bad = e ? *e : ERR_INIT;
    struct digest found;
    r->call = NULL;
    if (!e) {
        digest_bytes(r->text.data, r->text.len, &found);
        (void)blob_check(r, &found, &bad);
    } else if (e->code == -ENOENT && r->is_manifest &&
               image_search_missing(&r->search, &bad) >= 0) {
        search_next(r);
        return;
    }
    if (bad.code)
        fail(r, &bad);
    else
        r->read(r);
}

static void document_read(struct image_request *r, const struct image_blob *blob,
                          void (*read)(struct image_request *r))
{
    static const struct grpc_stream_handlers handlers = {document_piece, document_read_done};
    struct err e = ERR_INIT;
    buf_clear(&r->text);
    buf_addstr(&r->text, ""); /* of an empty one there is a text, too */
    r->read = read;
    r->is_manifest = blob != &r->search.config;
    if (blob->size <= IMAGE_DOCUMENT_LIMIT) {
        blob_read(r, blob, ANSWER_MS, &handlers);
        return;
    }
    err_set(&e, -EFBIG, "TooLarge", "a manifest or config has %lld bytes, more than %u",
            (long long)blob->size, IMAGE_DOCUMENT_LIMIT);
    fail(r, &e);
}

/* ---- The program, read in the work pool ---- */

struct work {
    struct image_request *request;
    void (*work)(void *ctx);
    void (*done)(struct image_request *r);
};

static void work_run(void *ctx)
{
    const struct work *w = ctx;
    w->work(w->request);
}

static void work_done(void *ctx)
{
    struct work *w = ctx;
    struct image_request *r = w->request;
    void (*done)(struct image_request * r) = w->done;
    free(w);
    r->is_working = false;
    if (r->is_cancelled)
        request_free(r);
    else if (r->failure.code)
        fail(r, &r->failure);
    else
        done(r);
}

static void program_work(struct image_request *r, void (*work)(void *ctx),
                         void (*done)(struct image_request *r))
{
    struct work *w = xcalloc(1, sizeof(*w));
    *w = (struct work){r, work, done};
    r->is_working = true;
    loop_work(r->loop, work_run, work_done, w);
}

static void commit_work(void *ctx)
{
    struct image_request *r = ctx;
    const struct image_blob *b = &r->search.program;
    struct digest found;
    digest_end(&r->digest, &found);
    if (blob_check(r, &found, &r->failure) >= 0)
        (void)module_cache_commit(r->dirfd, r->file, &b->digest, b->size, &r->program, &r->failure);
}

static void write_work(void *ctx)
{
    struct image_request *r = ctx;
    digest_add(&r->digest, r->piece.data, r->piece.len);
    if (fd_write_all(r->file, r->piece.data, r->piece.len, &r->failure) < 0)
        err_prefix(&r->failure, "its program cannot be kept in the cache folder");
}

static void written(struct image_request *r)
{
    r->offset += (int64_t)r->piece.len;
    grpc_call_next(r->call);
}

static void program_piece(void *ctx, struct text answer)
{
    struct image_request *r = ctx;
    struct err e = ERR_INIT;
    if (image_answer_read(answer, r->offset, r->blob, arena_anew(r), &r->piece, &e) < 0)
        fail(r, &e);
    else
        program_work(r, write_work, written);
}

static void program_read_done(void *ctx, const struct err *e)
{
    struct image_request *r = ctx;
    struct err told;
    r->call = NULL;
    if (!e) {
        program_work(r, commit_work, succeed);
        return;
    }
    told = *e;
    if (e->code == -ENOENT)
        err_set(&told, -ENOENT, "NotFound",
                "containerd does not have the layer with the program any more; pull the image "
                "again, without discard_unpacked_layers");
    fail(r, &told);
}

static void begin_work(void *ctx)
{
    struct image_request *r = ctx;
    const struct image_blob *b = &r->search.program;
    int n;
    if (module_cache_open(r->cache_dir, &r->dirfd, &r->failure) < 0)
        return;
    n = module_cache_find(r->dirfd, &b->digest, b->size, &r->program, &r->failure);
    if (!n)
        (void)module_cache_begin(r->dirfd, &r->file, &r->failure);
}

static void begun(struct image_request *r)
{
    static const struct grpc_stream_handlers handlers = {program_piece, program_read_done};
    if (r->program >= 0) {
        succeed(r);
        return;
    }
    digest_begin(&r->digest);
    blob_read(r, &r->search.program, PROGRAM_MS, &handlers);
}

/* ---- The way ---- */

static void program_fetch(struct image_request *r)
{
    const struct image_blob *b = &r->search.program;
    struct err e = ERR_INIT;
    if (!r->search.has_program || !r->wants_program) {
        succeed(r);
    } else if (b->size > PROGRAM_LIMIT_BYTES) {
        err_set(&e, -EFBIG, "TooLarge", "its program has %lld bytes, more than %lld",
                (long long)b->size, (long long)PROGRAM_LIMIT_BYTES);
        fail(r, &e);
    } else {
        program_work(r, begin_work, begun);
    }
}

static void config_take(struct image_request *r)
{
    struct err e = ERR_INIT;
    if (container_config_decode(&r->text, &r->config, &e) < 0)
        fail(r, &e);
    else
        program_fetch(r);
}

static void manifest_take(struct image_request *r)
{
    struct err e = ERR_INIT;
    if (image_search_take(&r->search, &r->text, &e) < 0)
        fail(r, &e);
    else
        search_next(r);
}

static void search_next(struct image_request *r)
{
    const struct image_blob *blob = image_search_next(&r->search);
    if (blob)
        document_read(r, blob, manifest_take);
    else if (r->search.has_config)
        document_read(r, &r->search.config, config_take);
    else
        program_fetch(r);
}

static void image_answered(void *ctx, const struct err *e, struct text answer)
{
    struct image_request *r = ctx;
    struct image_blob target;
    struct err bad = e ? *e : ERR_INIT;
    r->call = NULL;
    if (!e)
        (void)image_answer_image(answer, arena_anew(r), &target, &bad);
    if (bad.code) {
        fail(r, &bad);
        return;
    }
    image_search_begin(&r->search, &target);
    search_next(r);
}

static void container_answered(void *ctx, const struct err *e, struct text answer)
{
    struct image_request *r = ctx;
    Containerd__GetImageRequest m = CONTAINERD__GET_IMAGE_REQUEST__INIT;
    const char *name = "";
    struct err bad = e ? *e : ERR_INIT;
    r->call = NULL;
    if (!e)
        (void)image_answer_container(answer, arena_anew(r), &name, &bad);
    if (bad.code) {
        fail(r, &bad);
        return;
    }
    r->name = xstrdup(name);
    if (!*name) {
        succeed(r);
        return;
    }
    m.name = r->name;
    struct grpc_request q = request_of(r, "containerd.services.images.v1.Images", "Get", &m.base);
    r->call = grpc_unary(r->client, &q, image_answered, r);
}

static void start_failed(void *ctx)
{
    struct image_request *r = ctx;
    fail(r, &r->failure);
}

struct image_request *
image_find(struct loop *l, const struct image_options *o,
           void (*done)(void *ctx, const struct err *e, struct image_program *p), void *ctx)
{
    Containerd__GetContainerRequest m = CONTAINERD__GET_CONTAINER_REQUEST__INIT;
    struct image_request *r = xcalloc(1, sizeof(*r));
    const char *scheme = "unix://";
    r->loop = l;
    r->done = done;
    r->ctx = ctx;
    r->address =
        xstrdup(o->grpc_address + (str_starts(o->grpc_address, scheme) ? strlen(scheme) : 0));
    r->containerd_ns = xstrdup(o->containerd_ns);
    r->container_id = xstrdup(o->container_id);
    r->cache_dir = xstrdup(o->cache_dir);
    r->wants_program = o->wants_program;
    r->dirfd = r->file = r->program = -EBADF;
    struct grpc_client_options c = {.path = r->address};
    if (grpc_client_new(l, &c, &r->client, &r->failure) < 0) {
        r->defer = loop_timer_new(l, start_failed, r);
        loop_timer_set(r->defer, 0);
        return r;
    }
    m.id = r->container_id;
    struct grpc_request q =
        request_of(r, "containerd.services.containers.v1.Containers", "Get", &m.base);
    r->call = grpc_unary(r->client, &q, container_answered, r);
    return r;
}

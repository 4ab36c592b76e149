/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/image.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/text.h"
#include "container/list.h"
#include "loop/stream.h"
#include "store/images.h"
#include "store/registries.h"

#define REASON_PULL  "ErrImagePull"
#define REASON_NEVER "ErrImageNeverPull"
#define REASON_NAME  "InvalidImageName"

#define OUTPUT_LIMIT 4096u /* bytes of what wherry-image says, on each of its two ways */

struct image_finder {
    struct loop *loop;
    char *program, *store_dir;
    size_t n_requests, n_fetching;
    struct link waiting; /* requests that are to be fetched */
    bool is_closed;
};

/* What one pipe of the child brings. */
struct output {
    struct image_request *request;
    struct stream *stream;
    struct buf text;
    bool is_last_kept; /* of too much the end is kept, and not the beginning */
};

struct image_request {
    struct image_finder *finder;
    void (*pulling)(void *ctx);
    void (*done)(void *ctx, const struct image_found *found, const struct err *failed);
    void *ctx;
    struct link link; /* in `waiting` */
    bool is_dropped;  /* the caller has gone; work is under way */
    bool is_working;

    /* The look-up's. */
    char *reference; /* the container's image, as the work may outlive the container */
    bool is_file;
    enum pod_pull pull;
    int found; /* 1, 0, or negative with `e` */
    char *name, *id;
    struct err e;

    /* The fetch's. */
    struct loop_child *child;
    bool is_fetching, has_ended;
    int status;
    struct output out, err;
};

struct image_finder *image_finder_new(struct loop *l, const char *program, const char *store_dir)
{
    struct image_finder *f = xcalloc(1, sizeof(*f));

    *f = (struct image_finder){
        .loop = l, .program = xstrdup(program), .store_dir = xstrdup(store_dir)};
    link_init(&f->waiting);
    return f;
}

void image_finder_free(struct image_finder *f)
{
    f->is_closed = true;
    if (f->n_requests)
        return;
    free(f->program);
    free(f->store_dir);
    free(f);
}

/* ---- Looking up, in the work pool ---- */

static int file_find(const char *path, struct err *e)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(e, -errno, REASON_PULL, "there is no program '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -ENOEXEC, REASON_PULL, "'%s' is not a regular file", path);
    if (access(path, R_OK) < 0)
        return err_errno(e, -errno, REASON_PULL, "cannot read '%s'", path);
    return 1;
}

static int stored_find(int dirfd, const char *name, char **ret_name, char **ret_id, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference reference = {0};
    __attribute__((cleanup(image_done))) struct image image = {0};
    char id[DIGEST_TEXT_SIZE];
    int found;

    TRY(reference_parse(name, &reference, e));
    found = images_find_at(dirfd, &reference, &image, e);
    if (found <= 0)
        return found;
    digest_format(&image.manifest, id);
    *ret_name = reference_format(&reference);
    *ret_id = xstrdup(id);
    return 1;
}

/* 1, or 0 when it is not in the store. */
static int reference_find(const char *store_dir, const char *image, char **ret_name, char **ret_id,
                          struct err *e)
{
    autoregistries registries = {0};
    autostrv names = STRV_INIT;
    autofd dirfd = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int found = 0;

    TRY(registries_read(&registries, e));
    TRY(registries_names(&registries, image, NAMES_STORED, &names, e));
    if (dirfd < 0 && errno != ENOENT)
        return err_errno(e, -errno, REASON_PULL, "cannot open the image store '%s'", store_dir);
    for (size_t i = 0; dirfd >= 0 && !found && i < names.n; i++)
        TRY(found = stored_find(dirfd, names.v[i], ret_name, ret_id, e));
    return found;
}

int image_look_up(const char *store_dir, const char *image, bool is_file, char **ret_name,
                  char **ret_id, struct err *e)
{
    int found =
        is_file ? file_find(image, e) : reference_find(store_dir, image, ret_name, ret_id, e);

    if (found < 0)
        e->reason = str_eq(e->reason, "BadReference") ? REASON_NAME : REASON_PULL;
    return found;
}

static void look_up(void *ctx)
{
    struct image_request *r = ctx;

    r->found =
        image_look_up(r->finder->store_dir, r->reference, r->is_file, &r->name, &r->id, &r->e);
}

/* ---- The end ---- */

static void request_destroy(struct image_request *r)
{
    struct image_finder *f = r->finder;

    f->n_requests--;
    free(r->reference);
    free(r->name);
    free(r->id);
    free(r);
    if (f->is_closed)
        image_finder_free(f);
}

static void request_succeed(struct image_request *r)
{
    const struct image_found found = {.name = r->name, .id = r->id};

    r->done(r->ctx, &found, NULL);
}

static void request_fail(struct image_request *r)
{
    struct err e = r->e;

    r->done(r->ctx, NULL, &e);
}

/* ---- Fetching ---- */

static void fetch_next(struct image_finder *f);

static void output_done(struct output *o)
{
    stream_free(take_ptr(o->stream));
    buf_done(&o->text);
    o->text = BUF_INIT;
}

static void fetch_done(struct image_request *r)
{
    output_done(&r->out);
    output_done(&r->err);
    loop_child_free(take_ptr(r->child));
    if (!r->is_fetching)
        return;
    r->is_fetching = false;
    r->finder->n_fetching--;
    fetch_next(r->finder);
}

/* "NAME@sha256:HEX"; a digest is part of the name only if it was asked for. */
static int fetched_take(struct image_request *r)
{
    char *text = buf_take(&r->out.text), *at;

    text[strcspn(text, "\n")] = 0;
    at = strrchr(text, '@');
    if (!at) {
        free(text);
        return err_set(&r->e, -EIO, REASON_PULL, "wherry-image did not say what it has fetched");
    }
    r->id = xstrdup(at + 1);
    if (!strchr(r->reference, '@'))
        *at = 0;
    r->name = text;
    return 0;
}

/* The last line, without the newline and the program's name. */
static void failure_take(struct image_request *r)
{
    autofree char *text = buf_take(&r->err.text);
    size_t len = strlen(text);
    const char *line;

    while (len && text[len - 1] == '\n')
        text[--len] = 0;
    line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    if (str_starts(line, "wherry: "))
        line += strlen("wherry: ");
    if (*line)
        err_set(&r->e, -EIO, REASON_PULL, "%s", line);
    else if (WIFSIGNALED(r->status))
        err_set(&r->e, -EIO, REASON_PULL, "wherry-image was ended by signal %d",
                WTERMSIG(r->status));
    else
        err_set(&r->e, -EIO, REASON_PULL, "wherry-image failed with status %d",
                WEXITSTATUS(r->status));
}

/* Its end is not all: what it said may still be in the pipes. */
static void fetch_check(struct image_request *r)
{
    bool is_good = WIFEXITED(r->status) && !WEXITSTATUS(r->status);

    if (!r->has_ended || r->out.stream || r->err.stream)
        return;
    if (is_good)
        is_good = fetched_take(r) == 0;
    else
        failure_take(r);
    fetch_done(r);
    if (is_good)
        request_succeed(r);
    else
        request_fail(r);
}

static void child_ended(void *ctx, int status)
{
    struct image_request *r = ctx;

    r->has_ended = true;
    r->status = status;
    fetch_check(r);
}

static void output_data(void *ctx, const void *data, size_t len)
{
    struct output *o = ctx;

    buf_add(&o->text, data, len);
    if (o->text.len <= OUTPUT_LIMIT)
        return;
    if (o->is_last_kept)
        buf_consume(&o->text, o->text.len - OUTPUT_LIMIT);
    else
        o->text.len = OUTPUT_LIMIT;
    buf_terminate(&o->text);
}

static void output_ended(void *ctx, const struct err *e)
{
    struct output *o = ctx;

    (void)e;
    stream_free(take_ptr(o->stream));
    fetch_check(o->request);
}

static int output_open(struct image_request *r, struct output *o, int *ret_fd, struct err *e)
{
    struct stream_options so = {
        .queue_limit = 1, .data = output_data, .ended = output_ended, .ctx = o};
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, REASON_PULL, "cannot make a pipe");
    o->request = r;
    so.fd = fds[0];
    if (stream_new(r->finder->loop, &so, &o->stream, e) < 0) {
        close(fds[1]);
        return e->code;
    }
    *ret_fd = fds[1];
    return 0;
}

static int child_start(struct image_request *r, struct err *e)
{
    /* Programs of several commands go by argv[0]. */
    const char *const argv[] = {"pull",
                                "--quiet",
                                "--no-compile",
                                "--policy",
                                r->pull == POD_PULL_ALWAYS ? "always" : "missing",
                                "--",
                                r->reference,
                                NULL};
    autofd out = -EBADF, err = -EBADF;
    struct loop_child_fd fds[2];
    autostrv env = STRV_INIT;

    TRY(output_open(r, &r->out, &out, e));
    TRY(output_open(r, &r->err, &err, e));
    r->err.is_last_kept = true;
    /* A process that is killed stops no child. */
    strv_addv(&env, environ);
    strv_variable_put(&env, xasprintf(IMAGES_PARENT_VARIABLE "=%d", (int)getpid()));
    fds[0] = (struct loop_child_fd){out, STDOUT_FILENO};
    fds[1] = (struct loop_child_fd){err, STDERR_FILENO};
    return loop_child_start(r->finder->loop,
                            &(struct loop_child_options){.program = r->finder->program,
                                                         .argv = argv,
                                                         .env = strv_array(&env),
                                                         .fds = fds,
                                                         .n_fds = 2,
                                                         .ended = child_ended,
                                                         .ctx = r},
                            &r->child, e);
}

static void fetch_next(struct image_finder *f)
{
    struct image_request *r;

    while (f->n_fetching < IMAGE_FETCH_LIMIT &&
           (r = LINK_FIRST(&f->waiting, struct image_request, link))) {
        link_remove(&r->link);
        r->is_fetching = true;
        f->n_fetching++;
        if (child_start(r, &r->e) < 0) {
            r->e.reason = REASON_PULL;
            r->is_fetching = false;
            f->n_fetching--;
            fetch_done(r);
            request_fail(r);
        }
    }
}

/* ---- Requests ---- */

static void looked_up(void *ctx)
{
    struct image_request *r = ctx;
    struct image_finder *f = r->finder;

    r->is_working = false;
    if (r->is_dropped) {
        request_destroy(r);
        return;
    }
    if (r->found < 0) {
        request_fail(r);
    } else if (r->found && (r->is_file || r->pull != POD_PULL_ALWAYS)) {
        request_succeed(r);
    } else if (r->pull == POD_PULL_NEVER) {
        err_set(&r->e, -ENOENT, REASON_NEVER,
                "Container image \"%s\" is not present with pull policy of Never", r->reference);
        request_fail(r);
    } else {
        free(take_ptr(r->name));
        free(take_ptr(r->id));
        r->pulling(r->ctx);
        link_append(&f->waiting, &r->link);
        fetch_next(f);
    }
}

struct image_request *
image_find(struct image_finder *f, const struct pod_container *c, void (*pulling)(void *ctx),
           void (*done)(void *ctx, const struct image_found *found, const struct err *failed),
           void *ctx)
{
    struct image_request *r = xcalloc(1, sizeof(*r));

    *r = (struct image_request){.finder = f,
                                .pulling = pulling,
                                .done = done,
                                .ctx = ctx,
                                .is_working = true,
                                .reference = xstrdup(c->image),
                                .is_file = c->is_file,
                                .pull = c->pull};
    link_init(&r->link);
    f->n_requests++;
    loop_work(f->loop, look_up, looked_up, r);
    return r;
}

void image_request_free(struct image_request *r)
{
    if (!r)
        return;
    if (r->is_working) {
        r->is_dropped = true;
        return;
    }
    link_remove(&r->link);
    if (r->child)
        loop_child_kill(r->child, SIGTERM);
    fetch_done(r);
    request_destroy(r);
}

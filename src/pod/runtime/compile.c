/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/compile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/name_index.h"
#include "container/list.h"
#include "guest/job.h"

#define JOB_FD     3 /* of the child */
#define PROGRAM_FD 4

/* One program: waiting for a child, with one, or done. */
struct code {
    struct compiles *set;
    struct name_link by_key;
    struct link in_set; /* in `queue` or `made`; with a child in none */
    struct link waiting;
    struct loop_child *child;
    int job_fd, program_fd;
    char *key;
};

struct compile {
    struct code *code;
    struct link link;
    void (*done)(void *ctx);
    void *ctx;
};

struct compiles {
    struct loop *loop;
    char *worker, *cache_dir;
    struct name_index keys;
    struct link queue, made;
    size_t n_made, n_children;
    struct loop_timer *soon; /* due when there may be a child to start */
};

static void children_start(void *ctx);

struct compiles *compiles_new(struct loop *l, const char *worker, const char *cache_dir)
{
    struct compiles *s = xcalloc(1, sizeof(*s));

    s->loop = l;
    s->worker = worker ? xstrdup(worker) : NULL;
    s->cache_dir = worker && cache_dir ? xstrdup(cache_dir) : NULL;
    link_init(&s->queue);
    link_init(&s->made);
    s->soon = loop_timer_new(l, children_start, s);
    return s;
}

static void fds_close(struct code *c)
{
    if (c->job_fd >= 0)
        close(take_fd(&c->job_fd));
    if (c->program_fd >= 0)
        close(take_fd(&c->program_fd));
}

static void code_free(struct code *c)
{
    fds_close(c);
    name_index_remove(&c->set->keys, &c->by_key);
    link_remove(&c->in_set);
    free(c->key);
    free(c);
}

void compiles_free(struct compiles *s)
{
    struct code *c;

    if (!s)
        return;
    BUG_ON(!link_is_empty(&s->queue) || s->n_children);
    while ((c = LINK_FIRST(&s->made, struct code, in_set)))
        code_free(c);
    name_index_done(&s->keys);
    loop_timer_free(s->soon);
    free(s->worker);
    free(s->cache_dir);
    free(s);
}

char *compile_key(const struct guest_spec *s, const char *image_id)
{
    struct stat st;

    if (s->image)
        return image_id ? xasprintf("%s@%s", s->image, image_id) : NULL;
    if (fstat((int)s->module_fd, &st) < 0)
        return NULL;
    return xasprintf("%" PRIu64 ":%" PRIu64 ":%lld:%lld.%09ld:%lld.%09ld", (uint64_t)st.st_dev,
                     (uint64_t)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

/* ---- Children ---- */

static void start_soon(struct compiles *s)
{
    if (!link_is_empty(&s->queue))
        loop_timer_set(s->soon, clock_monotonic_ns());
}

static void made(struct code *c)
{
    struct compiles *s = c->set;
    struct code *oldest;
    struct link waiting;
    struct compile *w;

    fds_close(c);
    link_append(&s->made, &c->in_set);
    s->n_made++;
    if (s->n_made > COMPILE_REMEMBER_LIMIT &&
        (oldest = LINK_FIRST(&s->made, struct code, in_set))) {
        s->n_made--;
        code_free(oldest);
    }
    /* Who is told may start another one, or drop one that waits here. */
    link_init(&waiting);
    while ((w = LINK_FIRST(&c->waiting, struct compile, link))) {
        link_append(&waiting, &w->link);
        w->code = NULL;
    }
    while ((w = LINK_FIRST(&waiting, struct compile, link))) {
        void (*done)(void *ctx) = w->done;
        void *ctx = w->ctx;

        compile_free(w);
        done(ctx);
    }
}

static void child_ended(void *ctx, int status)
{
    struct code *c = ctx;
    struct compiles *s = c->set;

    (void)status;
    loop_child_free(take_ptr(c->child));
    s->n_children--;
    start_soon(s);
    made(c);
}

static int child_start(struct code *c, struct err *e)
{
    const struct compiles *s = c->set;
    const char *const argv[] = {s->worker, "--spec-fd", "3", NULL}, *const env[] = {NULL};
    const struct loop_child_fd fds[] = {
        {c->job_fd,     JOB_FD    },
        {c->program_fd, PROGRAM_FD}
    };

    return loop_child_start(s->loop,
                            &(struct loop_child_options){.argv = argv,
                                                         .env = env,
                                                         .fds = fds,
                                                         .n_fds = ARRAY_SIZE(fds),
                                                         .ended = child_ended,
                                                         .ctx = c},
                            &c->child, e);
}

static void children_start(void *ctx)
{
    struct compiles *s = ctx;
    struct code *c;

    while (s->n_children < COMPILE_LIMIT && (c = LINK_FIRST(&s->queue, struct code, in_set))) {
        struct err e = ERR_INIT;

        link_remove(&c->in_set);
        if (child_start(c, &e) >= 0) {
            s->n_children++;
            fds_close(c);
            continue;
        }
        /* The worker is the one that has to say why. Whoever is told may end all of this. */
        start_soon(s);
        made(c);
        return;
    }
}

/* ---- Requests ---- */

static int job_write(const struct compiles *s, const struct guest_spec *spec, int *ret_fd,
                     struct err *e)
{
    struct guest_file file = {.fd = PROGRAM_FD,
                              .image = spec->image,
                              .command = spec->command,
                              .name = spec->name ? spec->name : (char *)"program"};
    const struct guest_job job = {.command = (char *)"compile",
                                  .files = &file,
                                  .n_files = 1,
                                  .cache_dir = s->cache_dir,
                                  .status_fd = -1,
                                  .is_shared = true,
                                  .is_ahead = true,
                                  .is_quiet = true};
    autobuf text = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &text, false);
    guest_job_encode(&job, &w);
    TRY(json_writer_finish(&w, e));
    return memfd_from("compile-job", buf_str(&text), text.len, ret_fd, e);
}

/* NULL when it cannot be tried here. */
static struct code *code_new(struct compiles *s, const struct guest_spec *spec, const char *key)
{
    autofd program = fcntl((int)spec->module_fd, F_DUPFD_CLOEXEC, 3);
    struct err e = ERR_INIT;
    struct code *c;
    int job = -1;

    if (program < 0 || job_write(s, spec, &job, &e) < 0)
        return NULL;
    c = xcalloc(1, sizeof(*c));
    *c = (struct code){
        .set = s, .key = xstrdup(key), .job_fd = job, .program_fd = take_fd(&program)};
    link_init(&c->in_set);
    link_init(&c->waiting);
    name_index_add(&s->keys, &c->by_key, c->key);
    link_append(&s->queue, &c->in_set);
    return c;
}

static bool is_made(const struct code *c)
{
    return !c->child && c->program_fd < 0;
}

struct compile *compile_start(struct compiles *s, const struct guest_spec *spec, const char *key,
                              void (*done)(void *ctx), void *ctx)
{
    struct name_link *l = s->cache_dir && key ? name_index_find(&s->keys, key) : NULL;
    struct code *c = l ? LINK_OF(struct code, by_key, l) : NULL;
    struct compile *w;

    if (!s->cache_dir || !key || (c && is_made(c)))
        return NULL;
    if (!c)
        c = code_new(s, spec, key);
    if (!c)
        return NULL;
    w = xcalloc(1, sizeof(*w));
    *w = (struct compile){.code = c, .done = done, .ctx = ctx};
    link_init(&w->link);
    link_append(&c->waiting, &w->link);
    start_soon(s); /* not from within this call: a child that cannot be started is told at once */
    return w;
}

void compile_free(struct compile *w)
{
    struct code *c = w ? w->code : NULL;

    if (!w)
        return;
    link_remove(&w->link);
    free(w);
    if (!c || !link_is_empty(&c->waiting))
        return;
    /* Nobody wants it any more. */
    if (c->child) {
        loop_child_kill(c->child, SIGKILL);
        loop_child_free(take_ptr(c->child));
        c->set->n_children--;
        start_soon(c->set);
    }
    code_free(c);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/compile.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "base/name_index.h"
#include "container/list.h"
#include "container/worker_jobs.h"

/* A program that was compiled, or could not be. */
struct code {
    struct name_link by_key;
    struct link in_set;
    char *key;
};

struct compile {
    struct compiles *set;
    struct worker_job *job;
    char *key;
    void (*done)(void *ctx);
    void *ctx;
};

struct compiles {
    struct worker_jobs *jobs; /* NULL, as the next: nothing is compiled */
    char *cache_dir;
    struct name_index keys; /* of those in `made` */
    struct link made;
    size_t n_made;
};

struct compiles *compiles_new(struct loop *l, const char *worker, const char *cache_dir)
{
    struct compiles *s = xcalloc(1, sizeof(*s));

    link_init(&s->made);
    if (!worker || !cache_dir)
        return s;
    s->jobs = worker_jobs_new(l, worker);
    s->cache_dir = xstrdup(cache_dir);
    return s;
}

static void code_free(struct compiles *s, struct code *c)
{
    name_index_remove(&s->keys, &c->by_key);
    link_remove(&c->in_set);
    s->n_made--;
    free(c->key);
    free(c);
}

void compiles_free(struct compiles *s)
{
    struct code *c;

    if (!s)
        return;
    worker_jobs_free(s->jobs);
    while ((c = LINK_FIRST(&s->made, struct code, in_set)))
        code_free(s, c);
    name_index_done(&s->keys);
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

static void made(struct compiles *s, const char *key)
{
    struct code *c = LINK_FIRST(&s->made, struct code, in_set);

    if (name_index_find(&s->keys, key))
        return;
    if (c && s->n_made == COMPILE_REMEMBER_LIMIT)
        code_free(s, c);
    c = xcalloc(1, sizeof(*c));
    c->key = xstrdup(key);
    link_init(&c->in_set);
    link_append(&s->made, &c->in_set);
    name_index_add(&s->keys, &c->by_key, c->key);
    s->n_made++;
}

/* What it cannot compile, or why it cannot be started, the worker that runs the program says. */
static void job_ended(void *ctx, const struct err *e, const struct worker_job_end *end)
{
    struct compile *w = ctx;
    void (*done)(void *ctx) = w->done;
    void *of_done = w->ctx;

    (void)e;
    (void)end;
    made(w->set, w->key);
    w->job = NULL;
    compile_free(w);
    done(of_done);
}

static int job_start(struct compile *w, const struct guest_spec *spec, struct err *e)
{
    struct guest_file file = {.fd = WORKER_JOB_PROGRAM_FD,
                              .image = spec->image,
                              .command = spec->command,
                              .name = spec->name ? spec->name : (char *)"program"};
    const struct guest_job job = {.command = (char *)"compile",
                                  .files = &file,
                                  .n_files = 1,
                                  .cache_dir = w->set->cache_dir,
                                  .status_fd = -1,
                                  .is_shared = true,
                                  .is_ahead = true,
                                  .is_quiet = true};

    return worker_job_start(w->set->jobs, w->key, &job, (int)spec->module_fd, job_ended, w, &w->job,
                            e);
}

struct compile *compile_start(struct compiles *s, const struct guest_spec *spec, const char *key,
                              void (*done)(void *ctx), void *ctx)
{
    struct err e = ERR_INIT;
    struct compile *w;

    if (!s->jobs || !key || name_index_find(&s->keys, key))
        return NULL;
    w = xcalloc(1, sizeof(*w));
    *w = (struct compile){.set = s, .key = xstrdup(key), .done = done, .ctx = ctx};
    if (job_start(w, spec, &e) >= 0)
        return w;
    compile_free(w);
    return NULL;
}

void compile_free(struct compile *w)
{
    if (!w)
        return;
    worker_job_free(w->job);
    free(w->key);
    free(w);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "container/worker_jobs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/name_index.h"
#include "container/list.h"

#define JOB_FD 3 /* of the child */

/* One thing to be done: waiting for a child, or with one. */
struct task {
    struct worker_jobs *set;
    struct name_link by_key;
    struct link in_queue;
    struct link waiting;
    struct loop_child *child;
    int job_fd, program_fd, output_fd;
    char *key;
};

struct worker_job {
    struct task *task; /* NULL: it is being told */
    struct link link;
    void (*done)(void *ctx, const struct err *e, const struct worker_job_end *end);
    void *ctx;
};

struct worker_jobs {
    struct loop *loop;
    char *worker;
    struct name_index keys;
    struct link queue;
    size_t n_children;
    struct loop_timer *soon; /* due when there may be a child to start */
};

static void children_start(void *ctx);

struct worker_jobs *worker_jobs_new(struct loop *l, const char *worker)
{
    struct worker_jobs *s = xcalloc(1, sizeof(*s));

    s->loop = l;
    s->worker = xstrdup(worker);
    link_init(&s->queue);
    s->soon = loop_timer_new(l, children_start, s);
    return s;
}

void worker_jobs_free(struct worker_jobs *s)
{
    if (!s)
        return;
    BUG_ON(!link_is_empty(&s->queue) || s->n_children);
    name_index_done(&s->keys);
    loop_timer_free(s->soon);
    free(s->worker);
    free(s);
}

static void task_free(struct task *t)
{
    name_index_remove(&t->set->keys, &t->by_key);
    link_remove(&t->in_queue);
    close(t->job_fd);
    close(t->program_fd);
    close(t->output_fd);
    free(t->key);
    free(t);
}

/* ---- Children ---- */

static void start_soon(struct worker_jobs *s)
{
    if (!link_is_empty(&s->queue))
        loop_timer_set(s->soon, clock_monotonic_ns());
}

/* Tells all that wait; any of them may start another one, or drop one that waits here. */
static void task_end(struct task *t, const struct err *e, const struct worker_job_end *end)
{
    struct link waiting;
    struct worker_job *j;

    link_init(&waiting);
    while ((j = LINK_FIRST(&t->waiting, struct worker_job, link))) {
        link_append(&waiting, &j->link);
        j->task = NULL;
    }
    task_free(t);
    while ((j = LINK_FIRST(&waiting, struct worker_job, link))) {
        struct worker_job told = *j;

        worker_job_free(j);
        told.done(told.ctx, e, end);
    }
}

/* The output file has its full size from the start. */
static char *output_read(const struct task *t, size_t *ret_len)
{
    char *text = xcalloc(WORKER_JOB_OUTPUT_LIMIT_BYTES + 1, 1);
    ssize_t n = pread(t->output_fd, text, WORKER_JOB_OUTPUT_LIMIT_BYTES, 0);

    *ret_len = n > 0 ? strnlen(text, (size_t)n) : 0;
    return text;
}

static void child_ended(void *ctx, int status)
{
    struct task *t = ctx;
    struct worker_jobs *s = t->set;
    struct worker_job_end end = {.status = status};
    autofree char *output = output_read(t, &end.output_len);

    end.output = output;
    loop_child_free(take_ptr(t->child));
    s->n_children--;
    start_soon(s);
    task_end(t, NULL, &end);
}

static int child_start(struct task *t, struct err *e)
{
    const struct worker_jobs *s = t->set;
    const char *const argv[] = {s->worker, "--spec-fd", "3", NULL}, *const env[] = {NULL};
    const struct loop_child_fd fds[] = {
        {t->output_fd,  STDOUT_FILENO        },
        {t->job_fd,     JOB_FD               },
        {t->program_fd, WORKER_JOB_PROGRAM_FD}
    };

    return loop_child_start(s->loop,
                            &(struct loop_child_options){.argv = argv,
                                                         .env = env,
                                                         .fds = fds,
                                                         .n_fds = ARRAY_SIZE(fds),
                                                         .ended = child_ended,
                                                         .ctx = t},
                            &t->child, e);
}

static void children_start(void *ctx)
{
    struct worker_jobs *s = ctx;
    struct task *t;

    while (s->n_children < WORKER_JOBS_LIMIT &&
           (t = LINK_FIRST(&s->queue, struct task, in_queue))) {
        struct err e = ERR_INIT;

        link_remove(&t->in_queue);
        if (child_start(t, &e) >= 0) {
            s->n_children++;
            continue;
        }
        /* Whoever is told may end all of this. */
        start_soon(s);
        task_end(t, &e, NULL);
        return;
    }
}

/* ---- Requests ---- */

/* A file that can be filled, but not grow. */
static int output_make(int *ret_fd, struct err *e)
{
    autofd fd = memfd_create("job-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, WORKER_JOB_OUTPUT_LIMIT_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a file for a job's output");
    *ret_fd = take_fd(&fd);
    return 0;
}

static int job_write(const struct guest_job *job, int *ret_fd, struct err *e)
{
    autobuf text = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &text, false);
    guest_job_encode(job, &w);
    TRY(json_writer_finish(&w, e));
    return memfd_from("job", buf_str(&text), text.len, ret_fd, e);
}

static int task_new(struct worker_jobs *s, const char *key, const struct guest_job *job,
                    int program_fd, struct task **ret, struct err *e)
{
    autofd program = fcntl(program_fd, F_DUPFD_CLOEXEC, 3), output = -EBADF, text = -EBADF;
    struct task *t;

    if (program < 0)
        return err_errno(e, -errno, "StartFailed", "cannot pass a program on");
    TRY(output_make(&output, e));
    TRY(job_write(job, &text, e));
    t = xcalloc(1, sizeof(*t));
    *t = (struct task){.set = s,
                       .key = xstrdup(key),
                       .job_fd = take_fd(&text),
                       .program_fd = take_fd(&program),
                       .output_fd = take_fd(&output)};
    link_init(&t->in_queue);
    link_init(&t->waiting);
    name_index_add(&s->keys, &t->by_key, t->key);
    link_append(&s->queue, &t->in_queue);
    *ret = t;
    return 0;
}

int worker_job_start(struct worker_jobs *s, const char *key, const struct guest_job *job,
                     int program_fd,
                     void (*done)(void *ctx, const struct err *e, const struct worker_job_end *end),
                     void *ctx, struct worker_job **ret, struct err *e)
{
    struct name_link *l = name_index_find(&s->keys, key);
    struct task *t = l ? LINK_OF(struct task, by_key, l) : NULL;
    struct worker_job *j;

    if (!t)
        TRY(task_new(s, key, job, program_fd, &t, e));
    j = xcalloc(1, sizeof(*j));
    *j = (struct worker_job){.task = t, .done = done, .ctx = ctx};
    link_init(&j->link);
    link_append(&t->waiting, &j->link);
    start_soon(s); /* not from within this call: a child that cannot be started is told at once */
    *ret = j;
    return 0;
}

void worker_job_free(struct worker_job *j)
{
    struct task *t = j ? j->task : NULL;

    if (!j)
        return;
    link_remove(&j->link);
    free(j);
    if (!t || !link_is_empty(&t->waiting))
        return;
    /* Nobody wants it any more. */
    if (t->child) {
        loop_child_kill(t->child, SIGKILL);
        loop_child_free(take_ptr(t->child));
        t->set->n_children--;
        start_soon(t->set);
    }
    task_free(t);
}

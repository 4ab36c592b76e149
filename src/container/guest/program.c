/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "container/guest/program_record.h"
#include "container/worker_jobs.h"
#include "guest/status.h"
#include "store/cache.h"

struct programs {
    struct loop *loop;
    char *worker, *cache_dir;
    struct worker_jobs *jobs;
};

/*
 * Goes through the work pool, then, unless that has found the code, a job, and the pool again.
 * While it is there the loop's thread touches only `is_cancelled`.
 */
struct program_request {
    struct programs *set; /* of the loop's thread */
    void (*done)(void *ctx, const struct err *e, struct prepared *p);
    void *ctx;
    struct worker_job *job;
    bool is_cancelled, is_in_pool;

    char *worker, *cache_dir,
        *known_digest; /* own copies: the set may be gone before the pool ends */
    char worker_id[DIGEST_HEX_SIZE];
    int program_fd;
    struct prepare_answer answer; /* of the record or of the job */
    struct prepared prepared;
    struct err e;
};

struct programs *programs_new(struct loop *l, const char *worker, const char *cache_dir)
{
    struct programs *s = xcalloc(1, sizeof(*s));

    s->loop = l;
    s->worker = xstrdup(worker);
    s->cache_dir = xstrdup(cache_dir);
    s->jobs = worker_jobs_new(l, worker);
    return s;
}

void programs_free(struct programs *s)
{
    if (!s)
        return;
    worker_jobs_free(s->jobs);
    free(s->worker);
    free(s->cache_dir);
    free(s);
}

static void request_free(struct program_request *r)
{
    if (r->program_fd >= 0)
        close(r->program_fd);
    if (r->prepared.code_fd >= 0)
        close(r->prepared.code_fd);
    prepare_answer_done(&r->answer);
    free(r->worker);
    free(r->cache_dir);
    free(r->known_digest);
    free(r);
}

static void request_end(struct program_request *r)
{
    r->set = NULL;
    if (r->e.code < 0)
        r->done(r->ctx, &r->e, NULL);
    else
        r->done(r->ctx, NULL, &r->prepared);
    request_free(r);
}

static void pool_enter(struct program_request *r, void (*work)(void *ctx), void (*done)(void *ctx))
{
    r->is_in_pool = true;
    loop_work(r->set->loop, work, done, r);
}

/* False when nobody is to be told any more. */
static bool pool_leave(struct program_request *r)
{
    r->is_in_pool = false;
    if (!r->is_cancelled)
        return true;
    request_free(r);
    return false;
}

/* ---- In the pool ---- */

/* 1 when the cache has the code that the answer names, which the request then holds. */
static int code_find(struct program_request *r, struct err *e)
{
    AUTO(cache) cache = NULL;

    TRY(cache_open(r->cache_dir, &cache, e));
    return cache_find(cache, r->answer.code, &r->prepared.code_fd, e);
}

static int digest_learn(struct program_request *r, struct err *e)
{
    struct stat st;

    if (fstat(r->program_fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine the program");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -ENOEXEC, "NotWasm", "not WebAssembly: it is no regular file");
    if (st.st_size > PROGRAM_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge", "the program is larger than %lld bytes",
                       (long long)PROGRAM_LIMIT_BYTES);
    if (r->known_digest)
        return digest_parse(r->known_digest, &r->prepared.digest, e);
    return digest_fd(r->program_fd, &r->prepared.digest, e);
}

/* Makes the request's program one that nobody can change while it is compiled: else who may write
 * to the file could leave other code in the cache than that of the digest, for everybody. */
static int program_fix(struct program_request *r, struct err *e)
{
    autofd copy = -EBADF;
    struct digest digest;

    TRY(memfd_copy("program", r->program_fd, PROGRAM_LIMIT_BYTES, &copy, e));
    TRY(digest_fd(copy, &digest, e));
    if (digest_compare(&digest, &r->prepared.digest) != 0)
        return err_set(e, -EBADMSG, "ProgramChanged",
                       r->known_digest ? "the program does not have the digest that it is known by"
                                       : "the program was changed while it was read; try again");
    close(r->program_fd);
    r->program_fd = take_fd(&copy);
    return 0;
}

/* The code by the record and the cache, if both have it. What cannot be used there the worker
 * removes and makes anew, or says why not. */
static void kept_find(struct program_request *r)
{
    struct err e = ERR_INIT;

    if (program_record_find(r->cache_dir, &r->prepared.digest, r->worker_id, &r->answer, &e) <= 0)
        return;
    r->prepared.contract = contract_parse(r->answer.contract);
    if (code_find(r, &e) <= 0)
        prepare_answer_done(&r->answer);
}

static void look(void *ctx)
{
    struct program_request *r = ctx;

    if (digest_learn(r, &r->e) < 0 || program_record_worker(r->worker, r->worker_id, &r->e) < 0)
        return;
    kept_find(r);
    if (r->prepared.code_fd < 0)
        program_fix(r, &r->e);
}

static void fetch(void *ctx)
{
    struct program_request *r = ctx;
    struct err ignored = ERR_INIT; /* then the worker is asked the next time, too */
    int found = code_find(r, &r->e);

    if (!found)
        err_set(&r->e, -ENOENT, "CacheFailed",
                "the machine code was removed from the cache as soon as it was made; try again");
    if (found <= 0)
        return;
    r->prepared.contract = contract_parse(r->answer.contract);
    program_record_keep(r->cache_dir, &r->prepared.digest, r->worker_id, &r->answer, &ignored);
}

static void fetched(void *ctx)
{
    struct program_request *r = ctx;

    if (pool_leave(r))
        request_end(r);
}

/* ---- The job ---- */

/* The word that stays, for one that goes with the answer. */
static const char *reason_keep(const char *reason)
{
    static const char *const known[] = {
        "NotWasm",       "InvalidWasm",     "UnknownWasmVersion", "UnknownImport", "NotRunnable",
        "CompileFailed", "UntrustedFolder", "CacheFailed",        "ReadFailed",    "StartFailed",
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_eq(known[i], reason))
            return known[i];
    return "PrepareFailed";
}

static int silence_tell(int status, struct err *e)
{
    if (WIFSIGNALED(status))
        return err_set(e, -EIO, "PrepareFailed",
                       "wherry-worker was ended by signal %d before it had prepared the program",
                       WTERMSIG(status));
    return err_set(e, -EIO, "PrepareFailed",
                   "wherry-worker ended with status %d and did not say what the program is",
                   WEXITSTATUS(status));
}

static int answer_take(struct program_request *r, const struct worker_job_end *end, struct err *e)
{
    struct err unreadable = ERR_INIT;

    if (prepare_answer_decode(end->output, end->output_len, &r->answer, &unreadable) < 0)
        return silence_tell(end->status, e);
    if (!r->answer.reason)
        return 0;
    return err_set(e, WEXITSTATUS(end->status) == GUEST_EXIT_NOT_RUNNABLE ? -ENOEXEC : -EIO,
                   reason_keep(r->answer.reason), "%s", r->answer.message);
}

static void job_ended(void *ctx, const struct err *e, const struct worker_job_end *end)
{
    struct program_request *r = ctx;

    r->job = NULL;
    if (e)
        r->e = *e;
    if (e || answer_take(r, end, &r->e) < 0)
        request_end(r);
    else
        pool_enter(r, fetch, fetched);
}

static int job_start(struct program_request *r, struct err *e)
{
    struct guest_file file = {.fd = WORKER_JOB_PROGRAM_FD, .name = (char *)"program"};
    const struct guest_job job = {.command = (char *)"prepare",
                                  .files = &file,
                                  .n_files = 1,
                                  .cache_dir = r->cache_dir,
                                  .status_fd = -1,
                                  .is_quiet = true};
    char key[DIGEST_HEX_SIZE];

    digest_hex_format(&r->prepared.digest, key);
    return worker_job_start(r->set->jobs, key, &job, r->program_fd, job_ended, r, &r->job, e);
}

static void looked(void *ctx)
{
    struct program_request *r = ctx;

    if (!pool_leave(r))
        return;
    if (r->e.code < 0 || r->prepared.code_fd >= 0 || job_start(r, &r->e) < 0)
        request_end(r);
}

/* ---- Requests ---- */

struct program_request *
program_prepare(struct programs *s, int program_fd, const char *known_digest,
                void (*done)(void *ctx, const struct err *e, struct prepared *p), void *ctx)
{
    struct program_request *r = xcalloc(1, sizeof(*r));

    *r = (struct program_request){.set = s,
                                  .done = done,
                                  .ctx = ctx,
                                  .worker = xstrdup(s->worker),
                                  .cache_dir = xstrdup(s->cache_dir),
                                  .known_digest = known_digest ? xstrdup(known_digest) : NULL,
                                  .program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 3),
                                  .prepared.code_fd = -EBADF};
    pool_enter(r, look, looked);
    return r;
}

void program_cancel(struct program_request *r)
{
    if (!r)
        return;
    r->is_cancelled = true;
    worker_job_free(take_ptr(r->job));
    if (!r->is_in_pool)
        request_free(r);
}

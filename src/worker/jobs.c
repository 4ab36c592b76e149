/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/jobs.h"

#include <stdio.h>

#include "base/fds.h"
#include "base/log.h"
#include "guest/prepare.h"
#include "worker/code.h"
#include "worker/compiler.h"

struct cache *job_cache_open(const struct guest_job *j)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;

    if (j->cache_dir && cache_open(j->cache_dir, &c, &e) < 0)
        code_warn_cache(&e);
    return c;
}

int job_fail(const struct guest_job *j, const char *name, const struct err *e)
{
    log_error("%s: %s: %s", j->command, name, e->msg);
    return guest_exit_for(e);
}

/* ---- compile ---- */

/* A service is run by `wherry serve` only, which runs the interruptible form. */
static bool form_is_interruptible(const struct guest_job *j, const struct program *p)
{
    return j->is_shared || contract_is_http(p->contract);
}

/* *ret_key, which may be NULL, gets the name of the code. */
static int code_compile(const struct guest_job *j, const char *name, struct cache *cache,
                        const struct program *p, bool *ret_was_cached, char *ret_key, struct err *e)
{
    struct code_options o = {.cache = cache,
                             .is_for_cache = true,
                             .is_interruptible = form_is_interruptible(j, p),
                             .has_progress = !j->is_quiet && isatty(STDERR_FILENO),
                             .stop_fd = -1,
                             .code_fd = -1};
    autofd code = -EBADF;

    TRY(code_obtain(p, name, &o, &code, ret_was_cached, e));
    if (ret_key)
        code_key(p, &o, ret_key);
    return 0;
}

static int program_compile(const struct guest_job *j, const struct guest_file *f,
                           struct cache *cache, bool *ret_was_cached, struct err *e)
{
    struct program program;
    int r;

    TRY(program_open(f->fd, f->image, f->command, false, &program, e));
    /* Ahead of a run that there will not be, nothing needs to be compiled. */
    r = j->is_ahead ? contract_check_imports(&program.artifact, e) : 0;
    if (r >= 0)
        r = code_compile(j, f->name, cache, &program, ret_was_cached, NULL, e);
    program_done(&program);
    return r;
}

static int compile_one(const struct guest_job *j, const struct guest_file *f, struct cache *cache)
{
    struct err e = ERR_INIT;
    bool was_cached;
    int r = program_compile(j, f, cache, &was_cached, &e);

    if (r < 0)
        return job_fail(j, f->name, &e);
    dprintf(STDOUT_FILENO, "%s: %s\n", f->name, was_cached ? "in the cache already" : "compiled");
    return 0;
}

/* Of who has no use for code that is not kept. */
static int cache_demand(const struct guest_job *j, struct cache **ret, struct err *e)
{
    if (!j->cache_dir)
        return err_set(e, -ENOENT, "NoHome",
                       "there is no home folder for a cache; name one by --cache-dir");
    if (cache_open(j->cache_dir, ret, e) < 0)
        return err_prefix(e, "%s", j->cache_dir);
    return 0;
}

static int compile_files(const struct guest_job *j)
{
    AUTO(cache) cache = NULL;
    struct err e = ERR_INIT;
    int status = 0;

    if (cache_demand(j, &cache, &e) < 0)
        return job_fail(j, "cache", &e);
    for (size_t i = 0; i < j->n_files; i++) {
        int one = compile_one(j, &j->files[i], cache);

        status = status ? status : one;
    }
    return status;
}

/* Whatever goes wrong, the first run is not worse off. */
static void compile_ahead(const struct guest_job *j)
{
    AUTO(cache) cache = job_cache_open(j);

    for (size_t i = 0; cache && i < j->n_files; i++) {
        const char *name = j->files[i].name;
        struct err e = ERR_INIT;
        bool was_cached;

        if (program_compile(j, &j->files[i], cache, &was_cached, &e) >= 0)
            continue;
        if (str_eq(e.reason, "NotRunnable") || str_eq(e.reason, "UnknownImport"))
            log_info("%s is not compiled, for it cannot be run here: %s", name, e.msg);
        else
            log_warn("%s is not compiled yet, its first run tries again: %s", name, e.msg);
    }
}

int job_compile(const struct guest_job *j)
{
    compiler_limits_apply(); /* what strangers wrote is read in this process, too */
    if (!j->is_ahead)
        return compile_files(j);
    compile_ahead(j);
    return 0;
}

/* ---- prepare ---- */

static int prepare(const struct guest_job *j, const struct guest_file *f,
                   struct prepare_answer *ret, struct err *e)
{
    AUTO(cache) cache = NULL;
    struct program program;
    char key[CACHE_KEY_SIZE];
    bool was_cached;
    int r;

    TRY(cache_demand(j, &cache, e));
    TRY(program_open(f->fd, f->image, f->command, false, &program, e));
    /* A library may be called, and only who runs it knows by what name. */
    r = program_check_runnable(&program, program.contract == CONTRACT_UNKNOWN ? NULL : "any", e);
    if (r >= 0)
        r = code_compile(j, f->name, cache, &program, &was_cached, key, e);
    if (r >= 0) {
        ret->contract = xstrdup(contract_word(program.contract));
        ret->code = xstrdup(key);
    }
    program_done(&program);
    return r;
}

int job_prepare(const struct guest_job *j)
{
    const struct guest_file *f = &j->files[0];
    struct prepare_answer answer = {0};
    autobuf line = BUF_INIT;
    struct err e = ERR_INIT;
    int status = 0;

    compiler_limits_apply();
    if (prepare(j, f, &answer, &e) < 0) {
        status = job_fail(j, f->name, &e);
        answer = (struct prepare_answer){.reason = xstrdup(e.reason), .message = xstrdup(e.msg)};
    }
    prepare_answer_encode(&answer, &line);
    prepare_answer_done(&answer);
    if (fd_write_all(STDOUT_FILENO, line.data, line.len, &e) < 0)
        return job_fail(j, f->name, &e);
    return status;
}

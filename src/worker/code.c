/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/code.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "engine/engine.h"
#include "guest/spec.h"
#include "store/images.h"
#include "store/layout.h"
#include "worker/compiler.h"

static void visit_import(void *ctx, const char *space, const char *name, const char *kind,
                         const char *type)
{
    artifact_import_add(ctx, space, name, kind, type);
}

static void visit_export(void *ctx, const char *name, const char *kind, const char *type)
{
    artifact_export_add(ctx, name, kind, type);
}

static int stored_program_open(int dirfd, const char *name, struct program *ret, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    int found;

    TRY(reference_parse(name, &r, e));
    found = images_program_find_at(dirfd, &r, &ret->fd, &ret->digest, &ret->command, e);
    TRY(found);
    return found ? 0 : err_set(e, -ENOENT, "NotFound", "the image is not on this machine");
}

static int file_open(int fd, const char *image, const char *command, struct program *p,
                     struct err *e)
{
    p->fd = fd;
    if (!image)
        return command ? guest_command_decode(command, strlen(command), &p->command, e) : 0;
    if (str_starts(image, GUEST_IMAGE_STORED))
        TRY(stored_program_open(fd, image + strlen(GUEST_IMAGE_STORED), p, e));
    else
        TRY(layout_program_open(fd, image, &p->fd, &p->digest, e));
    p->is_fd_own = p->has_digest = true;
    return 0;
}

static int file_map(struct program *p, struct err *e)
{
    struct stat st;
    void *data;

    if (fstat(p->fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine the program");
    if (!st.st_size)
        return 0;
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, p->fd, 0);
    if (data == MAP_FAILED)
        return err_errno(e, -errno, "ReadFailed", "cannot map the program");
    p->data = data;
    p->len = (size_t)st.st_size;
    return 0;
}

int program_open(int64_t fd, const char *image, const char *command, bool validate,
                 struct program *ret, struct err *e)
{
    struct program p = {0};
    struct engine_visitor v = {.ctx = &p.artifact, .import = visit_import, .export = visit_export};
    enum engine_artifact artifact;
    autobuf why = BUF_INIT;
    int r = file_open((int)fd, image, command, &p, e);

    if (r >= 0)
        r = file_map(&p, e);
    if (r >= 0)
        r = engine_inspect(p.data, p.len, validate, &v, &artifact, e);
    if (r < 0) {
        program_done(&p);
        return r;
    }
    p.artifact.is_component = artifact == ENGINE_COMPONENT;
    p.contract = contract_decide(&p.artifact, &why);
    p.why = buf_take(&why);
    *ret = p;
    return 0;
}

void program_digest(const struct program *p, struct digest *ret)
{
    if (p->has_digest)
        *ret = p->digest;
    else
        digest_bytes(p->data, p->len, ret);
}

void program_done(struct program *p)
{
    if (p->data)
        munmap((void *)(uintptr_t)p->data, p->len);
    if (p->is_fd_own)
        close(p->fd);
    artifact_done(&p->artifact);
    guest_command_done(&p->command);
    free(p->why);
    *p = (struct program){0};
}

static void export_names(const struct artifact *a, struct buf *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n_exports && n < 8; i++)
        if (str_eq(a->exports[i].kind, "func"))
            buf_addf(ret, "%s%.60s", n++ ? ", " : "", a->exports[i].name);
}

int program_check_runnable(const struct program *p, const char *invoke, struct err *e)
{
    autobuf names = BUF_INIT;

    TRY(contract_check_imports(&p->artifact, e));
    if (invoke)
        return 0;
    switch (p->contract) {
    case CONTRACT_P1_COMMAND:
    case CONTRACT_P2_COMMAND:
    case CONTRACT_P3_COMMAND:
        return 0;
    case CONTRACT_P2_HTTP:
    case CONTRACT_P3_HTTP:
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "it is an HTTP service, not a command: %s; start it with 'wherry serve'",
                       p->why);
    case CONTRACT_P1_REACTOR:
    case CONTRACT_LIBRARY:
        export_names(&p->artifact, &names);
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "it has no command to run: %s; name a function with --invoke%s%s", p->why,
                       names.len ? ": " : "", buf_str(&names));
    case CONTRACT_UNKNOWN:
        break;
    }
    return err_set(e, -ENOEXEC, "NotRunnable", "there is nothing to run: %s", p->why);
}

void code_warn_cache(const struct err *e)
{
    log_warn("%s; the code is compiled anew each time", e->msg);
}

/* As cache_begin(), for who can see that he waits. */
static int entry_begin(const char *name, const char *key, const struct code_options *o, int *ret_fd,
                       struct err *e)
{
    bool is_shown = o->has_progress && cache_is_being_made(o->cache, key);
    int r;

    if (is_shown)
        dprintf(STDERR_FILENO, "\rwaiting for another process that is compiling %.60s\x1b[K", name);
    r = cache_begin(o->cache, key, ret_fd, e);
    if (is_shown)
        dprintf(STDERR_FILENO, "\r\x1b[K");
    return r;
}

/* 1 with code, 0 with a handle for an entry to make or -1 for none. */
static int look_up(const char *name, const char *key, const struct code_options *o, int *ret_code,
                   int *ret_handle, struct err *e)
{
    struct err cache_error = ERR_INIT;
    int fd, r;

    *ret_handle = -1;
    if (!o->cache)
        return 0;
    r = cache_find(o->cache, key, ret_code, &cache_error);
    if (r < 0)
        log_warn("%s; it is made anew", cache_error.msg);
    if (r > 0)
        return r;
    cache_error = ERR_INIT;
    r = entry_begin(name, key, o, &fd, &cache_error);
    if (r < 0 && o->is_for_cache) {
        *e = cache_error;
        return r;
    }
    if (r < 0)
        code_warn_cache(&cache_error);
    else if (r > 0)
        *ret_code = fd;
    else
        *ret_handle = fd;
    return r > 0;
}

static void key_of(const struct digest *digest, const struct program *p,
                   const struct code_options *o, char ret[static CACHE_KEY_SIZE])
{
    char settings[512];

    engine_settings(o->is_interruptible, program_is_concurrent(p), settings, sizeof(settings));
    cache_key(digest, settings, ret);
}

void code_key(const struct program *p, const struct code_options *o,
              char ret[static CACHE_KEY_SIZE])
{
    struct digest digest;

    program_digest(p, &digest);
    key_of(&digest, p, o, ret);
}

/* A file with the program of the key that nobody can change while it is compiled: else who may
 * write to the program could leave other code in the cache than its, for everybody. */
static int program_fix(const struct program *p, const struct code_options *o, const char *key,
                       int *ret_fd, struct err *e)
{
    char found[CACHE_KEY_SIZE];
    struct digest digest;

    TRY(memfd_copy("program", p->fd, p->len, ret_fd, e));
    TRY(digest_fd(*ret_fd, &digest, e));
    key_of(&digest, p, o, found);
    if (!str_eq(found, key))
        return err_set(e, -EBADMSG, "ProgramChanged",
                       "the program was changed while it was read; try again");
    return 0;
}

/* `key` is that of the entry that it is for, NULL when it is not kept. */
static int compile(const struct program *p, const char *name, const struct code_options *o,
                   const char *key, int *ret_fd, struct err *e)
{
    autofd fixed = -EBADF;
    uint64_t start = clock_monotonic_ns();
    struct compiler_options c = {.name = name,
                                 .program_bytes = p->len,
                                 .is_interruptible = o->is_interruptible,
                                 .is_concurrent = program_is_concurrent(p),
                                 .has_progress = o->has_progress,
                                 .stop_fd = o->stop_fd};

    if (key && !fd_is_sealed(p->fd))
        TRY(program_fix(p, o, key, &fixed, e));
    TRY(compiler_run(fixed >= 0 ? fixed : p->fd, &c, ret_fd, e));
    log_info("compiled %s in %.1f s", name, (double)(clock_monotonic_ns() - start) / 1e9);
    return 0;
}

bool code_is_cached(const struct program *p, const struct code_options *o)
{
    char key[CACHE_KEY_SIZE];
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    if (!o->cache)
        return false;
    code_key(p, o, key);
    return cache_find(o->cache, key, &fd, &e) > 0;
}

static void code_forget(const struct program *p, const struct code_options *o)
{
    char key[CACHE_KEY_SIZE];

    if (!o->cache)
        return;
    code_key(p, o, key);
    cache_remove(o->cache, key);
}

/* Keeps the code behind `fd`, which is good whatever comes of that. */
static int code_keep(const char *key, const struct code_options *o, int handle, int fd,
                     struct err *e)
{
    struct err cache_error = ERR_INIT;

    if (handle < 0 || cache_commit(o->cache, key, handle, fd, &cache_error) >= 0)
        return 0;
    if (o->is_for_cache) {
        *e = cache_error;
        return e->code;
    }
    code_warn_cache(&cache_error);
    return 0;
}

/* Not of the cache, so that it is not made anew when the engine refuses it. */
static int given_code(int code_fd, int *ret_fd, bool *ret_was_cached, struct err *e)
{
    int fd = fcntl(code_fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot have the program's machine code");
    if (ret_was_cached)
        *ret_was_cached = false;
    *ret_fd = fd;
    return 0;
}

int code_obtain(const struct program *p, const char *name, const struct code_options *o,
                int *ret_fd, bool *ret_was_cached, struct err *e)
{
    char key[CACHE_KEY_SIZE] = "";
    autofd fd = -EBADF;
    int handle, r;

    if (o->code_fd >= 0)
        return given_code(o->code_fd, ret_fd, ret_was_cached, e);
    if (o->cache)
        code_key(p, o, key);
    r = look_up(name, key, o, &fd, &handle, e);
    TRY(r);
    if (ret_was_cached)
        *ret_was_cached = r > 0;
    if (r > 0) {
        log_info("found the compiled code of %s in the cache", name);
        *ret_fd = take_fd(&fd);
        return 0;
    }
    r = compile(p, name, o, handle >= 0 ? key : NULL, &fd, e);
    if (r < 0 && handle >= 0)
        cache_abandon(o->cache, key, handle);
    TRY(r);
    TRY(code_keep(key, o, handle, fd, e));
    *ret_fd = take_fd(&fd);
    return 0;
}

int code_open(const struct program *p, const char *name, const struct code_options *o,
              struct engine *engine, int *ret_fd, struct engine_code **ret, struct err *e)
{
    autofd fd = -EBADF, again = -EBADF;
    bool was_cached;
    int r;

    TRY(code_obtain(p, name, o, &fd, &was_cached, e));
    r = engine_code_open(engine, fd, ret, e);
    if (r == -ESTALE && was_cached) {
        log_warn("the compiled code of %s in the cache is damaged and is made anew", name);
        code_forget(p, o);
        *e = ERR_INIT;
        TRY(code_obtain(p, name, o, &again, NULL, e));
        r = engine_code_open(engine, again, ret, e);
        close(fd);
        fd = take_fd(&again);
    }
    if (r >= 0 && ret_fd)
        *ret_fd = take_fd(&fd);
    return r;
}

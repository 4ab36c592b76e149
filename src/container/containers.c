/* SPDX-License-Identifier: Apache-2.0 */
/* All workers of a supervisor, and telling it what happened. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "container/folder.h"
#include "container/worker.h"

/* ---- Telling ---- */

void containers_check(struct containers *s)
{
    loop_timer_set(s->due_timer, clock_monotonic_ns());
}

void containers_due(struct container *c)
{
    if (!container_is_due(c))
        return;
    link_append(&c->set->due, &c->in_due);
    containers_check(c->set);
}

/* Those that are due now; what they cause is due in the next round, so that others get theirs. */
static void due_tell(struct containers *s)
{
    struct link batch;
    struct container *c;

    link_init(&batch);
    while ((c = LINK_FIRST(&s->due, struct container, in_due)))
        link_append(&batch, &c->in_due);
    while ((c = LINK_FIRST(&batch, struct container, in_due))) {
        link_remove(&c->in_due);
        /* Its callback may free it, so what else is due is seen to before that. */
        if (c->is_start_due + c->is_measure_due + c->is_end_due > 1)
            containers_due(c);
        container_tell(c);
    }
}

/* Workers that are gone and have nothing left that somebody could ask for. */
static void workers_sweep(struct containers *s)
{
    struct worker *w;

    if (s->adopt_failed.code)
        return;
    LINK_EACH(w, &s->workers, struct worker, in_set)
    {
        if (w->state != WORKER_NONE || w->is_unseen || !link_is_empty(&w->containers) ||
            (w->was_found && !s->is_settled && strv_contains(&s->had_worker, w->tenant)))
            continue;
        folder_remove(s->run_fd, w->tenant, w->dir_fd);
        worker_free(w);
    }
}

static bool is_adopting(const struct containers *s)
{
    struct worker *w;

    LINK_EACH(w, &s->workers, struct worker, in_set)
    if (w->is_adopting)
        return true;
    return false;
}

size_t containers_workers(const struct containers *s)
{
    struct worker *w;
    size_t n = 0;

    LINK_EACH(w, &s->workers, struct worker, in_set)
    n += w->state != WORKER_NONE;
    return n;
}

void containers_each_worker(const struct containers *s,
                            void (*each)(void *ctx, const char *tenant, pid_t pid, size_t guests),
                            void *ctx)
{
    struct worker *w;

    LINK_EACH(w, &s->workers, struct worker, in_set)
    if (w->state != WORKER_NONE)
        each(ctx, w->tenant, w->pid, w->n_active);
}

static void due_fired(void *ctx)
{
    struct containers *s = ctx;
    void (*done)(void *ctx);

    due_tell(s);
    if (!link_is_empty(&s->due)) {
        containers_check(s);
        return;
    }
    workers_sweep(s);
    if (s->adopted && (s->adopt_failed.code || !is_adopting(s))) {
        void (*adopted)(void *of, const struct err *failed) = take_ptr(s->adopted);

        s->is_adopted = !s->adopt_failed.code;
        adopted(s->adopted_ctx, s->is_adopted ? NULL : &s->adopt_failed);
    }
    if (s->shut && !containers_workers(s)) {
        done = take_ptr(s->shut);
        done(s->shut_ctx);
    }
}

/* ---- The set ---- */

static int locked(int lock_fd, const char *run_dir, struct err *e)
{
    autobuf text = BUF_INIT;
    struct err ignored = ERR_INIT;
    long pid = fd_read_all(lock_fd, 32, &text, &ignored) < 0 ? 0 : strtol(buf_str(&text), NULL, 10);

    if (pid <= 0)
        return err_set(e, -EAGAIN, "RunFolder", "another supervisor has the run folder '%.300s'",
                       run_dir);
    return err_set(e, -EAGAIN, "RunFolder",
                   "another supervisor, the process %ld, has the run folder '%.300s'; stop it, or "
                   "name another run folder",
                   pid, run_dir);
}

/* Two supervisors over one folder would each take the other's guests for nobody's. */
static int run_lock(const char *run_dir, int run_fd, int *ret_fd, struct err *e)
{
    autofd made = openat(run_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int fd = made < 0 ? -errno : file_try_lock_at(run_fd, ".lock"), len;

    if (fd == -EAGAIN)
        return locked(made, run_dir, e);
    if (fd < 0)
        return err_errno(e, fd, "RunFolder", "cannot lock the run folder '%s'", run_dir);
    /* For the message above only. */
    len = dprintf(fd, "%d\n", (int)getpid());
    if (len > 0)
        (void)!ftruncate(fd, len);
    *ret_fd = fd;
    return 0;
}

int containers_open(const struct containers_options *o, struct containers **ret, struct err *e)
{
    autofd run_fd = -EBADF, lock_fd = -EBADF;
    struct containers *s;

    if (o->run_dir[0] != '/')
        return err_set(e, -EINVAL, "RunFolder", "the run folder '%s' is no absolute path",
                       o->run_dir);
    if (path_open_private(o->run_dir, &run_fd, e) < 0) {
        e->reason = "RunFolder";
        return e->code;
    }
    TRY(run_lock(o->run_dir, run_fd, &lock_fd, e));
    s = xcalloc(1, sizeof(*s));
    s->o = *o;
    s->o.run_dir = xstrdup(o->run_dir);
    s->o.worker = xstrdup(o->worker);
    s->o.cache_dir = o->cache_dir ? xstrdup(o->cache_dir) : NULL;
    s->run_fd = take_fd(&run_fd);
    s->lock_fd = take_fd(&lock_fd);
    s->due_timer = loop_timer_new(o->loop, due_fired, s);
    link_init(&s->workers);
    link_init(&s->due);
    *ret = s;
    return 0;
}

static void string_free(const char *s)
{
    free((char *)(uintptr_t)s);
}

void containers_close(struct containers *s)
{
    struct worker *w;

    BUG_ON(s->n_claimed);
    while ((w = LINK_FIRST(&s->workers, struct worker, in_set)))
        worker_free(w);
    loop_timer_free(s->due_timer);
    close(s->run_fd);
    close(s->lock_fd);
    strv_done(&s->had_worker);
    string_free(s->o.run_dir);
    string_free(s->o.worker);
    string_free(s->o.cache_dir);
    free(s);
}

/* ---- What there was ---- */

/* Holds the id of the boot, since what was written before a power cut may be there in part. */
#define SETTLED_NAME ".settled"
#define BOOT_ID_SIZE 64u

static void settled_read(struct containers *s)
{
    autobuf boot = BUF_INIT, noted = BUF_INIT;
    struct err e = ERR_INIT;

    s->was_settled = boot_id_read(&boot, &e) == 0 &&
                     file_read_at(s->run_fd, SETTLED_NAME, BOOT_ID_SIZE, &noted, &e) == 0 &&
                     str_eq(buf_str(&boot), buf_str(&noted));
}

static void settled_write(struct containers *s)
{
    autobuf boot = BUF_INIT;
    struct err e = ERR_INIT;

    s->is_settled = true;
    /* Without it more counts as lost after the next start, and nothing runs twice. */
    if (!s->was_settled && !s->is_loss_unnoted && boot_id_read(&boot, &e) == 0)
        file_write_at(s->run_fd, SETTLED_NAME, boot.data, boot.len, 0600, 0, &e);
}

void containers_unsettle(struct containers *s)
{
    s->is_loss_unnoted = true;
    unlinkat(s->run_fd, SETTLED_NAME, 0);
}

bool containers_had_worker(const struct containers *s, const char *tenant)
{
    return !s->was_settled || strv_contains(&s->had_worker, tenant);
}

/* ---- Adoption ---- */

void containers_adopt_failed(struct containers *s, const char *tenant, const struct err *e)
{
    if (tenant && !is_shortage(e->code)) {
        if (s->o.told)
            s->o.told(s->o.ctx, tenant, e->msg);
        return;
    }
    if (s->adopted && !s->adopt_failed.code)
        err_set(&s->adopt_failed, e->code, "RunFolder",
                "cannot find out what of %s%.60s runs: %s; once that is mended, start again",
                tenant ? "the tenant " : "all tenants", tenant ? tenant : "", e->msg);
    containers_check(s);
}

static bool folder_adopt(void *ctx, const char *tenant)
{
    struct containers *s = ctx;
    char *noted = process_note_tenant(tenant);
    struct worker *w;
    struct stat st;
    struct err e = ERR_INIT;

    if (noted)
        strv_add_owned(&s->had_worker, noted);
    if (!folder_name_is_valid(tenant) || fstatat(s->run_fd, tenant, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISDIR(st.st_mode))
        return true;
    if (worker_new(s, tenant, &w, &e) < 0)
        containers_adopt_failed(s, tenant, &e);
    else
        worker_adopt(w);
    return !s->adopt_failed.code;
}

void containers_adopt(struct containers *s, void (*done)(void *ctx, const struct err *failed),
                      void *ctx)
{
    struct err e = ERR_INIT;

    BUG_ON(s->is_adopted || s->adopted || s->adopt_failed.code);
    s->adopted = done;
    s->adopted_ctx = ctx;
    file_temps_remove(s->run_fd);
    settled_read(s);
    if (folder_each(s->run_fd, folder_adopt, s, &e) < 0)
        containers_adopt_failed(s, NULL, &e);
    containers_check(s);
}

size_t containers_end_unclaimed(struct containers *s)
{
    struct worker *w;
    struct container *c;
    size_t n = 0;

    LINK_EACH(w, &s->workers, struct worker, in_set)
    {
        LINK_EACH(c, &w->containers, struct container, in_worker)
        {
            n += !c->is_claimed && !c->is_orphan;
            container_disown(c);
        }
        worker_kick(w);
    }
    settled_write(s);
    containers_check(s);
    return n;
}

void containers_shut_down(struct containers *s, void (*done)(void *ctx), void *ctx)
{
    struct worker *w;
    struct container *c;
    struct err e = ERR_INIT;

    BUG_ON(s->shut);
    s->is_shutting_down = true;
    s->shut = done;
    s->shut_ctx = ctx;
    err_set(&e, -ESHUTDOWN, CONTAINER_REASON_SHUT_DOWN, "the workers are being shut down");
    LINK_EACH(w, &s->workers, struct worker, in_set)
    {
        while ((c = LINK_FIRST(&w->starts, struct container, in_starts)))
            container_set_refused(c, &e);
        worker_leave(w);
    }
    containers_check(s);
}

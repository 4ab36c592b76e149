/* SPDX-License-Identifier: Apache-2.0 */
/* How there comes to be a worker: started here, or by an earlier supervisor. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "container/folder.h"
#include "container/worker.h"

static void connection_ready(void *ctx, unsigned events)
{
    struct worker *w = ctx;
    struct err e = ERR_INIT;
    unsigned connection = w->n_connected;
    int r = events & LOOP_READABLE ? worker_read(w, &e) : 0;

    /* What came may have ended this worker, and another one may be there already. */
    if (r && w->n_connected == connection)
        worker_broken(w, r < 0 ? &e : NULL);
    worker_kick(w);
}

int worker_connect(struct worker *w, struct err *e)
{
    int fd;

    TRY(folder_connect(w->dir_fd, &fd, e));
    channel_init(&w->channel, fd);
    if (loop_watch_new(w->set->o.loop, fd, connection_ready, w, &w->watch, e) < 0) {
        channel_done(&w->channel);
        return e->code;
    }
    loop_watch_set(w->watch, LOOP_READABLE);
    w->n_connected++;
    return 0;
}

/* ---- Started here ---- */

static void child_ended(void *ctx, int status)
{
    struct worker *w = ctx;
    char how[64];

    if (WIFSIGNALED(status))
        snprintf(how, sizeof(how), "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
    /* It was quicker than the signal. */
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        w->kill_reason = NULL;
    worker_died(w, how);
}

/* Losses that could not be written down before: with a new worker in the folder the next
 * supervisor would take those guests for ones that never were there. */
static int losses_write(struct worker *w, struct err *e)
{
    struct container *c;

    LINK_EACH(c, &w->containers, struct container, in_worker)
    {
        if (!c->is_unrecorded)
            continue;
        if (record_write(w->dir_fd, &c->status, e) < 0)
            return err_prefix(e, "cannot note that '%.100s' was lost", c->id);
        c->is_unrecorded = false;
    }
    return 0;
}

static int child_start(struct worker *w, int listen_fd, int log_fd, struct err *e)
{
    const struct containers_options *o = &w->set->o;
    const char *argv[] = {o->worker, "--listen-fd", "3", "--dir-fd", "4", NULL, NULL, NULL};
    const char *const env[] = {NULL};
    const struct loop_child_fd fds[] = {
        {log_fd,    1                },
        {log_fd,    2                },
        {listen_fd, PROCESS_LISTEN_FD},
        {w->dir_fd, PROCESS_DIR_FD   },
    };
    struct loop_child_options child = {.argv = argv,
                                       .env = env,
                                       .fds = fds,
                                       .n_fds = ARRAY_SIZE(fds),
                                       .is_detached = true,
                                       .ended = child_ended,
                                       .ctx = w};

    if (o->cache_dir) {
        argv[5] = "--cache-dir";
        argv[6] = o->cache_dir;
    }
    return loop_child_start(o->loop, &child, &w->child, e);
}

/* Once the process runs: what it takes to find it again and to speak to it. */
static int child_know(struct worker *w, struct err *e)
{
    w->pid = loop_child_pid(w->child);
    w->pid_fd = process_open(w->pid);
    if (w->pid_fd < 0)
        return err_errno(e, w->pid_fd, CONTAINER_REASON_WORKER, "cannot watch the worker");
    TRY(process_note(w->set->run_fd, w->tenant, w->pid, e));
    return worker_connect(w, e);
}

static void child_discard(struct worker *w)
{
    loop_child_kill(w->child, SIGKILL);
    loop_child_free(take_ptr(w->child));
    channel_done(&w->channel);
    if (w->pid_fd >= 0)
        close(take_fd(&w->pid_fd));
    process_note_remove(w->set->run_fd, w->tenant);
    w->pid = 0;
}

/* That nobody should be there any more does not mean that nobody is: a second worker could run
 * again what the first one runs. */
static int absence_check(struct worker *w, struct err *e)
{
    pid_t pid;
    autofd pid_fd = process_find(w->set->run_fd, w->tenant, w->dir_fd, &pid);
    autofd fd = -EBADF;
    int r;

    if (pid_fd >= 0) {
        process_kill(pid_fd);
        return err_set(e, -EBUSY, CONTAINER_REASON_WORKER,
                       "an earlier one still runs (process %d) and is being killed", (int)pid);
    }
    if (pid_fd != -ESRCH)
        return err_errno(e, pid_fd, CONTAINER_REASON_WORKER, "cannot look for an earlier one");
    if (!w->is_unseen)
        return 0;
    r = folder_connect(w->dir_fd, &fd, e);
    if (r != -ECONNREFUSED && r != -ENOENT)
        return err_set(e, -EBUSY, CONTAINER_REASON_WORKER,
                       "a process that nobody knows has the socket of '%s/%s'; end that first",
                       w->set->o.run_dir, w->tenant);
    w->is_unseen = false;
    return 0;
}

static int launch(struct worker *w, struct err *e)
{
    autofd listen_fd = -EBADF, log_fd = -EBADF;
    struct stat st;
    int dir_fd;

    /* It may have been removed since, as by a cleaner of temporary files. */
    TRY(folder_open(w->set->o.run_dir, w->tenant, &dir_fd, e));
    close(w->dir_fd);
    w->dir_fd = dir_fd;
    TRY(absence_check(w, e));
    TRY(losses_write(w, e));
    TRY(folder_log_open(w->dir_fd, &log_fd, e));
    folder_log_cut(log_fd);
    w->log_from = fstat(log_fd, &st) < 0 ? 0 : st.st_size;
    TRY(folder_listen(w->dir_fd, &listen_fd, e));
    /* Of the last process: what is found after this is of the next one. */
    process_note_remove(w->set->run_fd, w->tenant);
    unlinkat(w->dir_fd, "worker.json", 0);
    TRY(child_start(w, listen_fd, log_fd, e));
    if (child_know(w, e) < 0) {
        child_discard(w);
        return e->code;
    }
    w->log_fd = take_fd(&log_fd);
    return 0;
}

int worker_launch(struct worker *w, struct err *e)
{
    BUG_ON(w->state != WORKER_NONE);
    if (launch(w, e) < 0) {
        struct err cause = *e;

        return err_set(e, cause.code, CONTAINER_REASON_WORKER,
                       "the worker of '%.100s' cannot be started: %s", w->tenant, cause.msg);
    }
    worker_greet(w, CONTAINER_START_WAIT_MS);
    worker_tell(w, "a worker was started (process %d)", (int)w->pid);
    return 0;
}

/* ---- Adopted ---- */

static void process_ended(void *ctx, unsigned events)
{
    (void)events;
    worker_died(ctx, "ended");
}

int worker_watch_process(struct worker *w, struct err *e)
{
    TRY(loop_watch_new(w->set->o.loop, w->pid_fd, process_ended, w, &w->pid_watch, e));
    loop_watch_set(w->pid_watch, LOOP_READABLE);
    return 0;
}

int worker_record_know(struct worker *w, const char *id, struct container **ret, struct err *e)
{
    struct guest_status status;

    TRY(record_read(w->dir_fd, id, &status, e));
    *ret = container_known(w, id, CONTAINER_RUNNING);
    container_set_ended(*ret, &status);
    return 0;
}

static bool record_known(void *ctx, const char *id)
{
    struct worker *w = ctx;
    struct container *c;
    struct err e = ERR_INIT;

    if (container_find(w, id))
        return true;
    if (w->ids.n >= WORKER_GUEST_LIMIT + WORKER_RECORD_LIMIT) {
        worker_tell(w,
                    "there are more records of ends than %u: the rest is read when it is claimed",
                    WORKER_RECORD_LIMIT);
        return false;
    }
    if (worker_record_know(w, id, &c, &e) < 0 && e.code != -ENOENT)
        containers_adopt_failed(w->set, w->tenant, &e);
    return true;
}

void worker_records_read(struct worker *w)
{
    struct err e = ERR_INIT;

    if (record_each(w->dir_fd, record_known, w, &e) < 0)
        containers_adopt_failed(w->set, w->tenant, &e);
}

/* Nobody listens there, or nobody can tell who does. */
static void adopt_without(struct worker *w, int why)
{
    w->is_adopting = false;
    w->is_unseen = why != -ECONNREFUSED && why != -ENOENT;
    worker_records_read(w);
}

void worker_adopt(struct worker *w)
{
    struct err e = ERR_INIT;
    int r;

    w->is_adopting = w->was_found = true;
    file_temps_remove(w->dir_fd);
    w->pid_fd = process_find(w->set->run_fd, w->tenant, w->dir_fd, &w->pid);
    if (w->pid_fd < 0 && w->pid_fd != -ESRCH)
        err_errno(&e, w->pid_fd, "RunFolder", "cannot look for its worker");
    r = e.code ? e.code : worker_connect(w, &e);
    if (is_shortage(r)) {
        w->is_adopting = false;
        w->is_unseen = true;
        containers_adopt_failed(w->set, w->tenant, &e);
        return;
    }
    if (r < 0) {
        if (w->pid_fd >= 0)
            worker_kill(w, "nobody can connect to it");
        else
            adopt_without(w, r);
        return;
    }
    folder_log_open(w->dir_fd, &w->log_fd, &e);
    worker_greet(w, CONTAINER_HELLO_WAIT_MS);
    if (w->pid_fd >= 0 && worker_watch_process(w, &e) < 0)
        worker_kill(w, "it cannot be watched");
}

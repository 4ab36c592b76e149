/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A native container in a folder of its own, whose commands a test runs one by one. */
#include "unit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/native/native.h"

struct native_world {
    struct loop *l;
    struct native *n;
    char *dir, *run_dir, *root, *bundle; /* below dir */
    /* What the last command has told. */
    int n_told;
    struct err e;
    pid_t pid;
    int console;
    char status[32];
    /* What has ended: by the letter of the exec, 'i' for the init. */
    char ended[256];
    int ends, statuses[256];
    bool stops_at_end;
    int n_fds; /* open in this process before all */
};

static void world_ended(void *ctx, const char *exec_id, int status)
{
    struct native_world *w = ctx;
    w->ended[w->ends] = exec_id ? exec_id[0] : 'i';
    w->statuses[w->ends++] = status;
    if (w->stops_at_end)
        loop_stop(w->l);
}

static void world_told(void *ctx, const struct err *e)
{
    struct native_world *w = ctx;
    w->n_told++;
    w->e = *e;
    loop_stop(w->l);
}

static void world_started(void *ctx, const struct err *e, pid_t pid, int console)
{
    struct native_world *w = ctx;
    w->pid = pid;
    w->console = console;
    world_told(w, e);
}

static inline void world_state_told(void *ctx, const struct err *e, const char *status, pid_t pid)
{
    struct native_world *w = ctx;
    snprintf(w->status, sizeof(w->status), "%s", status ? status : "");
    w->pid = pid;
    world_told(w, e);
}

static inline int world_entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void world_open(struct native_world *w)
{
    struct err e = ERR_INIT;
    /* The first loop with signals leaves something for all later ones. */
    assert_ok(loop_open(&w->l, &e));
    assert_ok(loop_reap_orphans(w->l, &e));
    loop_free(w->l);
    *w = (struct native_world){
        .dir = unit_temp_dir(), .console = -EBADF, .n_fds = world_entries("/proc/self/fd")};
    w->run_dir = path_join(w->dir, "run");
    w->root = path_join(w->dir, "root");
    w->bundle = path_join(w->dir, "bundle");
    assert_ok(path_mkdir_p(w->bundle, 0700, &e));
    assert_ok(loop_open(&w->l, &e));
    assert_ok(loop_reap_orphans(w->l, &e));
}

static void world_new(struct native_world *w, const char *runtime, uint64_t limit_ms)
{
    struct err e = ERR_INIT;
    struct native_options o = {.loop = w->l,
                               .runtime = runtime,
                               .root = w->root,
                               .run_dir = w->run_dir,
                               .limit_ms = limit_ms,
                               .ended = world_ended,
                               .ctx = w};
    assert_ok(native_new(&o, "box", w->bundle, &w->n, &e));
}

static bool world_has_children(void)
{
    siginfo_t info;
    return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
}

static void world_look(void *ctx)
{
    struct native_world *w = ctx;
    if (!world_has_children())
        loop_stop(w->l);
}

/* A later round than that in which the loop has reaped. */
static void world_child_ended(void *ctx)
{
    struct native_world *w = ctx;
    loop_defer(w->l, world_look, w);
}

/* Runs the loop until there is no child any more, reaped or not. */
static void world_settle(struct native_world *w)
{
    struct err e = ERR_INIT;
    AUTO(loop_signal) signal = NULL;
    assert_ok(loop_signal_new(w->l, SIGCHLD, world_child_ended, w, &signal, &e));
    alarm(30); /* a child that was left would be waited for */
    loop_defer(w->l, world_look, w);
    loop_run(w->l);
    alarm(0);
    assert_false(world_has_children());
}

/* Nothing may be left: of the commands' files, of descriptors, and of children, which are reaped by
 * the loop. */
static void world_close(struct native_world *w)
{
    native_free(w->n);
    world_settle(w);
    assert_int_equal(world_entries(w->run_dir), 0);
    loop_free(w->l);
    assert_int_equal(world_entries("/proc/self/fd"), w->n_fds);
    free(w->run_dir);
    free(w->root);
    free(w->bundle);
    unit_remove(w->dir);
}

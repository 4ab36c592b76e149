/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/guest/guest_process.h"
#include "container/guest/program.h"

/*
 * For tests of a guest's process: one from its creation to its end, with what it wrote.
 */
static struct loop *loop;
static char *place, *worker;

struct program {
    const char *name;
    int fd, code_fd;
};

static struct program inside = {"inside.wasm", -1, -1}, http = {"http/probe.wasm", -1, -1};

/* ---- One process ---- */

struct life {
    struct oci_config config;
    struct oci_process exec; /* of an exec */
    struct guest_mounts *mounts;
    struct guest_process *process;
    struct err failed; /* of create or start */
    bool is_held;      /* stays created */
    void (*at_start)(struct life *l);
    bool has_ended;
    int status, out; /* `out`: what the guest prints to */
    pid_t pid;
    char text[8192];
};

static void life_ended(void *ctx, int status)
{
    struct life *l = ctx;

    l->has_ended = true;
    l->status = status;
    loop_stop(loop);
}

static void life_started(void *ctx, const struct err *e)
{
    struct life *l = ctx;

    if (e)
        l->failed = *e;
    else if (l->at_start)
        l->at_start(l);
}

static void life_created(void *ctx, const struct err *e, pid_t pid)
{
    struct life *l = ctx;

    l->pid = pid;
    if (e)
        l->failed = *e;
    if (e || l->is_held)
        loop_stop(loop);
    else
        guest_process_start(l->process, life_started, l);
}

#define CONFIG(process, rest)                                                                      \
    "{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"rootfs\"},"                                    \
    "\"process\":{\"cwd\":\"/work\",\"env\":[\"A=b\"]," process "}" rest "}"
#define ROOT_USER "\"user\":{\"uid\":0,\"gid\":0},"

static void life_decode(struct life *l, const char *json)
{
    autofd bundle = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd root = openat(bundle, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct err e = ERR_INIT;

    *l = (struct life){.out = -1};
    assert_ok(oci_config_decode(json, strlen(json), &l->config, &e));
    assert_ok(guest_mounts_open(&l->config, root, bundle, &l->mounts, &e));
}

static struct guest_process_options life_options(struct life *l)
{
    return (struct guest_process_options){
        .loop = loop,
        .worker = worker,
        .id = "test",
        .config = &l->config,
        .mounts = l->mounts,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .program_fd = inside.fd,
        .program = "inside",
        .code_fd = inside.code_fd,
        .contract = CONTRACT_P1_COMMAND,
        .ended = life_ended,
        .ctx = l,
    };
}

/* Creates it, starts it unless it is held, and waits for the one or the end. */
static void life_run(struct life *l, struct guest_process_options *o)
{
    struct err e = ERR_INIT;
    int out[2] = {-EBADF, -EBADF};

    if (o->stdout_fd < 0) {
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        o->stdout_fd = o->stderr_fd = out[1];
        l->out = out[0];
    }
    if (guest_process_new(o, &l->process, &e) < 0)
        fail_msg("%s", e.msg);
    guest_process_create(l->process, life_created, l);
    loop_run(loop);
    if (l->out < 0)
        return;
    close(out[1]);
}

static void text_read(struct life *l)
{
    ssize_t n;
    size_t len = 0;

    while ((n = read(l->out, l->text + len, sizeof(l->text) - 1 - len)) > 0)
        len += (size_t)n;
    l->text[len] = '\0';
}

static void life_free(struct life *l)
{
    if (l->process)
        guest_process_free(l->process);
    guest_mounts_free(l->mounts);
    oci_config_done(&l->config);
    if (l->out >= 0)
        close(l->out);
}

/* Runs it to its end. */
static void live(struct life *l, const char *json)
{
    struct guest_process_options o;

    life_decode(l, json);
    o = life_options(l);
    life_run(l, &o);
    if (l->failed.code)
        fail_msg("%s", l->failed.msg);
    /* The process has ended, and with it the last writer but ours. */
    guest_process_free(take_ptr(l->process));
    text_read(l);
}

static int exit_of(const struct life *l)
{
    return WIFEXITED(l->status) ? WEXITSTATUS(l->status) : 1000 + WTERMSIG(l->status);
}

/* A line of /proc/PID/status. */
static void proc_line(pid_t pid, const char *name, char ret[static 256])
{
    autofree char *path = xasprintf("/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    while (fgets(ret, 256, f))
        if (str_starts(ret, name)) {
            fclose(f);
            return;
        }
    fail_msg("%s has no %s", path, name);
}

static void proc_text(pid_t pid, const char *name, struct buf *ret)
{
    autofree char *path = xasprintf("/proc/%d/%s", (int)pid, name);
    struct err e = ERR_INIT;

    assert_ok(file_read(path, 65536, ret, &e));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `wherry cp`: an archive from one tar to another, as kubectl has it. In the pod it is the tar of
 * the tools that every pod has; on this side it is this machine's, which has to be GNU's for what
 * it is told about names.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/exec_session.h"
#include "cli/pods.h"

struct copy {
    struct agent_client *client;
    const struct copy_options *o;
    const char *pod, *remote; /* of POD:PATH */
    const char *local;
    bool is_upload;
};

/* "POD:PATH"; a path that begins with '/' or '.' is a local one. */
static bool remote_split(const char *text, char **ret_pod, char **ret_path)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text || text[0] == '/' || text[0] == '.')
        return false;
    *ret_pod = xstrndup(text, (size_t)(colon - text));
    *ret_path = xstrdup(colon + 1);
    return true;
}

/* Where `path` lies and what it is called there. */
static int path_split(const char *path, char **ret_dir, char **ret_name, struct err *e)
{
    autofree char *plain = xstrdup(path);
    size_t len = strlen(plain);

    while (len > 1 && plain[len - 1] == '/')
        plain[--len] = 0;
    if (!len || str_eq(path_base(plain), "") || str_eq(path_base(plain), ".") ||
        str_eq(path_base(plain), "..")) {
        err_set(e, -EINVAL, "BadUsage",
                "'%.200s' names no file or folder by its name: write it out", path);
        return -EINVAL;
    }
    *ret_dir = path_dir(plain);
    *ret_name = xstrdup(path_base(plain));
    return 0;
}

/* For tar's --transform: the first part of every name, from `name` to `as`. */
static char *transform_format(const char *name, const char *as)
{
    autobuf out = BUF_INIT;

    buf_addstr(&out, "--transform=flags=rh;s/^");
    for (; *name; name++)
        buf_addf(&out, strchr("\\/.*[]^$", *name) ? "\\%c" : "%c", *name);
    buf_addstr(&out, "\\(\\/\\|$\\)/");
    for (; *as; as++)
        buf_addf(&out, strchr("\\/&", *as) ? "\\%c" : "%c", *as);
    buf_addstr(&out, "\\1/");
    return buf_take(&out);
}

/* ---- The two tars ---- */

static int tar_start(const char *const *argv, int fd, int as, pid_t *ret, struct err *e)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t pipe_signal;
    int r;

    /* The loop has made this process ignore it, and tar is to end by it. */
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &pipe_signal);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, as);
    r = posix_spawnp(ret, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return r ? err_errno(e, -r, "ExecFailed",
                         "cannot run this machine's tar, which 'wherry cp' needs")
             : 0;
}

/* The exit status of a command in the pod. */
static int remote_run(struct copy *c, const char *const *command, int in_fd, int out_fd,
                      int64_t *ret_status, struct err *e)
{
    struct exec_session x = {
        .space = agent_space(c->o->common.space),
        .pod = pods_name(c->pod),
        .container = c->o->container,
        .command = command,
        .in_fd = in_fd,
        .out_fd = out_fd,
        .err_fd = STDERR_FILENO,
    };
    struct channel_status s = {0};

    TRY(exec_session_run(c->client, &x, &s, e));
    if (s.is_exit)
        *ret_status = s.exit_code;
    else
        err_set(e, -EIO, "CopyFailed", "%s", s.message ? s.message : "the pod's tar did not start");
    channel_status_done(&s);
    return e->code;
}

/* Both to their ends; the archive goes through a pipe. */
static int tars_run(struct copy *c, const char *const *local, const char *const *remote,
                    struct err *e)
{
    const int local_end = c->is_upload ? 1 : 0;
    int fds[2], r, local_status;
    int64_t remote_status = 0;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "CopyFailed", "cannot make a pipe");
    r = tar_start(local, fds[local_end], c->is_upload ? STDOUT_FILENO : STDIN_FILENO, &pid, e);
    close(fds[local_end]);
    if (r >= 0) {
        r = remote_run(c, remote, c->is_upload ? fds[0] : -1, c->is_upload ? STDERR_FILENO : fds[1],
                       &remote_status, e);
        close(fds[!local_end]);
        local_status = child_wait_exit(pid);
    } else {
        close(fds[!local_end]);
        return r;
    }
    if (r < 0 && !str_eq(e->reason, "OutputClosed"))
        return r;
    if (r >= 0 && remote_status)
        return err_set(e, -EIO, "CopyFailed", "tar in the pod ended with status %d",
                       (int)remote_status);
    if (local_status || r < 0)
        return err_set(e, -EIO, "CopyFailed", "this machine's tar ended with status %d",
                       local_status);
    return 0;
}

/* ---- Both directions ---- */

static int upload(struct copy *c, struct err *e)
{
    const char *const test[] = {"test", "-d", c->remote, NULL};
    autofree char *dir = NULL, *name = NULL, *to = NULL, *as = NULL, *transform = NULL;
    int64_t is_no_folder = 1;

    TRY(path_split(c->local, &dir, &name, e));
    TRY(remote_run(c, test, -1, STDERR_FILENO, &is_no_folder, e));
    if (!is_no_folder) {
        to = xstrdup(c->remote);
        as = xstrdup(name);
    } else {
        TRY(path_split(c->remote, &to, &as, e));
    }
    transform = transform_format(name, as);
    return tars_run(c, (const char *[]){"tar", "-cf", "-", transform, "-C", dir, "--", name, NULL},
                    (const char *[]){"tar", "-xf", "-", "-C", to, NULL}, e);
}

static int download(struct copy *c, struct err *e)
{
    autofree char *dir = NULL, *name = NULL, *to = NULL, *as = NULL, *transform = NULL;
    struct stat st;

    TRY(path_split(c->remote, &dir, &name, e));
    if (stat(c->local, &st) == 0 && S_ISDIR(st.st_mode)) {
        to = xstrdup(c->local);
        as = xstrdup(name);
    } else {
        TRY(path_split(c->local, &to, &as, e));
    }
    transform = transform_format(name, as);
    /* Only what was asked for is taken from what comes, whatever that is. */
    return tars_run(c,
                    (const char *[]){"tar", "-xf", "-", "--no-same-owner", transform, "-C", to,
                                     "--", name, NULL},
                    (const char *[]){"tar", "-cf", "-", "-C", dir, name, NULL}, e);
}

static int copy(const struct copy_options *o, const struct strv *operands, struct err *e)
{
    AUTO(agent_client) client = NULL;
    autofree char *pod = NULL, *path = NULL, *other_pod = NULL, *other_path = NULL;
    struct copy c = {.o = o};
    bool is_upload = remote_split(operands->v[1], &pod, &path);
    bool is_download = remote_split(operands->v[0], &other_pod, &other_path);

    if (is_upload == is_download)
        return err_set(e, -EINVAL, "BadUsage",
                       "one of the two is POD:PATH and the other a local path%s",
                       is_upload ? ": from one pod to another it goes by way of a local one"
                                 : "; a local one with a ':' in it begins with './' or '/'");
    c.is_upload = is_upload;
    c.pod = is_upload ? pod : other_pod;
    c.remote = is_upload ? path : other_path;
    c.local = operands->v[!is_upload];
    TRY(agent_client_open(o->common.socket, &client, e));
    c.client = client;
    return c.is_upload ? upload(&c, e) : download(&c, e);
}

int pods_copy(int argc, char *const *argv)
{
    struct copy_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_cp, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = copy(&o, &operands, &e) < 0 ? cli_fail("cp", &e, GUEST_EXIT_WHERRY) : 0;
    options_done(&command_cp, &o);
    return status;
}

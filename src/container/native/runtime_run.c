/* SPDX-License-Identifier: Apache-2.0 */
#include "container/native/runtime_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/json_value.h"
#include "base/paths.h"
#include "base/text.h"

struct runtime_run {
    struct runtime_run_options o; /* only what is no pointer to others' texts, and `ended`, `ctx` */
    char *verb, *id, *runtime;
    char *folder;
    int folder_fd, listen_fd, output_fds[2]; /* of 1 and 2, when they are read */
    struct loop_child *child;
    struct loop_timer *limit;
    bool is_late;
};

/* ---- The runtime's path ---- */

static char *path_search(const char *name)
{
    const char *const places[] = {getenv("PATH"), "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin"};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        for (const char *at = places[i]; at && *at;) {
            size_t len = strcspn(at, ":");
            autofree char *path = xasprintf("%.*s/%s", (int)len, at, name);

            if (*at == '/' && !access(path, X_OK))
                return take_ptr(path);
            at += len + (at[len] == ':');
        }
    return NULL;
}

int runtime_find(const char *name, char **ret, struct err *e)
{
    char *path;

    if (name && strchr(name, '/'))
        path = access(name, X_OK) ? NULL : xstrdup(name);
    else if (name)
        path = path_search(name);
    else if (!(path = path_search("runc")))
        path = path_search("crun");
    if (!path)
        return name ? err_set(e, -ENOENT, "RuntimeMissing",
                              "there is no OCI runtime '%s'; install it, or name another one", name)
                    : err_set(e, -ENOENT, "RuntimeMissing",
                              "native containers need an OCI runtime; install runc or crun");
    *ret = path;
    return 0;
}

/* ---- Its folder ---- */

static char *file_of(const struct runtime_run *r, const char *name)
{
    return path_join(r->folder, name);
}

static int folder_make(struct runtime_run *r, const char *run_dir, struct err *e)
{
    autofd parent = -EBADF;
    autofree char *folder = path_join(run_dir, "native-XXXXXX");

    TRY(path_open_private(run_dir, &parent, e));
    if (!mkdtemp(folder))
        return err_errno(e, -errno, "CommandFailed", "cannot make a folder in '%s'", run_dir);
    r->folder = take_ptr(folder);
    r->folder_fd = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->folder_fd < 0)
        return err_errno(e, -errno, "CommandFailed", "cannot open the folder '%s'", r->folder);
    return 0;
}

static bool file_remove(void *ctx, const char *name)
{
    unlinkat(*(const int *)ctx, name, 0);
    return true;
}

static void folder_remove(struct runtime_run *r)
{
    if (r->folder_fd >= 0)
        (void)dir_each(r->folder_fd, file_remove, &r->folder_fd);
    if (r->folder)
        rmdir(r->folder);
}

/* ---- What it prints ---- */

/* A file that cannot grow: more than that is refused to the writer, and nobody has to read along.
 */
static int output_open(int *ret, struct err *e)
{
    autofd fd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, RUNTIME_OUTPUT_LIMIT) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_errno(e, -errno, "CommandFailed", "cannot make a file for a runtime's output");
    *ret = take_fd(&fd);
    return 0;
}

static void output_read(int fd, struct buf *ret)
{
    char *at = buf_reserve(ret, RUNTIME_OUTPUT_LIMIT);
    ssize_t n = fd < 0 ? 0 : pread(fd, at, RUNTIME_OUTPUT_LIMIT, 0);

    ret->len += n > 0 ? strnlen(at, (size_t)n) : 0;
    buf_terminate(ret);
}

/* Its end, when it is longer than that. */
static void log_read(const struct runtime_run *r, struct buf *ret)
{
    autofd fd = openat(r->folder_fd, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)RUNTIME_OUTPUT_LIMIT ? size - (off_t)RUNTIME_OUTPUT_LIMIT : 0;
    ssize_t n;

    if (size <= 0)
        return;
    n = pread(fd, buf_reserve(ret, RUNTIME_OUTPUT_LIMIT), RUNTIME_OUTPUT_LIMIT, from);
    ret->len += n > 0 ? (size_t)n : 0;
    buf_terminate(ret);
}

/* Takes the last line that is not empty off the text. */
static char *last_line(struct buf *text)
{
    size_t end = text->len, begin;

    while (end && (text->data[end - 1] == '\n' || text->data[end - 1] == '\r'))
        end--;
    if (!end)
        return NULL;
    for (begin = end; begin && text->data[begin - 1] != '\n'; begin--)
        ;
    text->len = begin;
    return xstrndup(text->data + begin, end - begin);
}

/* The message of the last error in its log. */
static char *log_words(const struct runtime_run *r)
{
    autobuf log = BUF_INIT;
    char *line;

    log_read(r, &log);
    while ((line = last_line(&log))) {
        struct err e = ERR_INIT;
        AUTO(json_value) v = NULL;
        const char *level, *msg;

        (void)json_value_parse(line, strlen(line), (struct json_limits){RUNTIME_OUTPUT_LIMIT, 8},
                               &v, &e);
        level = json_value_str(v, "level");
        msg = json_value_str(v, "msg");
        free(line);
        if (msg && (!level || str_eq(level, "error") || str_eq(level, "fatal")))
            return xstrdup(msg);
    }
    return NULL;
}

static char *words_of(const struct runtime_run *r)
{
    char *words = log_words(r);

    if (!words) {
        autobuf text = BUF_INIT;

        output_read(r->output_fds[1], &text);
        words = last_line(&text);
    }
    if (words)
        text_mute(words, strlen(words), false);
    return words;
}

/* ---- A terminal ---- */

static int console_listen(struct runtime_run *r, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    autofree char *path = file_of(r, "console");
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(e, -ENAMETOOLONG, "CommandFailed",
                       "the path '%s' is too long for a socket; use a shorter folder", path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0)
        return err_errno(e, -errno, "CommandFailed", "cannot listen on '%s'", path);
    r->listen_fd = take_fd(&fd);
    return 0;
}

/* The runtime waits for no answer, so what it sent before it ended is there. */
static int console_receive(const struct runtime_run *r)
{
    autofd fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    char data[4096];
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec part = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    int found = -EBADF;

    if (fd < 0 || recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
        return -EBADF;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
            int got;

            memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
            if (found < 0)
                found = got;
            else
                close(got);
        }
    }
    return found;
}

/* ---- Its end ---- */

/* 0 when it said none. */
static pid_t pid_read(const struct runtime_run *r)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    unsigned long pid;
    char *end;

    if (!r->o.has_pid || file_read_at(r->folder_fd, "pid", 64, &text, &e) < 0)
        return 0;
    pid = strtoul(buf_str(&text), &end, 10);
    return (*end && *end != '\n') || pid > INT32_MAX ? 0 : (pid_t)pid;
}

static int failed(const struct runtime_run *r, int status, struct err *e)
{
    autofree char *words = words_of(r);

    if (r->is_late)
        return err_set(e, -ETIMEDOUT, "RuntimeFailed",
                       "%s %s of the container '%s' was killed: it took more than %llu s%s%s",
                       path_base(r->runtime), r->verb, r->id,
                       (unsigned long long)(r->o.limit_ms / 1000), words ? "; it said: " : "",
                       words ? words : "");
    if (words)
        return err_set(e, -EIO, "RuntimeFailed", "%s %s of the container '%s' failed: %s",
                       path_base(r->runtime), r->verb, r->id, words);
    if (WIFSIGNALED(status))
        return err_set(e, -EIO, "RuntimeFailed",
                       "%s %s of the container '%s' was killed by signal %d", path_base(r->runtime),
                       r->verb, r->id, WTERMSIG(status));
    return err_set(e, -EIO, "RuntimeFailed",
                   "%s %s of the container '%s' ended with status %d and said nothing",
                   path_base(r->runtime), r->verb, r->id, WEXITSTATUS(status));
}

static int check_end(const struct runtime_run *r, int status, const struct runtime_answer *a,
                     struct err *e)
{
    if (status || r->is_late)
        return failed(r, status, e);
    if (r->o.has_pid && a->pid <= 0)
        return err_set(e, -EPROTO, "RuntimeFailed",
                       "%s %s of the container '%s' has named no process", path_base(r->runtime),
                       r->verb, r->id);
    if (r->o.is_terminal && a->console_fd < 0)
        return err_set(e, -EPROTO, "RuntimeFailed",
                       "%s %s of the container '%s' has sent no terminal", path_base(r->runtime),
                       r->verb, r->id);
    return 0;
}

static void child_ended(void *ctx, int status)
{
    struct runtime_run *r = ctx;
    struct err e = ERR_INIT;
    autobuf output = BUF_INIT;
    autofd console = r->o.is_terminal ? console_receive(r) : -EBADF;
    struct runtime_answer a = {pid_read(r), console, NULL};

    loop_timer_clear(r->limit);
    loop_child_free(take_ptr(r->child));
    output_read(r->output_fds[0], &output);
    a.output = buf_str(&output);
    (void)check_end(r, status, &a, &e);
    r->o.ended(r->o.ctx, &e, &a); /* which may free the run */
    console = a.console_fd;
}

/* Its session, which has no other processes than those that belong to the command: what is in a
 * container has left it. */
static void kill_all(const struct runtime_run *r)
{
    kill(-loop_child_pid(r->child), SIGKILL);
}

static void limit_reached(void *ctx)
{
    struct runtime_run *r = ctx;

    r->is_late = true;
    kill_all(r);
}

void runtime_run_free(struct runtime_run *r)
{
    if (!r)
        return;
    if (r->child)
        kill_all(r);
    loop_child_free(r->child);
    loop_timer_free(r->limit);
    folder_remove(r);
    close_cleanup_(&r->folder_fd);
    close_cleanup_(&r->listen_fd);
    close_cleanup_(&r->output_fds[0]);
    close_cleanup_(&r->output_fds[1]);
    free(r->folder);
    free(r->runtime);
    free(r->verb);
    free(r->id);
    free(r);
}
DEFINE_AUTO(runtime_run);

/* ---- Its start ---- */

static void arguments(const struct runtime_run *r, const struct runtime_run_options *o,
                      struct strv *argv)
{
    strv_add(argv, o->runtime);
    strv_add(argv, "--log");
    strv_add_owned(argv, file_of(r, "log"));
    strv_add(argv, "--log-format");
    strv_add(argv, "json");
    strv_add(argv, "--root");
    strv_add(argv, o->root);
    if (o->is_systemd_cgroup)
        strv_add(argv, "--systemd-cgroup");
    strv_add(argv, o->verb);
    if (o->options)
        strv_addv(argv, o->options->v);
    if (o->has_pid) {
        strv_add(argv, "--pid-file");
        strv_add_owned(argv, file_of(r, "pid"));
    }
    if (o->is_terminal) {
        strv_add(argv, "--console-socket");
        strv_add_owned(argv, file_of(r, "console"));
    }
    if (o->input_option) {
        strv_add(argv, o->input_option);
        strv_add_owned(argv, file_of(r, "input"));
    }
    strv_add(argv, o->id);
    if (o->operand && *o->operand)
        strv_add(argv, o->operand);
}

/* This process's, without what a runtime would pass on: its manager's socket and descriptors. */
static void environment(struct strv *env)
{
    for (char **at = environ; at && *at; at++)
        if (!str_starts(*at, "NOTIFY_SOCKET=") && !str_starts(*at, "LISTEN_FDS=") &&
            !str_starts(*at, "LISTEN_PID=") && !str_starts(*at, "LISTEN_FDNAMES="))
            strv_add(env, *at);
}

static int files_prepare(struct runtime_run *r, const struct runtime_run_options *o, struct err *e)
{
    TRY(folder_make(r, o->run_dir, e));
    if (o->is_terminal)
        TRY(console_listen(r, e));
    if (o->input_option)
        TRY(file_write_at(r->folder_fd, "input", o->input->data, o->input->len, 0600, 0, e));
    if (!o->fds)
        for (int i = 0; i < 2; i++)
            TRY(output_open(&r->output_fds[i], e));
    return 0;
}

static int child_start(struct runtime_run *r, const struct runtime_run_options *o, struct err *e)
{
    autostrv argv = STRV_INIT;
    autostrv env = STRV_INIT;
    struct loop_child_fd fds[3];
    size_t n = 0;
    int result;

    arguments(r, o, &argv);
    environment(&env);
    for (int i = 0; i < 3; i++) {
        int fd = o->fds ? o->fds[i] : i ? r->output_fds[i - 1] : -EBADF;

        if (fd >= 0)
            fds[n++] = (struct loop_child_fd){fd, i};
    }
    result = loop_child_start(o->loop,
                              &(struct loop_child_options){.program = o->runtime,
                                                           .argv = strv_array(&argv),
                                                           .env = strv_array(&env),
                                                           .fds = fds,
                                                           .n_fds = n,
                                                           .is_detached = true,
                                                           .ended = child_ended,
                                                           .ctx = r},
                              &r->child, e);
    if (result == -ENOENT)
        return err_set(e, -ENOENT, "RuntimeMissing",
                       "the OCI runtime '%s' is not there any more; install it again", o->runtime);
    return result;
}

int runtime_run_start(const struct runtime_run_options *o, struct runtime_run **ret, struct err *e)
{
    AUTO(runtime_run) r = xcalloc(1, sizeof(*r));

    *r = (struct runtime_run){
        .o = *o,
        .verb = xstrdup(o->verb),
        .id = xstrdup(o->id),
        .runtime = xstrdup(o->runtime),
        .folder_fd = -EBADF,
        .listen_fd = -EBADF,
        .output_fds = {-EBADF, -EBADF}
    };
    TRY(files_prepare(r, o, e));
    TRY(child_start(r, o, e));
    r->limit = loop_timer_new(o->loop, limit_reached, r);
    loop_timer_set(r->limit, clock_monotonic_ns() + o->limit_ms * 1000000);
    *ret = take_ptr(r);
    return 0;
}

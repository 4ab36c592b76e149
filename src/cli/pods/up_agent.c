/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/up_agent.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/text.h"

enum {
    START_LIMIT_MS = 30000,
    /* Between bind(2), which makes the file, and listen(2) nothing tells when it answers. */
    REFUSED_WAIT_MS = 10,
    LOG_LIMIT_BYTES = 64 << 20,
    LOG_SHOWN_BYTES = 300,
};

static bool answers(const struct agent_client *c, struct err *e)
{
    autofd fd = -EBADF;

    return agent_client_connect(c, &fd, e) >= 0;
}

/* ---- Its log ---- */

static int log_open(char **ret_path, int *ret_fd, struct err *e)
{
    autofree char *dir = NULL;
    autofree char *path = NULL;
    int fd;

    TRY(paths_state_dir(&dir, e));
    TRY(path_mkdir_p(dir, 0700, e));
    path = path_join(dir, "agent.log");
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, -errno, "AgentFailed", "cannot write the agent's log '%s'", path);
    *ret_path = take_ptr(path);
    *ret_fd = fd;
    return 0;
}

/* What it wrote last, for an error. */
static void log_end_get(const char *path, off_t from, struct buf *ret)
{
    autobuf all = BUF_INIT;
    struct err ignored = ERR_INIT;
    const char *text;
    size_t len;

    if (file_read(path, LOG_LIMIT_BYTES, &all, &ignored) < 0 || (off_t)all.len <= from)
        return;
    text = all.data + from;
    len = all.len - (size_t)from;
    while (len && text[len - 1] == '\n')
        len--;
    if (len > LOG_SHOWN_BYTES) {
        text += len - LOG_SHOWN_BYTES;
        len = LOG_SHOWN_BYTES;
    }
    buf_add(ret, text, len);
    text_mute(ret->data, ret->len, false);
}

/* ---- Starting ---- */

static _Noreturn void child_run(const char *program, int log_fd)
{
    char *argv[] = {(char *)program, NULL};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
        dup2(log_fd, STDERR_FILENO) >= 0)
        execv(program, argv);
    _exit(127);
}

static bool has_ended(pid_t pid, int *ret_status)
{
    return waitpid(pid, ret_status, WNOHANG) == pid;
}

/* Until the agent answers, ends, or the time is over. */
static int answer_wait(const struct agent_client *c, pid_t pid, int notify, int *ret_status,
                       struct err *e)
{
    uint64_t deadline_ns = clock_monotonic_ns() + START_LIMIT_MS * 1000000ULL;
    autofd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    char events[4096];

    for (;;) {
        struct pollfd p[] = {
            {.fd = notify, .events = POLLIN},
            {.fd = pidfd,  .events = POLLIN}
        };
        int wait_ms = clock_wait_ms(deadline_ns);

        if (answers(c, e))
            return 0;
        if (e->code == -ECONNREFUSED && wait_ms > REFUSED_WAIT_MS)
            wait_ms = REFUSED_WAIT_MS;
        *e = ERR_INIT;
        if (has_ended(pid, ret_status))
            return -ECHILD;
        if (clock_monotonic_ns() >= deadline_ns)
            return -ETIMEDOUT;
        if (poll(p, 2, wait_ms) > 0 && p[0].revents && read(notify, events, sizeof(events)) < 0 &&
            errno != EINTR && errno != EAGAIN)
            return err_errno(e, -errno, "AgentFailed", "cannot wait for the agent's socket");
    }
}

/* A watch on the socket's folder, made before the agent is started. */
static int notify_open(const struct agent_client *c, int *ret, struct err *e)
{
    autofree char *dir = path_dir(agent_client_socket(c));
    autofd fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    TRY(path_mkdir_p(dir, 0755, e));
    if (fd < 0 || inotify_add_watch(fd, dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
        return err_errno(e, -errno, "AgentFailed", "cannot watch the folder '%s'", dir);
    *ret = take_fd(&fd);
    return 0;
}

static int failed(int r, int status, const char *log, off_t from, struct err *e)
{
    autobuf last = BUF_INIT;

    if (e->code)
        return e->code;
    log_end_get(log, from, &last);
    if (r == -ETIMEDOUT)
        return err_set(e, r, "AgentFailed", "the agent does not answer after %d s; see %s: %s",
                       START_LIMIT_MS / 1000, log, buf_str(&last));
    return err_set(e, r, "AgentFailed", "the agent ended at its start (%s %d); see %s: %s",
                   WIFSIGNALED(status) ? "signal" : "status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), log,
                   last.len ? buf_str(&last) : "it wrote nothing");
}

static int start(struct agent_client *c, pid_t *ret_pid, struct err *e)
{
    autofree char *program = NULL;
    autofree char *log = NULL;
    autofd log_fd = -EBADF;
    autofd notify = -EBADF;
    struct stat st = {0};
    int r, status = 0;
    pid_t pid;

    TRY(paths_program_find("wherry-agent", &program, e));
    TRY(log_open(&log, &log_fd, e));
    TRY(notify_open(c, &notify, e));
    fstat(log_fd, &st);
    pid = fork();
    if (pid == 0)
        child_run(program, log_fd);
    if (pid < 0)
        return err_errno(e, -errno, "AgentFailed", "cannot start '%s'", program);
    r = answer_wait(c, pid, notify, &status, e);
    if (r < 0) {
        if (r != -ECHILD)
            up_agent_stop(pid);
        return failed(r, status, log, st.st_size, e);
    }
    log_info("started an agent; its log is %s", log);
    *ret_pid = pid;
    return 0;
}

int up_agent_ensure(struct agent_client *c, pid_t *ret_pid, struct err *e)
{
    *ret_pid = 0;
    if (answers(c, e))
        return 0;
    if (e->code != -ENOENT && e->code != -ECONNREFUSED)
        return e->code;
    *e = ERR_INIT;
    return start(c, ret_pid, e);
}

void up_agent_stop(pid_t pid)
{
    kill(pid, SIGTERM);
    child_wait(pid, NULL);
}

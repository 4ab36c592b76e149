/* SPDX-License-Identifier: Apache-2.0 */
#include "image/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"

#define PREFIX         "docker-credential-"
#define NAME_LIMIT     128
#define NONE_SAID      "credentials not found in native keychain"
#define TOKEN_USERNAME "<token>" /* the secret is an identity token */
#define SAID_LIMIT     160       /* of what a failed helper said */

/* ---- Finding the program ---- */

static int name_check(const struct credential_helper *h, struct err *e)
{
    if (*h->name && strlen(h->name) <= NAME_LIMIT && !strchr(h->name, '/'))
        return 0;
    return err_set(
        e, -EINVAL, "BadHelper",
        "'%s' names '%.64s' as credential helper of '%.100s'; it has to be what follows " PREFIX
        " in the name of a program in PATH",
        h->file, h->name, h->server);
}

/* Only absolute folders count: a program must not be found where one happens to be. */
static int program_find(const struct credential_helper *h, char **ret, struct err *e)
{
    const char *at = secure_getenv("PATH");

    TRY(name_check(h, e));
    while (at && *at) {
        size_t len = strcspn(at, ":");
        autofree char *path = xasprintf("%.*s/" PREFIX "%s", (int)len, at, h->name);
        struct stat st;

        if (*path == '/' && !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK)) {
            *ret = take_ptr(path);
            return 0;
        }
        at += len + (at[len] == ':');
    }
    return err_set(e, -ENOENT, "HelperMissing",
                   "the credential helper '" PREFIX "%s' for the registry '%.100s' is not in PATH; "
                   "install it, or take it out of '%.120s'",
                   h->name, h->server, h->file);
}

/* ---- Running it ---- */

static int failed(const struct credential_helper *h, const char *verb, const char *why,
                  struct err *e)
{
    return err_set(e, -EIO, "HelperFailed",
                   "the credential helper '" PREFIX "%.64s' failed at '%s' for the registry "
                   "'%.100s': %s; run it by hand (echo %.100s | " PREFIX "%.64s %s), or take it "
                   "out of '%.80s'",
                   h->name, verb, h->server, why, h->server, h->name,
                   str_eq(verb, "store") ? "get" : verb, h->file);
}

static int failed_errno(const struct credential_helper *h, const char *verb, int code,
                        struct err *e)
{
    const char *text = err_text(-code);

    return failed(h, verb, text ? text : "unknown error", e);
}

/* Its standard input and output; the rest of what this process has open is close-on-exec. */
static int program_start(char *program, char *verb, int in, int out, pid_t *ret)
{
    char *argv[] = {program, verb, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, standard;
    int r;

    sigemptyset(&none);
    sigemptyset(&standard);
    sigaddset(&standard, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &standard);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    r = posix_spawn(ret, program, &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -r;
}

/* Takes what is there: 1 while more may come, 0 at the end. */
static int said_read(int fd, struct buf *said)
{
    for (;;) {
        size_t room = CREDENTIAL_HELPER_LIMIT_BYTES + 1 - said->len;
        ssize_t n = room ? read(fd, said->data + said->len, room) : -1;

        if (!room)
            return -EFBIG;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 1 : -errno;
        if (n == 0)
            return 0;
        said->len += (size_t)n;
        buf_terminate(said);
    }
}

/* Until the program ends. Something that it left behind may hold the pipe open for longer. */
static int program_wait(int pidfd, int fd, int64_t timeout_ms, struct buf *said)
{
    struct pollfd p[2] = {
        {.fd = pidfd, .events = POLLIN},
        {.fd = fd,    .events = POLLIN}
    };
    uint64_t deadline = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;

    for (;;) {
        int n = poll(p, 2, clock_wait_ms(deadline)), r;

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0) {
            if (clock_monotonic_ns() >= deadline)
                return -ETIMEDOUT;
            continue;
        }
        r = p[1].fd < 0 ? 0 : said_read(fd, said);
        if (r < 0)
            return r;
        if (!r)
            p[1].fd = -1;
        if (p[0].revents)
            return 0;
    }
}

/* A helper that runs. */
struct running {
    pid_t pid;
    int fd; /* what it says */
};

static int helper_start(const struct credential_helper *h, const char *verb, int in,
                        struct running *ret, struct err *e)
{
    autofree char *program = NULL;
    autofd from = -EBADF, to = -EBADF;
    int pipes[2], r;

    TRY(program_find(h, &program, e));
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return failed_errno(h, verb, -errno, e);
    from = pipes[0];
    to = pipes[1];
    /* Not 0 or 1, which would be replaced before they are used. */
    TRY(fd_move_above(&to, STDERR_FILENO + 1, e));
    r = fd_nonblock_set(from);
    if (r < 0)
        return failed_errno(h, verb, r, e);
    r = program_start(program, (char *)(uintptr_t)verb, in, to, &ret->pid);
    if (r < 0)
        return failed_errno(h, verb, r, e);
    ret->fd = take_fd(&from);
    return 0;
}

/* Runs the helper with the text as its input; its exit status is as waitpid() gives it. */
static int helper_run(const struct credential_helper *h, const char *verb, const char *text,
                      size_t len, struct buf *said, int *ret_status, struct err *e)
{
    autofd in = -EBADF, pidfd = -EBADF, out = -EBADF;
    struct running p = {0};
    int status = 0, r;

    buf_reserve(said, CREDENTIAL_HELPER_LIMIT_BYTES + 1);
    TRY(memfd_from("credential-helper", text, len, &in, e));
    TRY(fd_move_above(&in, STDERR_FILENO + 1, e));
    TRY(helper_start(h, verb, in, &p, e));
    out = p.fd;
    pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    r = pidfd < 0 ? -errno : program_wait(pidfd, out, h->timeout_ms, said);
    if (r < 0)
        kill(p.pid, SIGKILL);
    child_wait(p.pid, &status);
    if (r == -ETIMEDOUT)
        return err_set(e, r, "HelperTimeout",
                       "the credential helper '" PREFIX "%.64s' did not answer for the registry "
                       "'%.100s' within %lld ms; run it by hand (echo %.100s | " PREFIX
                       "%.64s get), or take it out of '%.80s'",
                       h->name, h->server, (long long)h->timeout_ms, h->server, h->name, h->file);
    if (r == -EFBIG)
        return failed(h, verb, "it said too much", e);
    if (r < 0)
        return failed_errno(h, verb, r, e);
    *ret_status = status;
    return 0;
}

/* ---- What it said ---- */

/* Without white space around. */
static struct text trimmed(const struct buf *said)
{
    struct text t = {buf_str(said), said->len};

    while (t.len && strchr(" \t\r\n", t.data[t.len - 1]))
        t.len--;
    while (t.len && strchr(" \t\r\n", *t.data))
        t.data++, t.len--;
    return t;
}

/*
 * What a failed helper said is for people, unless it might be a credential: an answer, or what it
 * was given. Its first line, printable.
 */
static void reason_add(struct text said, const char *secret, struct buf *out)
{
    size_t n = 0;

    if (memchr(said.data, '{', said.len) ||
        (secret && *secret && memmem(said.data, said.len, secret, strlen(secret))))
        return;
    while (n < said.len && n < SAID_LIMIT && said.data[n] >= ' ' && said.data[n] != 0x7f)
        n++;
    if (n)
        buf_addf(out, ", it said: %.*s", (int)n, said.data);
}

/* 0: the helper says that it has no such credentials. */
static int status_check(const struct credential_helper *h, const char *verb, int status,
                        const struct buf *said, const char *secret, struct err *e)
{
    struct text t = trimmed(said);
    autobuf why = BUF_INIT;

    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 1;
    if (WIFEXITED(status) && text_eq(t, NONE_SAID))
        return 0;
    if (WIFEXITED(status))
        buf_addf(&why, "exit status %d", WEXITSTATUS(status));
    else
        buf_addf(&why, "it died of signal %d", WTERMSIG(status));
    reason_add(t, secret, &why);
    return failed(h, verb, buf_str(&why), e);
}

struct answer {
    char *username, *secret;
};

static const struct json_field answer_fields[] = {
    JSON_FIELD("Username", FIELD_STRING, struct answer, username),
    JSON_FIELD("Secret", FIELD_STRING, struct answer, secret),
    {0},
};

static void answer_done(struct answer *a)
{
    json_fields_done(answer_fields, a);
}

static int answer_take(struct answer *a, struct credential *ret)
{
    bool has_secret = a->secret && *a->secret;
    bool is_token = a->username && str_eq(a->username, TOKEN_USERNAME);

    if (!has_secret && (is_token || !a->username || !*a->username))
        return 0;
    *ret = (struct credential){0};
    if (is_token) {
        ret->identity_token = take_ptr(a->secret);
        return 1;
    }
    ret->username = a->username ? take_ptr(a->username) : xstrdup("");
    ret->password = a->secret ? take_ptr(a->secret) : xstrdup("");
    return 1;
}

int credential_helper_get(const struct credential_helper *h, struct credential *ret, struct err *e)
{
    struct json_limits limits = {.bytes = CREDENTIAL_HELPER_LIMIT_BYTES, .depth = 8};
    __attribute__((cleanup(answer_done))) struct answer a = {0};
    autosecretbuf said = BUF_INIT;
    int status = 0, r;

    TRY(helper_run(h, "get", h->server, strlen(h->server), &said, &status, e));
    TRY(r = status_check(h, "get", status, &said, NULL, e));
    if (!r)
        return 0;
    /* The message about it might quote the secret. */
    if (json_decode(said.data, said.len, limits, answer_fields, 0, &a, e) < 0)
        return err_set(e, -EINVAL, "BadHelper",
                       "the credential helper '" PREFIX "%s' answered for the registry '%.100s' "
                       "what is not of the protocol (an object with Username and Secret); run: "
                       "echo %.100s | " PREFIX "%s get",
                       h->name, h->server, h->server, h->name);
    return answer_take(&a, ret);
}

int credential_helper_store(const struct credential_helper *h, const struct credential *c,
                            struct err *e)
{
    const char *username = c->identity_token ? TOKEN_USERNAME : c->username;
    const char *secret = c->identity_token ? c->identity_token : c->password;
    autosecretbuf text = BUF_INIT;
    autosecretbuf said = BUF_INIT;
    struct json_writer w;
    int status = 0, r;

    /* An escape has at most six characters. */
    buf_reserve(&text, 6 * (strlen(h->server) + strlen(username) + strlen(secret)) + 64);
    json_writer_init(&w, &text, false);
    json_begin_object(&w);
    json_key_str(&w, "ServerURL", h->server);
    json_key_str(&w, "Username", username);
    json_key_str(&w, "Secret", secret);
    json_end_object(&w);
    TRY(json_writer_finish(&w, e));
    TRY(helper_run(h, "store", text.data, text.len, &said, &status, e));
    TRY(r = status_check(h, "store", status, &said, secret, e));
    return r ? 0 : failed(h, "store", NONE_SAID, e);
}

int credential_helper_erase(const struct credential_helper *h, struct err *e)
{
    autosecretbuf said = BUF_INIT;
    int status = 0;

    TRY(helper_run(h, "erase", h->server, strlen(h->server), &said, &status, e));
    return status_check(h, "erase", status, &said, NULL, e);
}

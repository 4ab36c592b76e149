/* SPDX-License-Identifier: Apache-2.0 */
/* Which process a worker is, so that also one that says nothing can be ended, and no other. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fds.h"
#include "container/folder.h"

#define TEXT_LIMIT  4096u
#define NOTE_SUFFIX ".process"
#define NOTE_SIZE   (FOLDER_NAME_LIMIT + 16)

int process_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

bool process_has_ended(int pid_fd)
{
    struct pollfd p = {.fd = pid_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

void process_kill(int pid_fd)
{
    syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
}

/* When it started, in clock ticks since the boot: field 22 of proc(5)'s stat. */
static int start_ticks(pid_t pid, unsigned long long *ret, struct err *e)
{
    char path[48];
    autobuf text = BUF_INIT;
    const char *at;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    TRY(file_read(path, TEXT_LIMIT, &text, e));
    /* The second field is the program's name in brackets, which may hold anything. */
    at = strrchr(buf_str(&text), ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return err_set(e, -EPROTO, "RunFolder", "'%s' is not as proc(5) says", path);
    *ret = strtoull(at, NULL, 10);
    return 0;
}

bool is_shortage(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -ENOBUFS ||
           code == -ENOSPC || code == -EAGAIN;
}

/* A shortage stays what it is: with that nobody knows whether there is a process. */
static int not_found(int code)
{
    return is_shortage(code) ? code : -ESRCH;
}

static void note_name(const char *tenant, char ret[static NOTE_SIZE])
{
    snprintf(ret, NOTE_SIZE, ".%.*s" NOTE_SUFFIX, FOLDER_NAME_LIMIT, tenant);
}

int process_note(int run_fd, const char *tenant, pid_t pid, struct err *e)
{
    char name[NOTE_SIZE], text[64];
    unsigned long long ticks;
    int len;

    TRY(start_ticks(pid, &ticks, e));
    note_name(tenant, name);
    len = snprintf(text, sizeof(text), "%d %llu\n", (int)pid, ticks);
    return file_write_at(run_fd, name, text, (size_t)len, 0600, 0, e);
}

void process_note_remove(int run_fd, const char *tenant)
{
    char name[NOTE_SIZE];

    note_name(tenant, name);
    unlinkat(run_fd, name, 0);
}

char *process_note_tenant(const char *name)
{
    size_t len = name[0] == '.' ? str_stem(name + 1, NOTE_SUFFIX) : 0;

    return len ? xstrndup(name + 1, len) : NULL;
}

/* -ENOENT: there is no note. */
static int find_by_note(int run_fd, const char *tenant, pid_t *ret_pid)
{
    char name[NOTE_SIZE];
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    unsigned long long noted, now = 0;
    autofd fd = -EBADF;
    char *end;
    pid_t pid;
    int r;

    note_name(tenant, name);
    r = file_read_at(run_fd, name, TEXT_LIMIT, &text, &e);
    if (r < 0)
        return r == -ENOENT ? r : not_found(r);
    pid = (pid_t)strtol(buf_str(&text), &end, 10);
    noted = strtoull(end, NULL, 10);
    if (pid <= 0)
        return -ESRCH;
    fd = process_open(pid);
    if (fd < 0)
        return not_found(fd);
    r = start_ticks(pid, &now, &e);
    if (r < 0 || now != noted)
        return not_found(r);
    *ret_pid = pid;
    return take_fd(&fd);
}

int process_of_folder(pid_t pid, int dir_fd)
{
    char path[48];
    autobuf name = BUF_INIT;
    struct stat own, its;
    struct err e = ERR_INIT;
    autofd fd = process_open(pid);
    int r;

    if (fd < 0)
        return not_found(fd);
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    r = file_read(path, TEXT_LIMIT, &name, &e);
    if (r < 0 || !str_eq(buf_str(&name), "wherry-worker\n"))
        return not_found(r);
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, PROCESS_DIR_FD);
    if (fstat(dir_fd, &own) < 0 || stat(path, &its) < 0 || own.st_ino != its.st_ino ||
        own.st_dev != its.st_dev)
        return -ESRCH;
    return take_fd(&fd);
}

struct worker_record {
    int64_t pid;
};

/* A supervisor that died between the start and its note left the worker's own record only. */
static int find_by_record(int dir_fd, pid_t *ret_pid)
{
    static const struct json_field fields[] = {
        {.name = "pid",
         .type = FIELD_INT64,
         .offset = offsetof(struct worker_record, pid),
         .is_required = true,
         .min = 2,
         .max = INT32_MAX},
        {0},
    };
    struct json_limits limits = {.bytes = TEXT_LIMIT, .depth = 2};
    struct worker_record r = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    autofd file = file_open_at(dir_fd, "worker.json");
    int fd;

    if (file < 0)
        return not_found(file);
    if (fd_read_all(file, TEXT_LIMIT, &text, &e) < 0 ||
        json_decode(buf_str(&text), text.len, limits, fields, 0, &r, &e) < 0)
        return -ESRCH;
    fd = process_of_folder((pid_t)r.pid, dir_fd);
    if (fd >= 0)
        *ret_pid = (pid_t)r.pid;
    return fd;
}

int process_find(int run_fd, const char *tenant, int dir_fd, pid_t *ret_pid)
{
    pid_t pid = 0;
    autofd fd = find_by_note(run_fd, tenant, &pid);

    if (fd == -ENOENT)
        fd = find_by_record(dir_fd, &pid);
    if (fd < 0)
        return fd;
    /* One that only waits to be reaped. */
    if (process_has_ended(fd))
        return -ESRCH;
    *ret_pid = pid;
    return take_fd(&fd);
}

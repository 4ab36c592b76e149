/* SPDX-License-Identifier: Apache-2.0 */
/* Which process a worker is, so that also one that says nothing can be ended, and no other. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
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
    size_t len = strlen(name), suffix = strlen(NOTE_SUFFIX);

    if (name[0] != '.' || len <= suffix + 1 || !str_eq(name + len - suffix, NOTE_SUFFIX))
        return NULL;
    return xstrndup(name + 1, len - suffix - 1);
}

static int find_by_note(int run_fd, const char *tenant, pid_t *ret_pid)
{
    char name[NOTE_SIZE];
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    unsigned long long noted, now = 0;
    autofd fd = -EBADF;
    char *end;
    pid_t pid;

    note_name(tenant, name);
    TRY(file_read_at(run_fd, name, TEXT_LIMIT, &text, &e));
    pid = (pid_t)strtol(buf_str(&text), &end, 10);
    noted = strtoull(end, NULL, 10);
    if (pid <= 0)
        return -ESRCH;
    fd = process_open(pid);
    if (fd < 0 || start_ticks(pid, &now, &e) < 0 || now != noted)
        return -ESRCH;
    *ret_pid = pid;
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
    autobuf text = BUF_INIT, name = BUF_INIT;
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    char path[48];

    TRY(file_read_at(dir_fd, "worker.json", TEXT_LIMIT, &text, &e));
    TRY(json_decode(buf_str(&text), text.len, limits, fields, 0, &r, &e));
    fd = process_open((pid_t)r.pid);
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)r.pid);
    if (fd < 0 || file_read(path, TEXT_LIMIT, &name, &e) < 0 ||
        !str_eq(buf_str(&name), "wherry-worker\n"))
        return -ESRCH;
    *ret_pid = (pid_t)r.pid;
    return take_fd(&fd);
}

int process_find(int run_fd, const char *tenant, int dir_fd, pid_t *ret_pid)
{
    int fd = find_by_note(run_fd, tenant, ret_pid);

    return fd >= 0 ? fd : find_by_record(dir_fd, ret_pid);
}

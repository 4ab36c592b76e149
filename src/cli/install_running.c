/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/install.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fds.h"
#include "base/paths.h"

#define PROC_LIMIT_BYTES (1u << 20)

/* 0 when it is no number. */
static pid_t pid_of(const char *name)
{
    char *end;
    long pid = strtol(name, &end, 10);

    return *end || pid < 0 ? 0 : (pid_t)pid;
}

static bool link_read(const char *pid, const char *name, char ret[static PATH_MAX])
{
    autofree char *path = xasprintf("/proc/%s/%s", pid, name);
    ssize_t n = readlink(path, ret, PATH_MAX - 1);

    if (n < 0)
        return false;
    ret[n] = 0;
    return true;
}

static bool is_program(const char *pid, const char *program)
{
    static const char deleted[] = " (deleted)"; /* replaced by an upgrade */
    char exe[PATH_MAX];

    if (!link_read(pid, "exe", exe))
        return false;
    if (strlen(exe) > strlen(deleted) && str_eq(exe + strlen(exe) - strlen(deleted), deleted))
        exe[strlen(exe) - strlen(deleted)] = 0;
    return str_eq(path_base(exe), program);
}

static bool is_of_our_mounts(const char *pid)
{
    char ours[PATH_MAX], its[PATH_MAX];

    return link_read("self", "ns/mnt", ours) && link_read(pid, "ns/mnt", its) && str_eq(ours, its);
}

/* The configuration that it was told; "" for none. Heap; NULL when it has ended. */
static char *config_of(const char *pid)
{
    autofree char *path = xasprintf("/proc/%s/cmdline", pid);
    autobuf line = BUF_INIT;
    struct err e = ERR_INIT;
    const char *words[] = {"--config", "-config", "-c"};
    const char *found = "";

    if (file_read(path, PROC_LIMIT_BYTES, &line, &e) < 0)
        return NULL;
    for (const char *w = buf_str(&line), *end = w + line.len; w < end; w += strlen(w) + 1)
        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
            size_t len = strlen(words[i]);

            if (str_eq(w, words[i]))
                found = w + len + 1 < end ? w + len + 1 : "";
            else if (str_starts(w, words[i]) && w[len] == '=')
                found = w + len + 1;
        }
    return xstrdup(found);
}

/* For how long it has run; -1 when it has ended. */
static long long age_ms(const char *pid)
{
    autofree char *path = xasprintf("/proc/%s/stat", pid);
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    unsigned long long ticks;
    struct timespec now;
    const char *at;

    if (file_read(path, PROC_LIMIT_BYTES, &text, &e) < 0)
        return -1;
    /* The name, in parentheses, may have any character; the start is the 20th number behind it. */
    at = strrchr(buf_str(&text), ')');
    for (int i = 0; at && i < 20; i++)
        at = strchr(at + 1, ' ');
    if (!at)
        return -1;
    ticks = strtoull(at, NULL, 10);
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000 -
           (long long)(ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK));
}

pid_t running_containerd(const char *config, bool is_usual, long long *ret_age_ms)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    pid_t pid = 0;

    while (!pid && proc && (entry = readdir(proc))) {
        autofree char *its = NULL;
        long long age;

        if (pid_of(entry->d_name) <= 0 || !is_program(entry->d_name, "containerd") ||
            !is_of_our_mounts(entry->d_name))
            continue;
        its = config_of(entry->d_name);
        age = age_ms(entry->d_name);
        if (!its || age < 0 || !(str_eq(its, config) || (!*its && is_usual)))
            continue;
        pid = pid_of(entry->d_name);
        *ret_age_ms = age;
    }
    if (proc)
        closedir(proc);
    return pid;
}

unsigned running_count(const char *program)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    unsigned n = 0;

    while (proc && (entry = readdir(proc)))
        n += pid_of(entry->d_name) > 0 && is_program(entry->d_name, program);
    if (proc)
        closedir(proc);
    return n;
}

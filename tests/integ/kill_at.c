/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: kills the process before its n-th call that changes something outside of it, n
 * being WHERRY_KILL_AT. The file WHERRY_KILL_LOG gets the name of each call before it is made.
 * Only in the program whose path ends with "-agent": what that starts inherits the variables.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int calls;
static int kill_at, log_fd = -1;

__attribute__((constructor)) static void setup(void)
{
    const char *at = getenv("WHERRY_KILL_AT"), *log = getenv("WHERRY_KILL_LOG");
    char program[4096];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program));

    if (!at || !log || len < 6 || memcmp(program + len - 6, "-agent", 6) != 0)
        return;
    kill_at = (int)strtol(at, NULL, 10);
    log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* By system calls only: the agent's C library may be another one than that of this. */
static void count(const char *name)
{
    struct iovec line[] = {
        {(char *)(uintptr_t)name, strlen(name)},
        {(char[]){'\n'},          1           }
    };

    if (log_fd < 0)
        return;
    if (writev(log_fd, line, 2) < 0 || atomic_fetch_add(&calls, 1) + 1 == kill_at)
        kill(getpid(), SIGKILL);
}

#define WRAP(type_, name_, params_, args_)                                                         \
    type_ name_ params_                                                                            \
    {                                                                                              \
        static type_(*real) params_;                                                               \
                                                                                                   \
        if (!real)                                                                                 \
            *(void **)&real = dlsym(RTLD_NEXT, #name_);                                            \
        count(#name_);                                                                             \
        return real args_;                                                                         \
    }

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): they are the C library's. */
WRAP(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, linkat, (int a, const char *b, int c, const char *d, int f), (a, b, c, d, f))
WRAP(int, symlinkat, (const char *a, int b, const char *c), (a, b, c))
WRAP(int, unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(int, unlink, (const char *a), (a))
WRAP(int, rmdir, (const char *a), (a))
WRAP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, mkdir, (const char *a, mode_t b), (a, b))
WRAP(int, mount, (const char *a, const char *b, const char *c, unsigned long d, const void *f),
     (a, b, c, d, f))
WRAP(int, umount2, (const char *a, int b), (a, b))
WRAP(int, fdatasync, (int a), (a))
WRAP(int, fsync, (int a), (a))
WRAP(ssize_t, sendmsg, (int a, const struct msghdr *b, int c), (a, b, c))
WRAP(int, posix_spawnp,
     (pid_t * a, const char *b, const posix_spawn_file_actions_t *c, const posix_spawnattr_t *d,
      char *const f[], char *const g[]),
     (a, b, c, d, f, g))
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

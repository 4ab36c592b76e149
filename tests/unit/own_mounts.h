/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/util.h"

/* Tests that mount: in a child with mounts of its own, and as root of a user namespace where this
 * process may not mount. */

#define OWN_MOUNTS_REFUSED 77

static inline void own_mounts_write(const char *path, const char *text)
{
    autofd fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(OWN_MOUNTS_REFUSED);
}

static inline void own_mounts_enter(void)
{
    autofree char *uid = xasprintf("0 %u 1", (unsigned)geteuid());
    autofree char *gid = xasprintf("0 %u 1", (unsigned)getegid());

    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            _exit(OWN_MOUNTS_REFUSED);
        own_mounts_write("/proc/self/setgroups", "deny");
        own_mounts_write("/proc/self/uid_map", uid);
        own_mounts_write("/proc/self/gid_map", gid);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(OWN_MOUNTS_REFUSED);
}

/* For children: cmocka's assertions would go on with the tests of the parent. */
#define child_check(x)                                                                             \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static inline void own_mounts_run(void (*body)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child) {
        own_mounts_enter();
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == OWN_MOUNTS_REFUSED) {
        fprintf(stderr, "skipped: nothing can be mounted here, not even in a user namespace\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int child_wait(pid_t pid, int *ret_status)
{
    while (waitpid(pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int child_wait_exit(pid_t pid)
{
    int status, r = child_wait(pid, &status);

    if (r < 0)
        return r;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool child_end_with(pid_t parent, int number)
{
    /* In this order: it may end in between. */
    return prctl(PR_SET_PDEATHSIG, number) == 0 && getppid() == parent;
}

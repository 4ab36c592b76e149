/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pod/pod.h"

#include <fcntl.h>

#include "container/folder.h"
#include "shim/bundle/record.h"
#include "shim/pod/pid_holder.h"

int shim_pod_begin(struct shim_pod *p, bool has_host_pid, int bundle_fd, struct err *e)
{
    int fd = fcntl(bundle_fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot keep the sandbox's bundle open");
    *p = (struct shim_pod){.is_there = true, .has_host_pid = has_host_pid, .bundle_fd = fd};
    return 0;
}

void shim_pod_end(struct shim_pod *p)
{
    if (!p->is_there)
        return;
    if (p->holder)
        process_note_remove(p->bundle_fd, RECORD_PROCESS_NAME);
    pid_holder_free(p->holder);
    close_cleanup_(&p->bundle_fd);
    *p = SHIM_POD_INIT;
}

int shim_pod_pid_path(struct shim_pod *p, const char **ret, struct err *e)
{
    struct pid_holder *h;

    if (!p->holder) {
        TRY(pid_holder_new(&h, e));
        if (process_note(p->bundle_fd, RECORD_PROCESS_NAME, pid_holder_pid(h), e) < 0) {
            pid_holder_free(h);
            return e->code;
        }
        p->holder = h;
    }
    *ret = pid_holder_path(p->holder);
    return 0;
}

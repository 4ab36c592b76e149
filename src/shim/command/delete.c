/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command/delete.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup.h"
#include "container/folder.h"
#include "container/native/native.h"
#include "shim/bundle/record.h"
#include "shim/bundle/rootfs.h"
#include "shim/command/start.h"
#include "shim/messages/messages.h"
#include "shim/pod/sandbox.h"

/* containerd gives five seconds for all of it. */
#define END_WAIT_MS      2000
#define CGROUP_WAIT_MS   2000
#define EXIT_KILLED      137
#define RUNTIME_LIMIT_MS 4000

struct end {
    pid_t pid;
    uint32_t status;
};

static void guest_kill(int bundle_fd, struct end *ret)
{
    autofd fd = process_find(bundle_fd, RECORD_PROCESS_NAME, bundle_fd, &ret->pid);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (fd < 0)
        return;
    process_kill(fd);
    poll(&p, 1, END_WAIT_MS);
}

static int group_delete(const struct record *r, const char *id, struct err *e)
{
    AUTO(cgroup) c = NULL;

    TRY(cgroup_open(r->cgroup, r->has_systemd, id, &c, e));
    if (!cgroup_exists(c))
        return 0;
    TRY(cgroup_kill_all(c, e));
    return cgroup_delete(c, CGROUP_WAIT_MS, e);
}

/* ---- Native ---- */

struct native_end {
    struct loop *loop;
    struct err failed;
};

static void native_deleted(void *ctx, const struct err *e)
{
    struct native_end *n = ctx;

    n->failed = *e;
    loop_stop(n->loop);
}

static void ended_ignore(void *ctx, const char *exec_id, int status)
{
    (void)ctx;
    (void)exec_id;
    (void)status;
}

static int native_remove(const struct shim_flags *f, const char *bundle, const struct record *r,
                         struct err *e)
{
    AUTO(loop) loop = NULL;
    struct native_end end = {0};
    autofree char *root = record_runtime_root(r->runtime_root, f->namespace);
    struct native_options o = {.runtime = r->runtime,
                               .root = root,
                               .is_systemd_cgroup = r->has_systemd,
                               .limit_ms = RUNTIME_LIMIT_MS,
                               .ended = ended_ignore};
    struct native *n;

    TRY(loop_open(&loop, e));
    o.loop = end.loop = loop;
    TRY(native_new(&o, f->id, bundle, &n, e));
    native_delete(n, true, native_deleted, &end);
    loop_run(loop);
    native_free(n);
    if (end.failed.code)
        *e = end.failed;
    return end.failed.code;
}

/* ---- All ---- */

static int remains_remove(const struct shim_flags *f, const char *bundle, int bundle_fd,
                          const struct record *r, struct end *ret, struct err *e)
{
    if (r->kind == RECORD_GUEST) {
        guest_kill(bundle_fd, ret);
        TRY(group_delete(r, f->id, e));
    } else if (r->kind == RECORD_SANDBOX) {
        /* What holds the pod's PID namespace has ended with the shim, if not just now. */
        guest_kill(bundle_fd, &(struct end){0});
        sandbox_files_unmount(bundle);
    } else if (r->kind == RECORD_NATIVE) {
        TRY(native_remove(f, bundle, r, e));
    }
    return 0;
}

static int answer(const struct end *end, struct err *e)
{
    Task__DeleteResponse m = TASK__DELETE_RESPONSE__INIT;
    Types__Timestamp at = message_timestamp(clock_realtime_ns());
    autobuf packed = BUF_INIT;

    m.pid = (uint32_t)end->pid;
    m.exit_status = end->status;
    m.exited_at = &at;
    protobuf_add(&m.base, &packed);
    return fd_write_all(STDOUT_FILENO, packed.data, packed.len, e);
}

int shim_delete(const struct shim_flags *f, struct err *e)
{
    autofree char *bundle = NULL, *rootfs = NULL;
    autofd bundle_fd = -EBADF;
    struct record record = {0};
    struct end end = {.status = EXIT_KILLED};
    struct err ignored = ERR_INIT;
    int r = 0;

    TRY(path_absolute(f->bundle ? f->bundle : ".", &bundle, e));
    bundle_fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bundle_fd >= 0)
        r = record_load(bundle_fd, &record, e);
    if (r > 0) {
        end.pid = (pid_t)record.pid;
        r = remains_remove(f, bundle, bundle_fd, &record, &end, e);
    }
    record_done(&record);
    /* Nothing of this waits for what could not be removed. */
    rootfs = path_join(bundle, "rootfs");
    if (rootfs_unmount(rootfs, r < 0 ? &ignored : e) < 0 && r >= 0)
        r = e->code;
    if (bundle_fd >= 0)
        shim_socket_drop(bundle_fd);
    TRY(r);
    if (bundle_fd >= 0)
        record_drop(bundle_fd);
    return answer(&end, e);
}

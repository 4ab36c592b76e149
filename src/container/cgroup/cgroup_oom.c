/* SPDX-License-Identifier: Apache-2.0 */
/* Running out of memory: an eventfd of version 1 (admin-guide/cgroup-v1/memory.rst, 10), the change
 * of a file in version 2 (admin-guide/cgroup-v2.rst, memory.events). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "container/cgroup/cgroup_parts.h"

struct cgroup_oom {
    struct loop_watch *watch;
    int fd;
    char *dir;
    const char *file; /* which counts */
    bool is_v2;
    uint64_t seen; /* version 2: of those killed */
    void (*fired)(void *ctx);
    void *ctx;
};

static bool kills_read(const char *dir, const char *file, uint64_t *ret)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    *ret = 0;
    if (cgroup_file_read(dir, file, &text, &e) < 0)
        return false;
    (void)cgroup_text_number(buf_str(&text), "oom_kill", ret);
    return true;
}

static const char *file_of(const struct cgroup *c)
{
    return c->host->version == 1 ? "memory.oom_control" : "memory.events";
}

uint64_t cgroup_oom_kills(const struct cgroup *c)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY);
    uint64_t n = 0;

    if (dir)
        (void)kills_read(dir, file_of(c), &n);
    return n;
}

/* Takes what there is to read, so that the descriptor is quiet until the next event. */
static void event_take(int fd)
{
    char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

    while (read(fd, events, sizeof(events)) > 0)
        ;
}

static void woken(void *ctx, unsigned events)
{
    struct cgroup_oom *o = ctx;
    uint64_t kills;

    (void)events;
    event_take(o->fd);
    /* Both tell the removal of the group too. */
    if (!kills_read(o->dir, o->file, &kills)) {
        loop_watch_set(o->watch, 0);
        return;
    }
    /* Version 1 tells before it kills and counts; version 2 tells each of several counters. */
    if (o->is_v2 && kills <= o->seen)
        return;
    o->seen = kills;
    o->fired(o->ctx);
}

static int v1_register(const char *dir, int *ret_fd, struct err *e)
{
    autofree char *file = xasprintf("%s/memory.oom_control", dir);
    autofd fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    autofd control = open(file, O_RDONLY | O_CLOEXEC);
    char text[32];

    if (fd < 0 || control < 0)
        return cgroup_file_error(-errno, "watch", dir, "memory.oom_control", e);
    snprintf(text, sizeof(text), "%d %d", fd, control);
    TRY(cgroup_file_write(dir, "cgroup.event_control", text, e));
    *ret_fd = take_fd(&fd);
    return 0;
}

static int v2_register(const char *dir, int *ret_fd, struct err *e)
{
    autofree char *file = xasprintf("%s/memory.events", dir);
    autofd fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0 || inotify_add_watch(fd, file, IN_MODIFY) < 0)
        return cgroup_file_error(-errno, "watch", dir, "memory.events", e);
    *ret_fd = take_fd(&fd);
    return 0;
}

int cgroup_oom_watch(const struct cgroup *c, struct loop *l, void (*fired)(void *ctx), void *ctx,
                     struct cgroup_oom **ret, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY);
    AUTO(cgroup_oom) o = NULL;

    if (!dir)
        return err_set(e, -ENOENT, "CgroupControllerMissing",
                       "the control group '%s' cannot be watched: the controller 'memory' is not "
                       "mounted",
                       c->path);
    o = xcalloc(1, sizeof(*o));
    *o = (struct cgroup_oom){.fd = -EBADF,
                             .dir = xstrdup(dir),
                             .file = file_of(c),
                             .is_v2 = c->host->version == 2,
                             .fired = fired,
                             .ctx = ctx};
    TRY(o->is_v2 ? v2_register(dir, &o->fd, e) : v1_register(dir, &o->fd, e));
    (void)kills_read(dir, o->file, &o->seen);
    TRY(loop_watch_new(l, o->fd, woken, o, &o->watch, e));
    loop_watch_set(o->watch, LOOP_READABLE);
    *ret = take_ptr(o);
    return 0;
}

void cgroup_oom_free(struct cgroup_oom *o)
{
    if (!o)
        return;
    loop_watch_free(o->watch);
    if (o->fd >= 0)
        close(o->fd);
    free(o->dir);
    free(o);
}

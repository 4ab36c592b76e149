/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_watch.h"

#include <sys/inotify.h>

#include "base/paths.h"

#define PLACE_EVENTS (IN_ONLYDIR | IN_MASK_ADD | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF)
#define LOG_EVENTS   (PLACE_EVENTS | IN_MODIFY | IN_MOVED_FROM | IN_DELETE)
/* The kernel itself ends the watch after these, or the name leads elsewhere now. */
#define GONE_EVENTS (IN_IGNORED | IN_MOVE_SELF | IN_UNMOUNT)
#define TRIES_MAX   100 /* folders that come and go as quickly as they are looked at */

/* What the watches of a loop share. */
struct hub {
    struct hub *next;
    struct loop *loop;
    int fd; /* of inotify(7) */
    struct loop_watch *readable;
    struct log_watch *watches;
};

struct log_watch {
    struct log_watch *next;
    struct hub *hub;
    char *folder, *name;
    int wd;         /* of the folder, or of the nearest one above that is there; -1 for none */
    bool is_placed; /* it is that of the folder */
    bool is_gone, is_changed;
    void (*changed)(void *ctx, const struct err *failure);
    void *ctx;
};

/* A loop belongs to a thread, so do its watches. */
static _Thread_local struct hub *hubs;

static void wd_drop(struct log_watch *w)
{
    int wd = w->wd;

    w->wd = -1;
    for (const struct log_watch *other = w->hub->watches; other; other = other->next)
        if (other->wd == wd)
            return;
    if (wd >= 0)
        inotify_rm_watch(w->hub->fd, wd);
}

static int place_failed(const struct log_watch *w, const char *path, int code, struct err *e)
{
    if (code == -ENOSPC)
        return err_set(e, code, "LogFailed",
                       "cannot follow the log '%s/%s': the user has as many inotify watches as "
                       "allowed; raise the sysctl fs.inotify.max_user_watches",
                       w->folder, w->name);
    return err_errno(e, code, "LogFailed", "cannot follow the log '%s/%s': cannot watch '%s'",
                     w->folder, w->name, path);
}

/* Watches the folder or, as long as that is missing, the nearest one above. */
static int place(struct log_watch *w, struct err *e)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        autofree char *at = xstrdup(w->folder), *missing = NULL;

        w->is_placed = true;
        while ((w->wd = inotify_add_watch(w->hub->fd, at,
                                          w->is_placed ? LOG_EVENTS : PLACE_EVENTS)) < 0 &&
               errno == ENOENT && !str_eq(at, "/") && !str_eq(at, ".")) {
            free(missing);
            missing = at;
            at = path_dir(missing);
            w->is_placed = false;
        }
        if (w->wd < 0)
            return place_failed(w, at, -errno, e);
        if (w->is_placed || access(missing, F_OK) < 0)
            return 0;
        /* It was made before its parent was watched. */
        wd_drop(w);
    }
    return place_failed(w, w->folder, -EBUSY, e);
}

/* ---- Events ---- */

static bool is_of(const struct log_watch *w, const struct inotify_event *event)
{
    size_t len = strlen(w->name);

    return event->len && !strncmp(event->name, w->name, len) &&
           (!event->name[len] || event->name[len] == '.');
}

static void event_note(struct hub *h, const struct inotify_event *event)
{
    for (struct log_watch *w = h->watches; w; w = w->next) {
        if (event->mask & IN_Q_OVERFLOW) {
            w->is_changed = true;
        } else if (w->wd == event->wd) {
            w->is_gone |= !w->is_placed || event->mask & GONE_EVENTS;
            w->is_changed |= w->is_gone || is_of(w, event);
        }
    }
}

static void readable(void *ctx, unsigned events)
{
    struct hub *h = ctx;
    _Alignas(struct inotify_event) char data[16 << 10];
    ssize_t len = read(h->fd, data, sizeof data);

    (void)events;
    for (ssize_t at = 0; at < len;) {
        const struct inotify_event *event = (const void *)(data + at);

        event_note(h, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
    for (struct log_watch *w = h->watches; w; w = w->next) {
        struct err e = ERR_INIT;

        if (w->is_gone) {
            wd_drop(w);
            place(w, &e);
        }
        w->is_gone = false;
        if (w->is_changed) {
            w->is_changed = false;
            w->changed(w->ctx, e.code ? &e : NULL);
        }
    }
}

/* ---- Hubs ---- */

static void hub_free(struct hub *h)
{
    struct hub **at = &hubs;

    while (*at && *at != h)
        at = &(*at)->next;
    if (*at)
        *at = h->next;
    loop_watch_free(h->readable);
    if (h->fd >= 0)
        close(h->fd);
    free(h);
}

static int hub_get(struct loop *l, struct hub **ret, struct err *e)
{
    struct hub *h = hubs;
    int r;

    while (h && h->loop != l)
        h = h->next;
    if (h) {
        *ret = h;
        return 0;
    }
    h = xcalloc(1, sizeof *h);
    h->loop = l;
    h->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    r = h->fd < 0 ? err_errno(e, -errno, "LogFailed",
                              "cannot follow logs: no inotify instance (see the sysctl "
                              "fs.inotify.max_user_instances)")
                  : loop_watch_new(l, h->fd, readable, h, &h->readable, e);
    if (r < 0) {
        hub_free(h);
        return r;
    }
    loop_watch_set(h->readable, LOOP_READABLE);
    h->next = hubs;
    hubs = h;
    *ret = h;
    return 0;
}

int log_watch_new(struct loop *l, const char *path,
                  void (*changed)(void *ctx, const struct err *failure), void *ctx,
                  struct log_watch **ret, struct err *e)
{
    struct hub *h = NULL;
    struct log_watch *w;
    int r;

    TRY(hub_get(l, &h, e));
    w = xcalloc(1, sizeof *w);
    *w = (struct log_watch){
        .next = h->watches,
        .hub = h,
        .folder = path_dir(path),
        .name = xstrdup(path_base(path)),
        .wd = -1,
        .changed = changed,
        .ctx = ctx,
    };
    h->watches = w;
    r = place(w, e);
    if (r < 0) {
        log_watch_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void log_watch_free(struct log_watch *w)
{
    if (!w)
        return;
    struct hub *h = w->hub;
    struct log_watch **at = &h->watches;

    while (*at != w)
        at = &(*at)->next;
    wd_drop(w);
    *at = w->next;
    if (!h->watches)
        hub_free(h);
    free(w->folder);
    free(w->name);
    free(w);
}

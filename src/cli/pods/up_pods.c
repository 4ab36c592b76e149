/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/up_pods.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/pods/followers.h"
#include "cli/pods/logs.h"
#include "cli/pods/printers.h"
#include "cli/pods/steady.h"

#define EXIT_INTERRUPTED 130

struct session;

/* A run of a container whose log is followed. */
struct run {
    struct session *owner;
    char *container, *uid;
    int64_t restarts;
    struct log_printer printer;
    struct followed_lines lines;
};

struct up_pod {
    const struct object *object;
    char *told; /* what was said of it last; NULL: nothing */
    bool is_ready, is_over, has_failed, is_gone;
    /* Detached: ready, and said so only when it has been for a while. */
    uint64_t steady_ns; /* when that is; 0: it is not waited for */
    int64_t restarts;   /* then */
};

/* The watch on a namespace. */
struct space {
    struct session *owner;
    const char *name;
    struct followed_lines lines;
};

struct session {
    const struct up_pods_options *o;
    struct followers *followers;
    struct up_pod *pods;
    size_t n_pods;
    struct space *spaces;
    size_t n_spaces;
    struct run **runs;
    size_t n_runs;
    size_t width; /* of the longest pod/container */
    bool has_colour, is_stopping;
    struct err *e;
};

/* ---- Telling ---- */

static void tell(struct session *s, struct up_pod *p, const char *text)
{
    autofree char *line = xasprintf("pod/%s %s\n", p->object->name, text);

    (void)s;
    if (p->told && str_eq(p->told, text))
        return;
    free(p->told);
    p->told = xstrdup(text);
    text_mute(line, strlen(line), true);
    fputs(line, stderr);
}

/* ---- Logs ---- */

static void log_line(void *ctx, char *text, size_t len)
{
    const struct run *r = ctx;

    if (log_printer_line(&r->printer, text, len) < 0)
        followers_stop(r->owner->followers);
}

static void log_data(void *ctx, const void *data, size_t len)
{
    struct run *r = ctx;

    followed_lines_add(&r->lines, data, len);
}

static void log_ended(void *ctx, const struct err *e)
{
    struct run *r = ctx;

    followed_lines_end(&r->lines);
    /* A container that is deleted takes its log with it. */
    if (e->code && !r->owner->is_stopping)
        log_warn("the log of container %s ended: %s", r->container, e->msg);
}

/* "web/app    | ", in a colour of its own. */
static char *prefix_make(const struct session *s, const char *pod, const char *container)
{
    static const char *const colours[] = {"36", "33", "32", "35", "34", "96", "93", "92"};
    autofree char *name = xasprintf("%s/%s", pod, container);
    const char *colour = colours[s->n_runs % ARRAY_SIZE(colours)];

    for (size_t i = 0; i < s->n_runs; i++)
        if (str_eq(s->runs[i]->container, container))
            colour = colours[i % ARRAY_SIZE(colours)];
    if (!s->has_colour)
        return xasprintf("%-*s | ", (int)s->width, name);
    return xasprintf("\x1b[%sm%-*s |\x1b[0m ", colour, (int)s->width, name);
}

static bool has_run(const struct session *s, const char *uid, const char *container,
                    int64_t restarts)
{
    for (size_t i = 0; i < s->n_runs; i++)
        if (str_eq(s->runs[i]->uid, uid) && str_eq(s->runs[i]->container, container) &&
            s->runs[i]->restarts == restarts)
            return true;
    return false;
}

static int run_follow(struct session *s, const struct up_pod *p, const char *uid,
                      const char *container, int64_t restarts, struct err *e)
{
    struct run *r = xcalloc(1, sizeof(*r));
    autofree char *prefix = prefix_make(s, p->object->name, container);
    autobuf path = BUF_INIT;

    r->owner = s;
    r->container = xstrdup(container);
    r->uid = xstrdup(uid);
    r->restarts = restarts;
    r->lines = (struct followed_lines){.line = log_line, .ctx = r};
    log_printer_init(&r->printer, prefix);
    s->runs = xrealloc(s->runs, s->n_runs + 1, sizeof(struct run *));
    s->runs[s->n_runs++] = r;
    resource_path_add(&path, resource_of(RESOURCE_POD), p->object->space, p->object->name);
    buf_addstr(&path, "/log");
    resource_query_add(&path, "container", container);
    resource_query_add(&path, "follow", "true");
    return followers_add(
        s->followers, &(struct follower_options){buf_str(&path), log_data, log_ended, r}, NULL, e);
}

static int logs_follow(struct session *s, const struct up_pod *p, const struct json_value *pod,
                       const char *list_path, struct err *e)
{
    const struct json_value *list = json_value_at(pod, list_path), *c;
    const char *uid = json_value_str(pod, "metadata.uid");

    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        const char *name = json_value_str(c, "name");
        int64_t restarts = json_value_int(c, "restartCount", 0);
        bool has_begun = json_value_at(c, "state.running") || json_value_at(c, "state.terminated");

        if (name && has_begun && !has_run(s, uid ? uid : "", name, restarts))
            TRY(run_follow(s, p, uid ? uid : "", name, restarts, e));
    }
    return 0;
}

/* ---- Pods ---- */

static bool is_all(const struct session *s, bool (*is)(const struct up_pod *p))
{
    for (size_t i = 0; i < s->n_pods; i++)
        if (!is(&s->pods[i]))
            return false;
    return true;
}

static bool is_gone(const struct up_pod *p)
{
    return p->is_gone;
}

static bool is_over(const struct up_pod *p)
{
    return p->is_over || p->is_gone;
}

static bool is_settled(const struct up_pod *p)
{
    return p->is_over || p->is_ready || p->has_failed;
}

/* Where logs are followed people see what becomes of it. */
static void readiness_note(struct session *s, struct up_pod *p, const struct json_value *pod,
                           int64_t restarts)
{
    bool is_ready = pod_has_condition(pod, "Ready");
    bool is_known = p->restarts == restarts && (p->steady_ns || p->is_ready);

    if (!is_ready || s->is_stopping)
        p->steady_ns = 0;
    else if (!s->o->has_logs && !is_known)
        p->steady_ns = pod_steady_ns(pod);
    p->restarts = restarts;
    p->is_ready = is_ready && !p->steady_ns;
}

static void progress_tell(struct session *s, struct up_pod *p, const struct json_value *pod)
{
    const char *phase = json_value_str(pod, "status.phase");
    struct pod_shown_summary summary;
    autobuf trouble = BUF_INIT;
    autofree char *text = NULL;
    bool is_final;

    pod_summarize(pod, &summary);
    readiness_note(s, p, pod, summary.restarts);
    p->is_over = phase && (str_eq(phase, "Succeeded") || str_eq(phase, "Failed"));
    if (s->is_stopping) {
        tell(s, p, "is ending");
        return;
    }
    if (up_pod_trouble(pod, &trouble, &is_final)) {
        /* In the foreground what restarts may come round; nobody watches what is detached. */
        p->has_failed = is_final || !s->o->has_logs;
        text = xasprintf("%s: %s", is_final ? "failed" : summary.status, buf_str(&trouble));
    } else {
        p->has_failed = false;
        text = p->is_ready ? xstrdup("is ready") : xasprintf("%s", summary.status);
    }
    tell(s, p, text);
}

static int pod_seen(struct session *s, struct up_pod *p, const struct json_value *pod,
                    enum pods_change change, struct err *e)
{
    if (change == PODS_DELETED) {
        p->is_gone = true;
        p->is_ready = false;
        p->steady_ns = 0;
        tell(s, p, "is gone");
        return 0;
    }
    p->is_gone = false;
    progress_tell(s, p, pod);
    if (!s->o->has_logs)
        return 0;
    TRY(logs_follow(s, p, pod, "status.initContainerStatuses", e));
    return logs_follow(s, p, pod, "status.containerStatuses", e);
}

static bool is_done(const struct session *s)
{
    if (s->is_stopping)
        return is_all(s, is_gone);
    return is_all(s, s->o->has_logs ? is_over : is_settled);
}

static void watch_line(void *ctx, char *text, size_t len)
{
    struct space *space = ctx;
    struct session *s = space->owner;
    AUTO(json_value) v = NULL;
    const struct json_value *pod;
    enum pods_change change;
    const char *name;
    int r;

    if (s->e->code || !len)
        return;
    r = pods_change_parse(text, len, &v, &pod, &change, s->e);
    if (r == -ESTALE)
        *s->e = ERR_INIT; /* the watch ends, and begins anew */
    name = r > 0 ? json_value_str(pod, "metadata.name") : NULL;
    for (size_t i = 0; name && i < s->n_pods; i++)
        if (str_eq(s->pods[i].object->name, name) && str_eq(s->pods[i].object->space, space->name))
            r = pod_seen(s, &s->pods[i], pod, change, s->e);
    if (s->e->code || is_done(s))
        followers_stop(s->followers);
}

static void watch_data(void *ctx, const void *data, size_t len)
{
    struct space *space = ctx;

    followed_lines_add(&space->lines, data, len);
}

static void watch_ended(void *ctx, const struct err *e);

static int space_watch(struct space *space, struct err *e)
{
    autobuf path = BUF_INIT;

    buf_clear(&space->lines.rest);
    resource_path_add(&path, resource_of(RESOURCE_POD), space->name, NULL);
    resource_query_add(&path, "watch", "1");
    return followers_add(space->owner->followers,
                         &(struct follower_options){buf_str(&path), watch_data, watch_ended, space},
                         NULL, e);
}

static void watch_ended(void *ctx, const struct err *e)
{
    struct space *space = ctx;
    struct session *s = space->owner;

    if (s->e->code)
        return;
    if (e->code)
        *s->e = *e;
    if (e->code || space_watch(space, s->e) < 0)
        followers_stop(s->followers);
}

/* ---- The session ---- */

static void pod_add(struct session *s, const struct object *o)
{
    size_t k = 0;

    s->pods[s->n_pods++] = (struct up_pod){.object = o};
    for (size_t i = 0; i < o->pod->n_containers; i++) {
        size_t len = strlen(o->name) + 1 + strlen(o->pod->containers[i].name);

        if (len > s->width)
            s->width = len;
    }
    while (k < s->n_spaces && !str_eq(s->spaces[k].name, o->space))
        k++;
    if (k == s->n_spaces)
        s->spaces[s->n_spaces++] = (struct space){.owner = s, .name = o->space};
}

/* Pods end in the order that the agent likes; waiting is the watch's. */
static void all_delete(struct session *s)
{
    s->is_stopping = true;
    fputs("Stopping; Ctrl-C again leaves at once\n", stderr);
    for (size_t i = 0; i < s->n_pods; i++) {
        struct up_pod *p = &s->pods[i];
        struct err e = ERR_INIT;
        autobuf path = BUF_INIT;
        int r;

        resource_path_add(&path, resource_of(RESOURCE_POD), p->object->space, p->object->name);
        r = pods_send(s->o->client, "DELETE", buf_str(&path), NULL, NULL, NULL, NULL, &e);
        if (r == -ENOENT)
            p->is_gone = true;
        else if (r < 0)
            cli_fail("up", &e, 1);
    }
}

static int timed_out(const struct session *s, struct err *e)
{
    for (size_t i = 0; i < s->n_pods; i++)
        if (!is_settled(&s->pods[i]))
            return err_set(e, -ETIMEDOUT, "Timeout",
                           "pod/%s is not ready yet; see 'wherry describe pod %s -n %s', or wait "
                           "longer by --timeout",
                           s->pods[i].object->name, s->pods[i].object->name,
                           s->pods[i].object->space);
    return 0;
}

/* Those that have been ready for long enough are; when the next one may be. */
static uint64_t steady_tell(void *ctx)
{
    struct session *s = ctx;
    uint64_t now = clock_monotonic_ns(), due = 0;

    for (size_t i = 0; i < s->n_pods; i++) {
        struct up_pod *p = &s->pods[i];

        if (p->steady_ns && p->steady_ns <= now) {
            p->steady_ns = 0;
            p->is_ready = true;
            tell(s, p, "is ready");
        } else if (p->steady_ns && (!due || p->steady_ns < due)) {
            due = p->steady_ns;
        }
    }
    if (is_done(s))
        followers_stop(s->followers);
    return due;
}

/* Why the watches are left. */
static int phase_run(struct session *s, uint64_t deadline_ns, struct err *e)
{
    int r = is_done(s) ? FOLLOWERS_STOPPED : followers_run(s->followers, deadline_ns, e);

    if (r < 0 || e->code)
        return e->code;
    return r;
}

static bool any_failed(const struct session *s)
{
    for (size_t i = 0; i < s->n_pods; i++)
        if (s->pods[i].has_failed)
            return true;
    return false;
}

static int session_run(struct session *s, struct err *e)
{
    uint64_t deadline_ns =
        s->o->timeout_ms ? clock_monotonic_ns() + (uint64_t)s->o->timeout_ms * 1000000 : 0;
    int r;

    TRY(followers_open(&s->followers, e));
    followers_tick_set(s->followers, steady_tell, s);
    if (s->o->has_logs)
        TRY(followers_signals_catch(s->followers, e));
    for (size_t i = 0; i < s->n_spaces; i++) {
        s->spaces[i].lines = (struct followed_lines){.line = watch_line, .ctx = &s->spaces[i]};
        TRY(space_watch(&s->spaces[i], e));
    }
    TRY(r = phase_run(s, deadline_ns, e));
    if (r == FOLLOWERS_TIMEOUT)
        TRY(timed_out(s, e));
    /* Ready in time: from now on without an end. */
    if (r == FOLLOWERS_TIMEOUT)
        TRY(r = phase_run(s, 0, e));
    if (!s->o->has_logs)
        return any_failed(s);
    bool has_failed = any_failed(s);
    all_delete(s);
    TRY(r = phase_run(s, 0, e));
    return r == FOLLOWERS_SIGNAL ? EXIT_INTERRUPTED : has_failed;
}

static void session_done(struct session *s)
{
    followers_free(s->followers);
    for (size_t i = 0; i < s->n_runs; i++) {
        free(s->runs[i]->container);
        free(s->runs[i]->uid);
        log_printer_done(&s->runs[i]->printer);
        buf_done(&s->runs[i]->lines.rest);
        free(s->runs[i]);
    }
    for (size_t i = 0; i < s->n_pods; i++)
        free(s->pods[i].told);
    for (size_t i = 0; i < s->n_spaces; i++)
        buf_done(&s->spaces[i].lines.rest);
    free(s->runs);
    free(s->pods);
    free(s->spaces);
}

int up_pods_run(const struct up_pods_options *o, struct err *e)
{
    struct session s = {
        .o = o,
        .pods = xcalloc(o->objects->n + 1, sizeof(struct up_pod)),
        .spaces = xcalloc(o->objects->n + 1, sizeof(struct space)),
        .has_colour = log_has_colour(STDOUT_FILENO),
        .e = e,
    };
    int r = 0;

    for (size_t i = 0; i < o->objects->n; i++)
        if (o->objects->v[i]->kind == OBJECT_POD)
            pod_add(&s, o->objects->v[i]);
    if (s.n_pods)
        r = session_run(&s, e);
    session_done(&s);
    return r;
}

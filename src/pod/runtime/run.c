/* SPDX-License-Identifier: Apache-2.0 */
/* One container of a pod: from its image to its end, one attempt after another. */
#include <fcntl.h>

#include "base/clock.h"
#include "pod/runtime/pod_internal.h"

void run_init(struct pod_run *r, struct pod *p, size_t index)
{
    *r = (struct pod_run){.pod = p, .index = index, .stdin_fd = -1};
}

const struct pod_container *run_spec(const struct pod_run *r)
{
    return &r->pod->spec->containers[r->index];
}

struct launch *run_launch(struct pod_run *r, struct strv *notes, struct err *e)
{
    struct pod *p = r->pod;
    AUTO(launch) l = xcalloc(1, sizeof(*l));

    l->places = &p->set->launches;
    l->pod = p->spec;
    l->container = run_spec(r);
    if (launch_gather(l, &p->fields, &p->set->o.objects, notes, e) < 0)
        return NULL;
    return take_ptr(l);
}

/* The guest goes on, if there is one; what belongs to it here goes. */
static void run_leave(struct pod_run *r)
{
    run_unprobe(r);
    if (r->stdin_fd >= 0)
        close(r->stdin_fd);
    r->stdin_fd = -1;
    if (r->container)
        measures_drop(r->pod, r->container);
    container_free(take_ptr(r->container));
    r->attempt = 0;
}

void run_done(struct pod_run *r)
{
    run_leave(r);
    image_request_free(take_ptr(r->request));
    compile_free(take_ptr(r->compile));
    launch_free(take_ptr(r->early));
    launch_free(take_ptr(r->prepared));
    free(take_ptr(r->image));
    free(take_ptr(r->image_id));
}

void run_check(struct pod_run *r)
{
    enum pod_state state = pod_machine_state(r->pod->m, r->index);

    if (r->request && state != POD_STATE_RESOLVING)
        image_request_free(take_ptr(r->request));
    if (r->compile && state != POD_STATE_PREPARING)
        compile_free(take_ptr(r->compile));
    if (state == POD_STATE_FINISHED) {
        launch_free(take_ptr(r->early));
        launch_free(take_ptr(r->prepared));
    }
}

static void feed(struct pod_run *r, struct pod_input in)
{
    in.container = r->index;
    pod_feed(r->pod, &in);
}

/* ---- Image ---- */

static void pulling(void *ctx)
{
    feed(ctx, (struct pod_input){.event = POD_EVENT_PULLING});
}

/* Copies both; NULL and NULL: a file. */
static void image_set(struct pod_run *r, const char *name, const char *id)
{
    free(r->image);
    free(r->image_id);
    r->image = name ? xstrdup(name) : NULL;
    r->image_id = id ? xstrdup(id) : NULL;
}

static void resolved(void *ctx, const struct image_found *found, const struct err *failed)
{
    struct pod_run *r = ctx;
    struct pod_input in = {.event = POD_EVENT_IMAGE_FAILED, .error = failed};

    if (found) {
        image_set(r, found->name, found->id);
        in = (struct pod_input){.event = POD_EVENT_IMAGE_OK, .image_id = r->image_id};
    }
    image_request_free(take_ptr(r->request));
    feed(r, in);
}

/* Whatever it takes: it may have to be fetched. */
static void image_seek(struct pod_run *r)
{
    image_request_free(take_ptr(r->request));
    r->request = image_find(r->pod->set->images, run_spec(r), pulling, resolved, r);
}

/* ---- Environment and mounts ---- */

/* Of an early one the image is looked up first, and nothing is opened unless it is here. */
struct prepare_chore {
    struct chore chore;
    struct pod_run *run;
    unsigned number;
    bool is_early, is_found;
    char *image_id; /* of an early one once it was looked up */
    struct launch *launch;
    int r; /* of opening it */
    struct err e;
};

static bool image_is_here(struct prepare_chore *p)
{
    struct launch *l = p->launch;
    const struct pod_container *c = l->container;
    struct err ignored = ERR_INIT;

    return image_look_up(l->places->store_dir, c->image, c->is_file, &l->image, &p->image_id,
                         &ignored) > 0;
}

static void prepare_work(struct chore *c)
{
    struct prepare_chore *p = (struct prepare_chore *)c;

    p->is_found = !p->is_early || image_is_here(p);
    if (!p->is_found)
        return;
    p->r = launch_open(p->launch, &p->e);
    if (p->r >= 0)
        p->launch->code_key = compile_key(&p->launch->spec, p->image_id);
}

/* It goes to where PREPARE looks for it. What went wrong PREPARE meets again, and tells. */
static void early_done(struct prepare_chore *p)
{
    struct pod_run *r = p->run;

    if (!p->is_found) {
        image_seek(r);
        return;
    }
    image_set(r, p->launch->image, p->image_id);
    if (p->r >= 0)
        r->early = take_ptr(p->launch);
    feed(r, (struct pod_input){.event = POD_EVENT_IMAGE_OK, .image_id = p->image_id});
}

/* Only what is compiled is to be started: it would count as running meanwhile, and be probed. */
static void compiled(void *ctx)
{
    struct pod_run *r = ctx;

    r->compile = NULL;
    if (pod_machine_state(r->pod->m, r->index) == POD_STATE_PREPARING)
        feed(r, (struct pod_input){.event = POD_EVENT_CONFIG_OK});
}

static void prepared(struct pod_run *r, struct launch *l)
{
    launch_free(r->prepared);
    r->prepared = l;
    compile_free(take_ptr(r->compile));
    r->compile = compile_start(r->pod->set->compiles, &l->spec, l->code_key, compiled, r);
    if (!r->compile)
        compiled(r);
}

static void prepare_done(struct chore *c)
{
    struct prepare_chore *p = (struct prepare_chore *)c;
    struct pod_run *r = p->run;
    enum pod_state wanted = p->is_early ? POD_STATE_RESOLVING : POD_STATE_PREPARING;

    if (!chore_is_void(c) && p->number == r->prepare &&
        pod_machine_state(r->pod->m, r->index) == wanted) {
        if (p->is_early)
            early_done(p);
        else if (p->r >= 0)
            prepared(r, take_ptr(p->launch));
        else
            feed(r, (struct pod_input){.event = POD_EVENT_CONFIG_FAILED, .error = &p->e});
    }
    launch_free(p->launch);
    free(p->image_id);
    free(p);
}

static void prepare_begin(struct pod_run *r, struct launch *l, bool is_early)
{
    struct prepare_chore *chore = xcalloc(1, sizeof(*chore));

    *chore = (struct prepare_chore){
        .chore = {.work = prepare_work, .done = prepare_done},
        .run = r,
        .number = ++r->prepare,
        .is_early = is_early,
        .image_id = !is_early && r->image_id ? xstrdup(r->image_id) : NULL,
        .launch = l
    };
    lane_add(&r->pod->volumes, r->pod, &chore->chore);
}

/*
 * Mostly the image is here and nothing is wrong: then it is looked up and the guest prepared in one
 * go of the work pool. What goes another way is begun anew, one step after the other.
 */
static bool resolve_at_once(struct pod_run *r)
{
    const struct pod_container *c = run_spec(r);
    autostrv notes = STRV_INIT;
    struct err ignored = ERR_INIT;
    AUTO(launch) l = NULL;

    if (c->pull == POD_PULL_ALWAYS && !c->is_file)
        return false;
    l = run_launch(r, &notes, &ignored);
    if (!l || notes.n)
        return false;
    prepare_begin(r, take_ptr(l), true);
    return true;
}

void run_resolve(struct pod_run *r)
{
    /* It may be over with it since it was ordered. */
    if (pod_machine_state(r->pod->m, r->index) != POD_STATE_RESOLVING)
        return;
    image_request_free(take_ptr(r->request));
    launch_free(take_ptr(r->early));
    if (!resolve_at_once(r))
        image_seek(r);
}

void run_prepare(struct pod_run *r)
{
    struct pod *p = r->pod;
    autostrv notes = STRV_INIT;
    struct launch *l;
    struct err e = ERR_INIT;

    if (pod_machine_state(p->m, r->index) != POD_STATE_PREPARING)
        return;
    if (r->early) {
        prepared(r, take_ptr(r->early));
        return;
    }
    l = run_launch(r, &notes, &e);
    if (!l) {
        feed(r, (struct pod_input){.event = POD_EVENT_CONFIG_FAILED, .error = &e});
        return;
    }
    l->image = r->image ? xstrdup(r->image) : NULL;
    for (size_t i = 0; i < notes.n; i++)
        pod_event(p, run_spec(r)->name, true, "InvalidEnvironmentVariableNames", "%s", notes.v[i]);
    prepare_begin(r, l, false);
}

/* ---- Start ---- */

static void started(void *ctx)
{
    struct pod_run *r = ctx;

    feed(r, (struct pod_input){.event = POD_EVENT_STARTED, .attempt = r->attempt});
}

static void group_end(const struct pod_run *r)
{
    cpu_limits_end(r->pod->set->cpu, container_id(r->container));
}

static void refused(void *ctx, const struct err *e)
{
    struct pod_run *r = ctx;
    struct pod_input in = {.event = POD_EVENT_REFUSED, .attempt = r->attempt, .error = e};

    group_end(r);
    run_leave(r);
    feed(r, in);
}

static void exited(void *ctx, const struct guest_status *status)
{
    struct pod_run *r = ctx;

    run_unprobe(r);
    execs_end(r->pod, r->index);
    run_ended(r, r->attempt, status);
}

static const struct container_events events = {started, refused, exited};

static int listeners_add(const struct pod_container *c, struct guest_spec *s, struct err *e)
{
    if (launch_ports(c) > GUEST_LISTENER_LIMIT)
        return err_set(e, -E2BIG, "TooManyPorts", "container '%s' has more than %d ports for TCP",
                       c->name, GUEST_LISTENER_LIMIT);
    for (size_t i = 0; i < c->n_ports; i++) {
        autofree char *url = xasprintf("http://0.0.0.0:%d", (int)c->ports[i].port);
        int fd;

        if (c->ports[i].protocol != POD_TCP)
            continue;
        TRY(launch_listen(c, c->ports[i].port, &fd, e));
        guest_spec_listener_add(s, fd, url);
    }
    s->has_optional_listeners = true;
    return 0;
}

static int stdin_add(struct pod_run *r, struct guest_spec *s, struct err *e)
{
    int fds[2];

    if (!run_spec(r)->has_stdin)
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a pipe");
    s->stdin_fd = fds[0];
    r->stdin_fd = fds[1];
    return 0;
}

void run_start(struct pod_run *r, int64_t attempt)
{
    const struct pod_container *c = run_spec(r);
    struct pod *p = r->pod;
    AUTO(launch) l = take_ptr(r->prepared);
    struct err e = ERR_INIT;

    BUG_ON(!l || r->container);
    if (c->has_tty)
        pod_event(p, c->name, true, "TtyNotSupported",
                  "container %s asks for a terminal, which programs in WebAssembly do not have",
                  c->name);
    l->spec.id = pod_attempt_id(p->spec, r->index, attempt);
    if (listeners_add(c, &l->spec, &e) < 0 || stdin_add(r, &l->spec, &e) < 0 ||
        cpu_limits_use(p->set->cpu, l->spec.id, &l->spec, &e) < 0) {
        run_leave(r);
        feed(r, (struct pod_input){.event = POD_EVENT_REFUSED, .attempt = attempt, .error = &e});
        return;
    }
    /* As many were started before, or refused. */
    l->spec.log_name = xasprintf("%lld.log", (long long)attempt - 1);
    r->attempt = attempt;
    r->container = container_start(p->set->o.containers, p->spec->space, &l->spec, &events, r);
    guest_spec_done(&l->spec); /* its descriptors were taken */
    l->spec = (struct guest_spec){0};
}

void run_claim(struct pod_run *r, int64_t attempt)
{
    struct pod *p = r->pod;
    autofree char *id = pod_attempt_id(p->spec, r->index, attempt);
    bool is_lost;

    r->container = container_claim(p->set->o.containers, p->spec->space, id, &events, r, &is_lost);
    if (r->container)
        r->attempt = attempt;
    else
        feed(r, (struct pod_input){.event = is_lost ? POD_EVENT_LOST : POD_EVENT_NEVER,
                                   .attempt = attempt});
}

/* ---- End ---- */

/*
 * A command is told by the end of its input. One that has none, or was adopted and so has seen that
 * end already, cannot be told. Of one with ports the worker knows whether it answers requests, and
 * ends it at once if not; how long requests may take the machine minds.
 */
void run_tell(struct pod_run *r)
{
    run_hook_cancel(r);
    if (!r->container)
        return;
    if (r->stdin_fd >= 0) {
        close(r->stdin_fd);
        r->stdin_fd = -1;
    } else if (launch_ports(run_spec(r))) {
        container_drain(r->container, INT64_MAX);
    } else {
        container_stop(r->container);
    }
}

void run_interrupt(struct pod_run *r)
{
    run_hook_cancel(r);
    if (r->container)
        container_stop(r->container);
}

void run_forget(struct pod_run *r, int64_t attempt)
{
    if (!r->container) {
        autofree char *id = pod_attempt_id(r->pod->spec, r->index, attempt);

        containers_forget_lost(r->pod->set->o.containers, r->pod->spec->space, id);
        return;
    }
    if (r->attempt != attempt)
        return;
    container_forget(r->container);
    group_end(r);
    run_leave(r);
}

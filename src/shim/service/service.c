/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/service/service.h"

#include "shim/messages/messages.h"
#include "shim/pod/sandbox.h"
#include "shim/service/options.h"
#include "shim/service/stats.h"
#include "shim/task/task_parts.h"

/* An operation that was not possible is no call that does not exist: containerd would ask again
 * for an older version of it. */
void service_fail(struct ttrpc_call *call, const struct err *e)
{
    enum ttrpc_code code = ttrpc_code_of(e->code);

    if (str_eq(e->reason, "WrongState") || str_eq(e->reason, "Busy"))
        code = TTRPC_FAILED_PRECONDITION;
    else if (str_eq(e->reason, "NotRunning"))
        code = TTRPC_NOT_FOUND;
    else if (str_eq(e->reason, "ShuttingDown"))
        code = TTRPC_UNAVAILABLE;
    else if (code == TTRPC_UNIMPLEMENTED || code == TTRPC_NOT_FOUND)
        code = TTRPC_UNKNOWN;
    else if (code == TTRPC_ALREADY_EXISTS && !str_eq(e->reason, "AlreadyExists"))
        code = TTRPC_UNKNOWN;
    ttrpc_call_fail(call, code, e->msg);
}

void service_refuse(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    ttrpc_call_fail(call, code, buf_str(&text));
}

bool service_is_lost(struct ttrpc_call *call)
{
    if (!ttrpc_call_is_lost(call))
        return false;
    ttrpc_call_fail(call, TTRPC_CANCELED, "nobody waits for the answer");
    return true;
}

void service_answer_empty(void *ctx, const struct err *e)
{
    struct ttrpc_call *call = ctx;

    if (e)
        service_fail(call, e);
    else
        ttrpc_call_answer(call, NULL, 0);
}

void *service_unpack(struct ttrpc_call *call, const ProtobufCMessageDescriptor *d,
                     const void *payload, size_t len, struct arena *a)
{
    struct err e = ERR_INIT;
    void *request = NULL;

    if (protobuf_unpack(d, (struct text){payload, len}, a, &request, &e) < 0) {
        ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, e.msg);
        return NULL;
    }
    return request;
}

static void none_refuse(struct ttrpc_call *call, const char *id)
{
    service_refuse(call, TTRPC_NOT_FOUND, "there is no container '%.200s'", id);
}

static struct task *task_of(struct shim *s, struct ttrpc_call *call, const char *id)
{
    struct task *t = task_find(s, id);

    if (t && t->init.state != PROCESS_NEW)
        return t;
    none_refuse(call, id);
    return NULL;
}

static struct process *process_of(struct shim *s, struct ttrpc_call *call, const char *id,
                                  const char *exec_id)
{
    struct task *t = task_of(s, call, id);
    struct process *p = t ? task_process(t, exec_id) : NULL;

    if (!p && t)
        service_refuse(call, TTRPC_NOT_FOUND, "the container '%.200s' has no process '%.200s'", id,
                       exec_id);
    return p;
}

/* ---- Create, Start, Delete ---- */

/* Whose answer needs the process that it was about. */
struct pending {
    struct ttrpc_call *call;
    struct shim *shim;
    struct process *process;
    char *id;
};

static struct pending *pending_new(struct shim *s, struct ttrpc_call *call, struct process *p,
                                   const char *id)
{
    struct pending *o = xcalloc(1, sizeof(*o));

    *o = (struct pending){.call = call, .shim = s, .process = p, .id = id ? xstrdup(id) : NULL};
    return o;
}

static void pending_free(struct pending *o)
{
    free(o->id);
    free(o);
}

static void created(void *ctx, const struct err *e)
{
    struct pending *o = ctx;
    Task__CreateTaskResponse answer = TASK__CREATE_TASK_RESPONSE__INIT;

    if (e) {
        service_fail(o->call, e);
    } else {
        answer.pid = (uint32_t)task_find(o->shim, o->id)->init.pid;
        ttrpc_call_answer_message(o->call, &answer.base);
    }
    pending_free(o);
}

static struct process_streams streams_copy(const char *in, const char *out, const char *err,
                                           bool has_terminal)
{
    return (struct process_streams){
        .in = xstrdup(in), .out = xstrdup(out), .err = xstrdup(err), .has_terminal = has_terminal};
}

static void rootfs_copy(const Task__CreateTaskRequest *r, struct task_request *ret)
{
    ret->rootfs = xcalloc(r->n_rootfs + 1, sizeof(*ret->rootfs));
    ret->n_rootfs = r->n_rootfs;
    for (size_t i = 0; i < r->n_rootfs; i++) {
        ret->rootfs[i] = (struct rootfs_mount){.type = xstrdup(r->rootfs[i]->type),
                                               .source = xstrdup(r->rootfs[i]->source),
                                               .target = xstrdup(r->rootfs[i]->target)};
        for (size_t k = 0; k < r->rootfs[i]->n_options; k++)
            strv_add(&ret->rootfs[i].options, r->rootfs[i]->options[k]);
    }
}

HANDLER(create)
{
    struct task_request request = {0};
    struct err e = ERR_INIT;
    REQUEST(Task__CreateTaskRequest, task__create_task_request__descriptor);

    if (!*r->id || !*r->bundle) {
        ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "a container wants an id and a bundle");
        return;
    }
    if (*r->checkpoint) {
        service_refuse(call, TTRPC_INVALID_ARGUMENT,
                       "the container '%.200s' cannot be made from a checkpoint; create it anew",
                       r->id);
        return;
    }
    if (task_options_decode(r->options, &request.options, &e) < 0) {
        service_fail(call, &e);
        return;
    }
    request.id = xstrdup(r->id);
    request.bundle = xstrdup(r->bundle);
    request.streams = streams_copy(r->stdin, r->stdout, r->stderr, r->terminal);
    rootfs_copy(r, &request);
    task_create(s, &request, created, pending_new(s, call, NULL, r->id));
    task_request_done(&request);
}

static void started(void *ctx, const struct err *e)
{
    struct pending *o = ctx;
    Task__StartResponse answer = TASK__START_RESPONSE__INIT;

    if (e) {
        service_fail(o->call, e);
    } else {
        answer.pid = (uint32_t)o->process->pid;
        ttrpc_call_answer_message(o->call, &answer.base);
    }
    pending_free(o);
}

HANDLER(start)
{
    struct process *p;
    REQUEST(Task__StartRequest, task__start_request__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (p)
        process_start(p, started, pending_new(s, call, p, NULL));
}

static void deleted(void *ctx, const struct err *e)
{
    struct pending *o = ctx;
    Task__DeleteResponse answer = TASK__DELETE_RESPONSE__INIT;
    Types__Timestamp at;

    if (e) {
        service_fail(o->call, e);
    } else {
        at = message_timestamp(o->process->exited_at_ns);
        answer.pid = (uint32_t)o->process->pid;
        answer.exit_status = o->process->exit_status;
        answer.exited_at = &at;
        ttrpc_call_answer_message(o->call, &answer.base);
    }
    pending_free(o);
}

HANDLER(delete)
{
    struct process *p;
    struct task *t;
    REQUEST(Task__DeleteRequest, task__delete_request__descriptor);

    t = task_find(s, r->id);
    if (t)
        (void)task_create_cancel(t);
    p = process_of(s, call, r->id, r->exec_id);
    if (p)
        process_delete(p, deleted, pending_new(s, call, p, NULL));
}

/* ---- State, Wait ---- */

static Task__Status status_of(const struct process *p)
{
    switch (p->state) {
    case PROCESS_NEW:
    case PROCESS_CREATED:
    case PROCESS_STARTING:
        return TASK__STATUS__CREATED;
    case PROCESS_RUNNING:
        return p->task->is_paused ? TASK__STATUS__PAUSED : TASK__STATUS__RUNNING;
    case PROCESS_STOPPED:
        break;
    }
    return TASK__STATUS__STOPPED;
}

HANDLER(state)
{
    Task__StateResponse answer = TASK__STATE_RESPONSE__INIT;
    Types__Timestamp at;
    struct process *p;
    REQUEST(Task__StateRequest, task__state_request__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (!p)
        return;
    at = message_timestamp(p->exited_at_ns);
    answer.id = p->task->id;
    answer.bundle = p->task->bundle;
    answer.pid = (uint32_t)p->pid;
    answer.status = status_of(p);
    answer.stdin = p->streams.in;
    answer.stdout = p->streams.out;
    answer.stderr = p->streams.err;
    answer.terminal = p->streams.has_terminal;
    answer.exit_status = p->exit_status;
    answer.exited_at = p->state == PROCESS_STOPPED ? &at : NULL;
    if (p->exec_id)
        answer.exec_id = p->exec_id;
    ttrpc_call_answer_message(call, &answer.base);
}

struct wait_call {
    struct process_wait wait;
    struct ttrpc_call *call;
};

static void wait_ended(struct process_wait *w, const struct process *p)
{
    struct wait_call *c = LINK_OF(struct wait_call, wait, w);
    Task__WaitResponse answer = TASK__WAIT_RESPONSE__INIT;
    Types__Timestamp at = message_timestamp(p->exited_at_ns);

    answer.exit_status = p->exit_status;
    answer.exited_at = &at;
    ttrpc_call_answer_message(c->call, &answer.base);
    free(c);
}

/* Those of connections that are gone. */
static void waits_sweep(struct process *p)
{
    struct process_wait *w;

    LINK_EACH(w, &p->waits, struct process_wait, link)
    {
        struct wait_call *c = LINK_OF(struct wait_call, wait, w);

        if (service_is_lost(c->call)) {
            link_remove(&w->link);
            free(c);
        }
    }
}

HANDLER(wait)
{
    struct wait_call *c;
    struct process *p;
    REQUEST(Task__WaitRequest, task__wait_request__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (!p)
        return;
    waits_sweep(p);
    c = xcalloc(1, sizeof(*c));
    *c = (struct wait_call){.call = call, .wait = {.ended = wait_ended}};
    process_wait(p, &c->wait);
}

/* ---- What is done with one that runs ---- */

HANDLER(kill)
{
    struct process *p;
    REQUEST(Task__KillRequest, task__kill_request__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (p)
        process_signal(p, (int)r->signal, r->all, service_answer_empty, call);
}

HANDLER(exec)
{
    struct process_streams streams;
    struct err e = ERR_INIT;
    struct task *t;
    int done;
    REQUEST(Task__ExecProcessRequest, task__exec_process_request__descriptor);

    t = task_of(s, call, r->id);
    if (!t)
        return;
    if (!*r->exec_id || !r->spec) {
        service_refuse(call, TTRPC_INVALID_ARGUMENT,
                       "an exec in the container '%.200s' wants an id and a process", r->id);
        return;
    }
    streams = streams_copy(r->stdin, r->stdout, r->stderr, r->terminal);
    done = task_exec(t, r->exec_id, &streams, r->spec->value.data, r->spec->value.len, &e);
    process_streams_done(&streams);
    service_answer_empty(call, done < 0 ? &e : NULL);
}

HANDLER(resize)
{
    struct process *p;
    REQUEST(Task__ResizePtyRequest, task__resize_pty_request__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (!p)
        return;
    process_resize(p, (uint16_t)r->width, (uint16_t)r->height);
    service_answer_empty(call, NULL);
}

HANDLER(close_io)
{
    struct process *p;
    REQUEST(Task__CloseIORequest, task__close_iorequest__descriptor);

    p = process_of(s, call, r->id, r->exec_id);
    if (!p)
        return;
    if (r->stdin)
        process_close_stdin(p);
    service_answer_empty(call, NULL);
}

HANDLER(pause)
{
    struct task *t;
    REQUEST(Task__PauseRequest, task__pause_request__descriptor);

    t = task_of(s, call, r->id);
    if (t)
        task_pause(t, true, service_answer_empty, call);
}

HANDLER(resume)
{
    struct task *t;
    REQUEST(Task__ResumeRequest, task__resume_request__descriptor);

    t = task_of(s, call, r->id);
    if (t)
        task_pause(t, false, service_answer_empty, call);
}

HANDLER(update)
{
    struct task *t;
    REQUEST(Task__UpdateTaskRequest, task__update_task_request__descriptor);

    t = task_of(s, call, r->id);
    if (t && !r->resources)
        service_refuse(call, TTRPC_INVALID_ARGUMENT,
                       "an update of the container '%.200s' wants resources", r->id);
    else if (t)
        task_update(t, (const char *)r->resources->value.data, r->resources->value.len,
                    service_answer_empty, call);
}

HANDLER(checkpoint)
{
    (void)ctx;
    (void)payload;
    (void)len;
    (void)timeout_ns;
    ttrpc_call_fail(call, TTRPC_UNIMPLEMENTED, "this runtime makes no checkpoints");
}

/* ---- What is known of it ---- */

/* Not while another thread takes it away. */
static bool has_group(const struct task *t)
{
    return t->cgroup && !t->init.is_deleting;
}

static void pids_add(const struct task *t, pid_t pid, struct arena *a, Task__ProcessInfo *info)
{
    const struct process *p;

    task__process_info__init(info);
    info->pid = (uint32_t)pid;
    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        Task__ProcessDetails details = TASK__PROCESS_DETAILS__INIT;
        autobuf packed = BUF_INIT;

        if (p->pid != pid || p->is_ended)
            continue;
        details.exec_id = p->exec_id;
        protobuf_add(&details.base, &packed);
        info->info = arena_alloc(a, sizeof(*info->info));
        types__any__init(info->info);
        info->info->type_url = (char *)MESSAGE_PROCESS_DETAILS;
        info->info->value.len = packed.len;
        info->info->value.data = (uint8_t *)arena_strndup(a, packed.data, packed.len);
    }
}

HANDLER(pids)
{
    Task__PidsResponse answer = TASK__PIDS_RESPONSE__INIT;
    autofree pid_t *pids = NULL;
    struct err e = ERR_INIT;
    struct task *t;
    size_t n = 0;
    REQUEST(Task__PidsRequest, task__pids_request__descriptor);

    t = task_of(s, call, r->id);
    if (!t)
        return;
    if (has_group(t) && cgroup_pids(t->cgroup, &pids, &n, &e) < 0) {
        service_fail(call, &e);
        return;
    }
    /* containerd 1.7 drops a sandbox that it finds without a process when it is started again. */
    if (t->kind == RECORD_SANDBOX && t->init.state != PROCESS_STOPPED) {
        pids = xcalloc(1, sizeof(*pids));
        pids[n++] = t->init.pid;
    }
    answer.processes = arena_array(a, n + 1, sizeof(Task__ProcessInfo *));
    for (size_t i = 0; i < n; i++) {
        answer.processes[i] = arena_alloc(a, sizeof(**answer.processes));
        pids_add(t, pids[i], a, answer.processes[i]);
    }
    answer.n_processes = n;
    ttrpc_call_answer_message(call, &answer.base);
}

HANDLER(stats)
{
    Task__StatsResponse answer = TASK__STATS_RESPONSE__INIT;
    struct cgroup_stats stats = {0};
    autobuf packed = BUF_INIT;
    struct err e = ERR_INIT;
    Types__Any any;
    struct task *t;
    REQUEST(Task__StatsRequest, task__stats_request__descriptor);

    t = task_of(s, call, r->id);
    if (!t)
        return;
    if (has_group(t) && cgroup_stats_read(t->cgroup, &stats, &e) < 0) {
        service_fail(call, &e);
        return;
    }
    stats_pack(&stats, &packed);
    any = message_any(MESSAGE_CGROUP2_METRICS, &packed);
    answer.stats = &any;
    ttrpc_call_answer_message(call, &answer.base);
}

HANDLER(connect)
{
    Task__ConnectResponse answer = TASK__CONNECT_RESPONSE__INIT;
    struct task *t;
    REQUEST(Task__ConnectRequest, task__connect_request__descriptor);

    answer.shim_pid = (uint32_t)getpid();
    /* containerd asks so, when it was started again, whether a sandbox's shim is there. Who names
     * nothing asks for the daemon alone. */
    if (!r->id[0] || (s->sandbox && str_eq(s->sandbox->id, r->id))) {
        ttrpc_call_answer_message(call, &answer.base);
        return;
    }
    t = task_find(s, r->id);
    if (!t) {
        none_refuse(call, r->id);
        return;
    }
    /* 0 while it is created: an error would be taken for a shim that is gone. */
    answer.task_pid = (uint32_t)t->init.pid;
    ttrpc_call_answer_message(call, &answer.base);
}

HANDLER(shutdown)
{
    struct task *t;
    REQUEST(Task__ShutdownRequest, task__shutdown_request__descriptor);

    service_answer_empty(call, NULL);
    t = task_find(s, r->id);
    if (t)
        (void)task_create_cancel(t);
    /* Told for each container of a pod; the last one is meant. */
    shim_shut_down(s);
}

const struct ttrpc_method task_methods[] = {
    {"State",      handle_state     },
    {"Create",     handle_create    },
    {"Start",      handle_start     },
    {"Delete",     handle_delete    },
    {"Pids",       handle_pids      },
    {"Pause",      handle_pause     },
    {"Resume",     handle_resume    },
    {"Checkpoint", handle_checkpoint},
    {"Kill",       handle_kill      },
    {"Exec",       handle_exec      },
    {"ResizePty",  handle_resize    },
    {"CloseIO",    handle_close_io  },
    {"Update",     handle_update    },
    {"Wait",       handle_wait      },
    {"Stats",      handle_stats     },
    {"Connect",    handle_connect   },
    {"Shutdown",   handle_shutdown  },
};
const size_t n_task_methods = ARRAY_SIZE(task_methods);

/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/events/publish.h"

#include "shim/messages/messages.h"
#include "shim/task/task_parts.h"

static void publish(const struct task *t, const char *topic, const char *type,
                    const ProtobufCMessage *m)
{
    autobuf packed = BUF_INIT;

    protobuf_add(m, &packed);
    events_publish(t->shim->events, topic, type, packed.data, packed.len);
}

static char *or_empty(char *text)
{
    return text ? text : (char *)"";
}

void publish_create(const struct task *t)
{
    Events__TaskCreate m = EVENTS__TASK_CREATE__INIT;
    Events__TaskIO io = EVENTS__TASK_IO__INIT;
    autofree Types__Mount *mounts = xcalloc(t->n_rootfs + 1, sizeof(*mounts));
    autofree Types__Mount **list = xcalloc(t->n_rootfs + 1, sizeof(Types__Mount *));

    for (size_t i = 0; i < t->n_rootfs; i++) {
        types__mount__init(&mounts[i]);
        mounts[i].type = or_empty(t->rootfs[i].type);
        mounts[i].source = or_empty(t->rootfs[i].source);
        mounts[i].target = or_empty(t->rootfs[i].target);
        mounts[i].n_options = t->rootfs[i].options.n;
        mounts[i].options = t->rootfs[i].options.v;
        list[i] = &mounts[i];
    }
    io.stdin = or_empty(t->init.streams.in);
    io.stdout = or_empty(t->init.streams.out);
    io.stderr = or_empty(t->init.streams.err);
    io.terminal = t->init.streams.has_terminal;
    m.container_id = t->id;
    m.bundle = t->bundle;
    m.n_rootfs = t->n_rootfs;
    m.rootfs = list;
    m.io = &io;
    m.pid = (uint32_t)t->init.pid;
    publish(t, "/tasks/create", MESSAGE_TASK_CREATE, &m.base);
}

void publish_start(const struct process *p)
{
    Events__TaskExecStarted exec = EVENTS__TASK_EXEC_STARTED__INIT;
    Events__TaskStart m = EVENTS__TASK_START__INIT;

    if (p->exec_id) {
        exec.container_id = p->task->id;
        exec.exec_id = p->exec_id;
        exec.pid = (uint32_t)p->pid;
        publish(p->task, "/tasks/exec-started", MESSAGE_TASK_EXEC_STARTED, &exec.base);
        return;
    }
    m.container_id = p->task->id;
    m.pid = (uint32_t)p->pid;
    publish(p->task, "/tasks/start", MESSAGE_TASK_START, &m.base);
}

void publish_exit(const struct process *p)
{
    Events__TaskExit m = EVENTS__TASK_EXIT__INIT;
    Types__Timestamp at = message_timestamp(p->exited_at_ns);

    m.container_id = p->task->id;
    m.id = p->exec_id ? p->exec_id : p->task->id;
    m.pid = (uint32_t)p->pid;
    m.exit_status = p->exit_status;
    m.exited_at = &at;
    publish(p->task, "/tasks/exit", MESSAGE_TASK_EXIT, &m.base);
}

void publish_delete(const struct process *p)
{
    Events__TaskDelete m = EVENTS__TASK_DELETE__INIT;
    Types__Timestamp at = message_timestamp(p->exited_at_ns);

    m.container_id = p->task->id;
    m.pid = (uint32_t)p->pid;
    m.exit_status = p->exit_status;
    m.exited_at = &at;
    publish(p->task, "/tasks/delete", MESSAGE_TASK_DELETE, &m.base);
}

void publish_oom(const struct task *t)
{
    Events__TaskOOM m = EVENTS__TASK_OOM__INIT;

    m.container_id = t->id;
    publish(t, "/tasks/oom", MESSAGE_TASK_OOM, &m.base);
}

void publish_exec_added(const struct process *p)
{
    Events__TaskExecAdded m = EVENTS__TASK_EXEC_ADDED__INIT;

    m.container_id = p->task->id;
    m.exec_id = p->exec_id;
    publish(p->task, "/tasks/exec-added", MESSAGE_TASK_EXEC_ADDED, &m.base);
}

void publish_paused(const struct task *t, bool is_paused)
{
    Events__TaskPaused paused = EVENTS__TASK_PAUSED__INIT;
    Events__TaskResumed resumed = EVENTS__TASK_RESUMED__INIT;

    paused.container_id = resumed.container_id = t->id;
    if (is_paused)
        publish(t, "/tasks/paused", MESSAGE_TASK_PAUSED, &paused.base);
    else
        publish(t, "/tasks/resumed", MESSAGE_TASK_RESUMED, &resumed.base);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/messages/bootstrap.pb-c.h"
#include "shim/messages/containerd.pb-c.h"
#include "shim/messages/cri.pb-c.h"
#include "shim/messages/events.pb-c.h"
#include "shim/messages/options.pb-c.h"
#include "shim/messages/sandbox.pb-c.h"
#include "shim/messages/stats.pb-c.h"
#include "shim/messages/task.pb-c.h"
#include "shim/messages/types.pb-c.h"
#include "wire/protobuf.h"

/*
 * containerd's messages, generated from the .proto files beside this one, and how they are read and
 * written (wire/protobuf.h):
 *
 *     Task__KillRequest *r;
 *     TRY(protobuf_unpack(&task__kill_request__descriptor, bytes, arena, &r, e));
 *
 *     Task__StartResponse answer = TASK__START_RESPONSE__INIT;
 *     answer.pid = pid;
 *     protobuf_add(&answer.base, &out);
 *
 * To the name of a type in an Any (types.proto) older senders prefix "type.googleapis.com/", which
 * is nowhere written here.
 */

/* The names that containerd knows the types by. */
#define MESSAGE_TASK_CREATE       "containerd.events.TaskCreate"
#define MESSAGE_TASK_START        "containerd.events.TaskStart"
#define MESSAGE_TASK_EXIT         "containerd.events.TaskExit"
#define MESSAGE_TASK_DELETE       "containerd.events.TaskDelete"
#define MESSAGE_TASK_OOM          "containerd.events.TaskOOM"
#define MESSAGE_TASK_EXEC_ADDED   "containerd.events.TaskExecAdded"
#define MESSAGE_TASK_EXEC_STARTED "containerd.events.TaskExecStarted"
#define MESSAGE_TASK_PAUSED       "containerd.events.TaskPaused"
#define MESSAGE_TASK_RESUMED      "containerd.events.TaskResumed"
#define MESSAGE_TASK_CHECKPOINTED "containerd.events.TaskCheckpointed"
#define MESSAGE_CGROUP2_METRICS   "io.containerd.cgroups.v2.Metrics"
#define MESSAGE_RUNC_OPTIONS      "containerd.runc.v1.Options"
#define MESSAGE_RUNTIME_OPTIONS   "runtimeoptions.v1.Options"
#define MESSAGE_PROCESS_DETAILS   "containerd.runc.v1.ProcessDetails"

/* Of clock_realtime_ns(). A moment that has not come yet is no field at all, and not a zero. */
Types__Timestamp message_timestamp(uint64_t realtime_ns);

/* An Any whose parts are the caller's. */
Types__Any message_any(const char *type_name, const struct buf *packed);
/* Whether it holds a message of that type; false for NULL. */
bool message_any_is(const Types__Any *any, const char *type_name);
/* As protobuf_unpack(), of the value; "BadMessage" also when it is NULL or of another type. */
int message_any_unpack(const Types__Any *any, const char *type_name,
                       const ProtobufCMessageDescriptor *d, struct arena *a, void *ret,
                       struct err *e);

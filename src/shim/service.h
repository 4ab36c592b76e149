/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/shim.h"
#include "wire/ttrpc.h"

/*
 * The calls that containerd makes (containerd, api/runtime/task/v3/shim.proto): the services
 * containerd.task.v2.Task and containerd.task.v3.Task, which are the same. The context of each is a
 * struct shim.
 */
extern const struct ttrpc_method task_methods[];
extern const size_t n_task_methods;

/* Answers with nothing, or fails with the error; a task_done, whose context is the call. */
void service_answer_empty(void *ctx, const struct err *e);
/* Fails with the code that containerd knows the error by. */
void service_fail(struct ttrpc_call *call, const struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/task/task.h"

/*
 * What containerd is told about tasks, in the order of these calls (containerd,
 * api/events/task.proto).
 */
void publish_create(const struct task *t);
void publish_start(const struct process *p); /* also that an exec was started */
void publish_exit(const struct process *p);
void publish_delete(const struct process *p); /* of the first process */
void publish_oom(const struct task *t);
void publish_exec_added(const struct process *p);
void publish_paused(const struct task *t, bool is_paused);

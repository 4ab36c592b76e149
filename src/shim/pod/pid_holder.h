/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * The first process of a PID namespace that the native containers of a pod share. It is a child
 * that sleeps, in the caller's other namespaces; whatever else is in its namespace is killed with
 * it. It ends when its thread's parent, which has to be the main thread, does, however that ends.
 *
 * Somebody else reaps it (loop_reap_orphans()).
 */
struct pid_holder;

/* "NamespaceFailed" */
int pid_holder_new(struct pid_holder **ret, struct err *e);
/* Kills it. NULL is fine. */
void pid_holder_free(struct pid_holder *h);
pid_t pid_holder_pid(const struct pid_holder *h);
/* The path of the namespace, which stays its own also when the process has ended. */
const char *pid_holder_path(const struct pid_holder *h);

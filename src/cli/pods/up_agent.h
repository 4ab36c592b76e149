/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "cli/agent_client.h"

/*
 * Makes sure that an agent answers. *ret_pid is 0 when there was one; otherwise one was started
 * (libexec's wherry-agent, in a session of its own, writing to agent.log in the state folder), is
 * this process's child, and outlives it. "AgentFailed" says what it wrote last when it ended or
 * did not answer in time.
 */
int up_agent_ensure(struct agent_client *c, pid_t *ret_pid, struct err *e);

/* Ends the child and waits for it: pods that run go on without it. */
void up_agent_stop(pid_t pid);

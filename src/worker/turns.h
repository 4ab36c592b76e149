/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How long a thread may keep a CPU that others want (sched_setattr(2), sched_runtime of
 * SCHED_OTHER; Linux 6.12). Threads that compute keep one for some milliseconds. Those that ask for
 * short turns get one sooner for it: they do not wait for other threads to end theirs.
 */

/* Of a thread that answers requests or runs guests. */
#define TURN_NS 200000u
/* Of a thread that they wait for. */
#define SHORTEST_TURN_NS 100000u

/* For the calling thread and those that it makes from now on; 0: what the kernel does by itself.
 * Where it refuses, nothing is lost. */
void turns_request(unsigned ns);

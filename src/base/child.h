/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Child processes of a program without a loop (with one: loop/loop.h).
 */

/* Waits for its end; *ret_status (which may be NULL) is as waitpid() gives it. Returns a negative
 * errno, without a message. */
int child_wait(pid_t pid, int *ret_status);

/* Waits likewise; its exit status as a shell tells it: 128 + N of what signal N ended. */
int child_wait_exit(pid_t pid);

/* In the child: it gets the signal `number` when the thread of the process `parent` that started it
 * ends. False when that has happened already, or cannot be had. Makes system calls only. */
bool child_end_with(pid_t parent, int number);

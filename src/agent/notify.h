/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "loop/loop.h"

/*
 * What a service manager is told and what it hands over: sd_notify(3), sd_listen_fds(3) and
 * sd_watchdog_enabled(3), without their library. Without such a manager all of it does nothing.
 */

/* "READY=1", "STOPPING=1", "STATUS=..." */
void notify_send(const char *state);

/* The listening socket that was handed over, close-on-exec; -1 without one. "BadActivation": there
 * are more of them than one. The variables are taken out of the environment. */
int notify_socket(int *ret_fd, struct err *e);

/* Tells the manager that the loop goes round, as often as it wants to hear it. */
struct notify_watchdog;
struct notify_watchdog *notify_watchdog_new(struct loop *l); /* NULL: nobody wants to */
void notify_watchdog_free(struct notify_watchdog *w);
DEFINE_AUTO(notify_watchdog);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The worker under a supervisor: it listens on an inherited socket, hosts any number of guests and
 * outlives the supervisor. Ends of guests are recorded in its folder before they are told, so that
 * the next supervisor finds what the last one missed (docs/internals/worker-protocol.md).
 *
 *   RUN/socket        the socket, made by who started the worker
 *   RUN/worker.json   pid and versions
 *   RUN/ID.exit       the status of an ended guest, until it is forgotten
 */
struct service_options {
    int listen_fd;         /* a listening unix stream socket */
    int dir_fd;            /* RUN; -1: nothing is recorded */
    const char *cache_dir; /* NULL: no cache */
};

/* Returns the process's exit status. */
int service_main(const struct service_options *o);

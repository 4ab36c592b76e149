/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "cli/serve_options.h"

/*
 * Listening sockets: made here, with the rights of the caller, or passed by a supervisor. All are
 * close-on-exec and non-blocking.
 */

/*
 * Listens on the address with `n` sockets, which share the port so that the kernel spreads the
 * connections over them; n is 1 for a unix socket. The file of a unix socket whose server is gone
 * is replaced. "ListenFailed".
 */
int sockets_listen(const struct listen_address *a, size_t n, int *ret_fds, struct err *e);

/* What the socket is bound to, with the port that the kernel picked: "127.0.0.1:8080", "[::]:80" or
 * "unix:" and an absolute path. Heap. */
int sockets_name(int fd, char **ret, struct err *e);

/*
 * Socket activation, sd_listen_fds(3): how many listening sockets were passed to this process, as
 * the descriptors from SOCKETS_PASSED_FIRST on; 0 for none. The variables are removed from the
 * environment. "ActivationFailed" for a descriptor that is no listening stream socket.
 */
#define SOCKETS_PASSED_FIRST 3
int sockets_passed(size_t *ret_n, struct err *e);

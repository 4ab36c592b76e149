/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/bootstrap.h"

#define SHIM_ADDRESS_NAME "address" /* the file of a bundle that has the socket's address */

/*
 * `start`: finds the daemon of the container's pod, or makes one, and says its address.
 *
 * Containers with the same annotation io.kubernetes.cri.sandbox-id share a daemon; any other has
 * its own. Its socket is named by a digest of containerd's address, the namespace and the pod, so
 * that every start of the pod finds it (containerd, pkg/shim, SocketAddress).
 */

/* Removes the socket of a daemon that was killed, unless another listens there already. */
void shim_socket_drop(const char *path);

/* In the parent: 0 when the address was written, which is the end of `start`. In the daemon: 1,
 * with its listening socket, in a session of its own, its standard streams being /dev/null but for
 * the log. Errors were not told yet. */
int shim_start(const struct shim_flags *f, struct bootstrap *b, int *ret_listen_fd,
               char **ret_socket, struct err *e);

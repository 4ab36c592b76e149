/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/command/bootstrap.h"

/*
 * `start`: finds the daemon of the container's pod, or makes one, and says its address.
 *
 * Containers with the same annotation io.kubernetes.cri.sandbox-id share a daemon; any other has
 * its own. Its socket is named by a digest of containerd's address, the namespace and the pod, so
 * that every start of the pod finds it (containerd, pkg/shim, SocketAddress).
 */

/* What the daemon has from the `start` that made it. */
struct shim_daemon {
    int listen_fd;
    char *socket; /* its path */
    int report_fd;
};

#define SHIM_DAEMON_INIT ((struct shim_daemon){.listen_fd = -EBADF, .report_fd = -EBADF})

/*
 * In the parent: 0 when the address was written, which is the end of `start`; when the daemon could
 * not begin, its error. In the daemon: 1, in a session of its own, its standard streams being
 * /dev/null but for the log; it has to report.
 */
int shim_start(const struct shim_flags *f, struct bootstrap *b, struct shim_daemon *ret,
               struct err *e);
/* From the daemon to `start`, once: that it serves, or (not NULL) why it cannot. */
void shim_daemon_report(struct shim_daemon *d, const struct err *e);
void shim_daemon_done(struct shim_daemon *d);

/* Removes the socket that the bundle's container was reached by, if nobody listens there. */
void shim_socket_drop(int bundle_fd);

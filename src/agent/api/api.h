/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/workloads.h"
#include "base/buf.h"

/*
 * The local API: the shape of Kubernetes' REST API over the objects of this machine, on unix
 * sockets (docs/internals/local-api.md). It opens what is behind it too (the object store and the
 * pods' runtime), so that an agent is a loop, its containers, and this:
 *
 *     containers_adopt(c, adopted, ...);
 *     adopted: api_listen(path, "wherry", &fd, e); api_open(&options, &api, e);
 *     api_close(api); containers_close(c); loop_free(loop);
 *
 * Whoever may connect and is uid 0, this process's user or of the group is trusted with everything.
 */
#define API_GROUP "wherry"

struct api;

struct api_options {
    struct workloads_options workloads; /* the callbacks are not read */
    const int *listen_fds;              /* unix sockets that listen; taken, also on failure */
    size_t n_listen_fds;
    const char *group;       /* whose members may use it; NULL: nobody's */
    const char *config_json; /* what /configz answers: an object; NULL: {} */
};

/* Pods go on from where an earlier agent left them. What is pointed to is copied, but for what
 * pods_open() wants to stay. "StateLocked", "ServerFailed", and what the parts say. */
int api_open(const struct api_options *o, struct api **ret, struct err *e);
/* Shuts connections and leaves guests running. Not from within a callback of the loop that came
 * from here. */
void api_close(struct api *a);

struct workloads *api_workloads(struct api *a);

/* What /metrics answers. */
void api_metrics_write(struct api *a, struct buf *out);

/*
 * A socket for it at `path`, with its folder: 0660 for the group if there is one of that name and
 * it can be given to it, else 0600. A socket that nobody serves any more is replaced;
 * "AlreadyRunning" (-EADDRINUSE) when somebody does. "SocketFailed".
 */
int api_listen(const char *path, const char *group, int *ret_fd, struct err *e);

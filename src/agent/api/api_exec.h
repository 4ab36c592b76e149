/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/runtime/pods.h"
#include "wire/http_server.h"

/*
 * What the local API answers by a WebSocket: exec and port-forward, by the channels of
 * wire/channels.h.
 *
 * Exec: a guest in the container's place, its streams on channels 0 to 2, and at its end, when all
 * of its output has been sent, a Status on channel 3. A client that goes away stops the guest. A
 * client that does not read makes the guest wait for it, and the other way round. With tty its
 * streams are one terminal, on the channels 0, 1 and 4 (agent/api/terminal.h), which stops it when
 * the interrupt character is typed: exit code 130.
 *
 * Port-forward: connections to ports of the pod at 127.0.0.1 (pods have the network of the host),
 * the i-th port on the channels 2i (data) and 2i+1 (errors), each begun by the port in two bytes,
 * little endian. With our own protocol
 * (CHANNEL_PROTOCOL_FORWARD) either side ends its direction by closing the channel.
 */

enum {
    API_STREAMS_LIMIT = 64, /* sessions at a time, of both kinds together */
    API_FORWARD_PORTS_LIMIT = 16,
};

/* The sessions that are under way. */
struct api_streams;
struct api_streams *api_streams_new(struct loop *l);
/* Ends all: guests are stopped, connections closed. */
void api_streams_free(struct api_streams *s);
DEFINE_AUTO(api_streams);
/* Ends those of a pod that is about to be freed: to be called by who gets pods_options.gone. */
void api_streams_pod_gone(struct api_streams *s, const struct pod *p);

/*
 * GET .../pods/NAME/exec. Takes the exchange in any case: what cannot be is answered by a Status
 * and told in *e ("BadRequest", "NotFound", "TooManyRequests", "BadHandshake"). `default_container`
 * is who is meant without `container=`. Query: container, command (again for each word; the limit
 * is of the request's head), stdin, stdout, stderr, tty, size, program. That the guest cannot be
 * started ("NotRunning") is told by the Status on channel 3.
 */
int api_exec_begin(struct api_streams *s, struct pod *p, const char *default_container,
                   struct http_exchange *x, struct err *e);

/* GET .../pods/NAME/portforward?ports=N (again, or N,N, for more). Likewise. */
int api_portforward_begin(struct api_streams *s, struct pod *p, struct http_exchange *x,
                          struct err *e);

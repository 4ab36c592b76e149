/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * Tells containerd what happened to tasks: a queue of events, which are forwarded one after
 * another, each when the one before was taken, so that their order is kept. While containerd is
 * away the events wait, and the connection is tried again, less and less often; of too many the
 * oldest are dropped and counted. An event may arrive twice, when containerd went away before it
 * answered.
 *
 * By ttrpc, containerd.services.events.ttrpc.v1.Events/Forward; without an address of that, as for
 * shims of old versions, by `BINARY --address A publish --topic T --namespace N` with an Any on
 * its standard input.
 */
struct events;

struct events_options {
    const char *ttrpc_address;  /* a path, with or without "unix://"; NULL or "": the binary */
    const char *publish_binary; /* NULL or "": there is none */
    const char *address;        /* of containerd, for the binary */
    const char *namespace;
    size_t queue_limit; /* bytes of events that wait; 0: 4 MiB */
};

/* Copies the options. "NoEventAddress" (-EINVAL): neither an address nor a binary. */
int events_open(struct loop *l, const struct events_options *o, struct events **ret, struct err *e);
/* What waits is lost, and a flush is not told. */
void events_free(struct events *e);
DEFINE_AUTO(events);

/* Queues an event that happens now; copies all. The type's name is one of shim/messages/messages.h,
 * and `packed` a message of it. */
void events_publish(struct events *e, const char *topic, const char *type_name, const void *packed,
                    size_t len);

/* Calls `done` once, and not from here, when nothing waits any more; or after that long with
 * "TimedOut". One at a time. */
void events_flush(struct events *e, uint64_t timeout_ms,
                  void (*done)(void *ctx, const struct err *e), void *ctx);

/* That were given up: too many waited, or containerd refused them. */
uint64_t events_dropped(const struct events *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/api/watch.h"
#include "loop/loop.h"

/*
 * What happened to pods, for people: Kubernetes' v1 Events, in memory only. The same thing again
 * (object, container, reason, text) is counted up and comes to the end of the row. The oldest go
 * when there are more than EVENTS_LIMIT, and each an hour after it happened last.
 */
#define EVENTS_LIMIT  1000
#define EVENTS_AGE_NS 3600000000000ull

/* What an event is about. */
struct event_subject {
    const char *kind; /* "Pod" */
    const char *space, *name, *uid;
    const char *container; /* NULL: the object as a whole */
};

struct events_options {
    struct loop *loop;
    const char *host;               /* the node's name */
    struct watch_feed *feed;        /* shows them */
    uint64_t (*version)(void *ctx); /* a new one for the feed */
    void *ctx;
    uint64_t age_ns; /* 0: EVENTS_AGE_NS */
};

struct events;

struct events *events_new(const struct events_options *o);
void events_free(struct events *s); /* before the feed */
DEFINE_AUTO(events);

void events_add(struct events *s, const struct event_subject *about, bool is_warning,
                const char *reason, const char *text);

size_t events_count(const struct events *s);

/* The fields that events are selected by, NULL-terminated. */
extern const char *const event_fields[];

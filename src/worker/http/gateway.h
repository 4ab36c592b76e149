/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/job.h"
#include "worker/http/apps.h"

/*
 * What the engine's server asks while it serves: who answers a request, with which marks, and what
 * becomes of its record. Used by all threads of the server.
 */
struct gateway;

/* The job and the apps must outlive it. "BadSpec". */
int gateway_new(const struct guest_job *j, struct apps *apps, struct gateway **ret, struct err *e);

/* After the server was freed; writes what is left of the access log. */
void gateway_free(struct gateway *g);
DEFINE_AUTO(gateway);

/* Fills the callbacks and the answers to requests that went wrong. */
void gateway_attach(struct gateway *g, struct engine_server_options *o);

/* The limits as the engine takes them. */
struct engine_server_limits serve_limits_engine(const struct serve_limits *l);

/* How many requests have ended. */
uint64_t gateway_requests(const struct gateway *g);

/* Whose figures the metrics page shows; once, before the server runs. */
void gateway_server_set(struct gateway *g, const struct engine_server *s);

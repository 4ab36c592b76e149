/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "engine/engine.h"
#include "guest/spec.h"

/*
 * The addresses a guest may reach: its grants, and what granted names were resolved to. An address
 * is judged when it is used, so a name that changes its address gains nothing beyond its grant.
 * The network may be used by many threads.
 */
struct grants;

/* `ca_fd` is a file with the certificates (PEM) that outgoing TLS trusts, read when they are first
 * needed; -1: none. It stays the caller's. "BadUsage" for a text that net_grant_parse() refuses. */
int grants_new(const struct strv *texts, int ca_fd, struct grants **ret, struct err *e);
void grants_free(struct grants *g);
DEFINE_AUTO(grants);

/* Fills the functions and their context. */
void grants_attach(struct grants *g, struct engine_network *n);

/* ---- What else a spec grants, as the engine takes it; all points into the spec ---- */

struct engine_dir *grants_dirs(const struct guest_spec *s); /* s->n_dirs; to be freed */
struct engine_limits grants_limits(const struct guest_spec *s);

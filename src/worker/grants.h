/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "engine/engine.h"

/*
 * The addresses a guest may reach: its grants, and what granted names were resolved to. An address
 * is judged when it is used, so a name that changes its address gains nothing beyond its grant.
 * Used on the guest's thread only.
 */
struct grants;

/* "BadUsage" for a text that net_grant_parse() refuses. */
int grants_new(const struct strv *texts, struct grants **ret, struct err *e);
void grants_free(struct grants *g);
DEFINE_AUTO(grants);

/* Fills the three functions and their context. */
void grants_attach(struct grants *g, struct engine_network *n);

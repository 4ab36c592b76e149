/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/pods/waiting.h"
#include "manifest/objects.h"

struct delete_way {
    int64_t grace_s;    /* below 0: the pod's own */
    bool is_waited;     /* until they are gone */
    int64_t timeout_ms; /* 0: for ever */
    bool is_tolerant;   /* what is not there is no mistake */
};

/* Deletes all of them, says so, and waits. What is not there is told, and makes the status 1. */
int delete_targets(struct agent_client *c, const struct waiting_targets *t,
                   const struct delete_way *way, struct err *e);

/* Adds what manifests have, pods first; claims are left out unless has_claims. */
void delete_targets_add(struct waiting_targets *t, const struct objects *s, bool has_claims);

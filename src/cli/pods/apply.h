/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/pods/command.h"
#include "manifest/objects.h"

/* Sends all of them, pods last, and says of each "created", "configured" or "unchanged". */
int apply_objects(struct agent_client *c, const struct objects *s, struct err *e);

/* The resource of an object's kind. */
const struct resource *apply_resource(enum object_kind kind);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/pods/command.h"

/* Waits for objects, each by a watch of its own. */

enum waiting_kind { WAITING_GONE, WAITING_CONDITION, WAITING_VALUE };

struct waiting_condition {
    enum waiting_kind kind;
    char *path;   /* CONDITION: its type; VALUE: a path (jsonpath.h). Heap */
    char *wanted; /* CONDITION: its status, "True"; VALUE: the text, NULL: any. Heap */
};

/* "delete", "condition=Ready[=True]", "jsonpath={.status.phase}=Running". "BadUsage". */
int waiting_condition_parse(const char *text, struct waiting_condition *ret, struct err *e);
void waiting_condition_done(struct waiting_condition *c);
bool waiting_is_met(const struct waiting_condition *c, const struct json_value *object);

struct waiting_target {
    const struct resource *resource;
    char *space, *name;
    char *uid; /* GONE: another of that name is another object; NULL: whichever */
};
struct waiting_targets {
    struct waiting_target *v;
    size_t n;
};
void waiting_targets_add(struct waiting_targets *t, const struct resource *r, const char *space,
                         const char *name, const char *uid);
void waiting_targets_add_found(struct waiting_targets *t, const struct pods_found *f,
                               const char *space);
void waiting_targets_done(struct waiting_targets *t);
#define autotargets __attribute__((cleanup(waiting_targets_done))) struct waiting_targets

/*
 * Until the condition is met for all of them; `met` (or NULL) when it is for one. timeout_ms below
 * 0 waits for ever, 0 looks once. "Timeout" (-ETIMEDOUT) names one that is not; "Deleted" (-ENOENT)
 * when one has gone and something else is waited for; "NotFound".
 */
int waiting_run(struct agent_client *c, const struct waiting_targets *t,
                const struct waiting_condition *condition, int64_t timeout_ms,
                void (*met)(void *ctx, const struct waiting_target *t), void *ctx, struct err *e);

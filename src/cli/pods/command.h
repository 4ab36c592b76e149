/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"
#include "cli/agent_client.h"
#include "cli/commands_pods.h"
#include "cli/pods/resource.h"

/*
 * What the commands for pods share. Each is a function that gets its parsed options; what it fails
 * with is told, and becomes the exit status: 125 for mistakes on the command line ("BadUsage",
 * "UnknownResource", "BadSelector", "BadTime"), else 1.
 */
struct pods_context {
    const char *command; /* "get" */
    const void *options; /* the command's own struct; begins with struct pods_common */
    const char *space;   /* of --namespace, WHERRY_NAMESPACE, or "default" */
    bool is_space_given; /* by --namespace */
    const struct strv *operands;
    struct agent_client *client;
};

/* The exit status, or less than 0 with *e filled; with e->code 0 it was told already. */
typedef int pods_command_run(const struct pods_context *x, struct err *e);

pods_command_run pods_up, pods_down, pods_apply, pods_delete, pods_get, pods_ps, pods_describe,
    pods_logs, pods_stop, pods_restart, pods_top, pods_events, pods_wait, pods_config_show;

/* The command of that name among them (with its second word for "config show"): -1 when there is
 * none, otherwise it has run, and this is the exit status. */
int pods_command(int argc, char *const *argv);

/* ---- Asking the agent ---- */

#define PODS_JSON_DEPTH 64

/* GETs a path and reads the JSON. */
int pods_fetch(struct agent_client *c, const struct buf *path, struct json_value **ret,
               struct err *e);
/* The same, where "NotFound" is no error: *ret is NULL. */
int pods_fetch_maybe(struct agent_client *c, const struct buf *path, struct json_value **ret,
                     struct err *e);
/* Sends `body` (JSON text, NULL: none); *ret (unless `ret` is NULL) is the answer's JSON. */
int pods_send(struct agent_client *c, const char *method, const char *path, const char *type,
              const struct buf *body, struct json_value **ret, long *ret_status, struct err *e);
int pods_json_parse(const char *text, size_t len, struct json_value **ret, struct err *e);

/* All that the references name, as one list of values; each lives as long as the answers. */
struct pods_found {
    struct json_value **answers; /* a list or an object each */
    size_t n_answers;
    const struct json_value **v;
    const struct resource **resources; /* of each */
    size_t n;
};
struct pods_query {
    const char *space; /* NULL: all */
    const char *selector, *field_selector;
    bool is_tolerant; /* what is not found is left out silently */
};
/* What is not found of several is told, and counted in *ret_missing; with one it is the error. */
int pods_find(const struct pods_context *x, const struct resource_refs *refs,
              const struct pods_query *q, struct pods_found *ret, size_t *ret_missing,
              struct err *e);
void pods_found_done(struct pods_found *f);
#define autofound __attribute__((cleanup(pods_found_done))) struct pods_found

/* ---- Watching ---- */

enum pods_change { PODS_ADDED, PODS_MODIFIED, PODS_DELETED };

/* A line of a watch: 1, with the object within *ret; 0 for what is no change (bookmarks). Errors of
 * the watch are "Expired" (-ESTALE) for a version that is not remembered, else "AgentFailed". */
int pods_change_parse(const char *line, size_t len, struct json_value **ret,
                      const struct json_value **ret_object, enum pods_change *ret_change,
                      struct err *e);

/* ---- Output ---- */

/* Writes to standard output; control characters are muted when that is a terminal. */
int pods_print(const struct buf *out);
/* "pod/web created" */
int pods_say(const char *resource, const char *name, const char *what);

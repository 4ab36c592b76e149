/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/pods/command.h"
#include "manifest/objects.h"

/*
 * The pods of `up` while they run: watched, told about, their logs followed.
 */
struct up_pods_options {
    struct agent_client *client;
    const struct objects *objects; /* its pods are those */
    bool has_logs;                 /* follow them; without, it returns when all are ready */
    int64_t timeout_ms;            /* to be ready; 0: for ever */
};

/*
 * Without logs: until all pods are ready or have succeeded. With logs: until all have ended or a
 * signal came; then they are deleted, and it returns when they are gone, or at a second signal.
 * The exit status: 0; 1 when a pod has failed; 130 after the second signal. "Timeout".
 */
int up_pods_run(const struct up_pods_options *o, struct err *e);

/* Why a pod does not run, in a sentence; false when nothing is wrong with it (yet). `ret_is_final`:
 * it will not get better by itself. */
bool up_pod_trouble(const struct json_value *pod, struct buf *ret, bool *ret_is_final);

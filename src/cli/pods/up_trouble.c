/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/pods/up_pods.h"

/* Waiting for these is no trouble; the first two are how each pod begins. */
static bool is_patient(const char *reason)
{
    static const char *const reasons[] = {"ContainerCreating", "PodInitializing", "Pulling"};

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq(reason, reasons[i]))
            return true;
    return false;
}

static void sentence_add(struct buf *out, const char *name, const char *reason, const char *message)
{
    buf_addf(out, "%scontainer %s: %s%s%s", out->len ? "; " : "", name ? name : "?", reason,
             message && *message ? ": " : "", message && *message ? message : "");
}

/* How the run that is over ended, which is why it waits. */
static void ended_add(struct buf *out, const char *name, const struct json_value *ended)
{
    const char *reason = json_value_str(ended, "reason");
    const char *message = json_value_str(ended, "message");
    autofree char *text = xasprintf("%s, exit code %" PRId64, reason && *reason ? reason : "Error",
                                    json_value_int(ended, "exitCode", 0));

    sentence_add(out, name, text, message);
}

static void container_add(struct buf *out, const struct json_value *c)
{
    const char *waiting = json_value_str(c, "state.waiting.reason");
    const struct json_value *ended = json_value_at(c, "state.terminated");
    const struct json_value *last = json_value_at(c, "lastState.terminated");
    const char *name = json_value_str(c, "name");

    if (ended && json_value_int(ended, "exitCode", 0)) {
        ended_add(out, name, ended);
    } else if (waiting && !is_patient(waiting)) {
        sentence_add(out, name, waiting, json_value_str(c, "state.waiting.message"));
        if (last)
            ended_add(out, name, last);
    }
}

bool up_pod_trouble(const struct json_value *pod, struct buf *ret, bool *ret_is_final)
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    const char *reason = json_value_str(pod, "status.reason");
    const char *message = json_value_str(pod, "status.message");
    const char *phase = json_value_str(pod, "status.phase");
    bool has_failed = phase && str_eq(phase, "Failed");

    *ret_is_final = has_failed;
    if (phase && str_eq(phase, "Succeeded"))
        return false;
    if (reason && *reason)
        buf_addf(ret, "%s%s%s", reason, message && *message ? ": " : "", message ? message : "");
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        const struct json_value *list = json_value_at(pod, lists[k]);

        for (size_t i = 0; i < json_value_count(list); i++)
            container_add(ret, json_value_item(list, i));
    }
    if (has_failed && !ret->len)
        buf_addstr(ret, "it failed, and the agent says not why");
    return ret->len;
}

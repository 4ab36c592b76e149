/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/steady.h"

#include "base/clock.h"
#include "cli/pods/ages.h"
#include "cli/pods/printers.h"

#define STEADY_NS (STEADY_MS * 1000000LL)

static bool is_probed(const struct json_value *pod)
{
    const struct json_value *list = json_value_at(pod, "spec.containers"), *c;

    for (size_t i = 0; (c = json_value_item(list, i)); i++)
        if (!json_value_at(c, "readinessProbe") && !json_value_at(c, "startupProbe"))
            return false;
    return true;
}

uint64_t pod_steady_ns(const struct json_value *pod)
{
    const char *text = json_value_str(pod_condition(pod, "Ready"), "lastTransitionTime");
    int64_t since_ns, left_ns = STEADY_NS;
    struct err e = ERR_INIT;

    if (is_probed(pod))
        return 0;
    /* Shown times are cut to seconds. */
    if (text && age_time_parse(text, &since_ns, &e) >= 0)
        left_ns += since_ns + 1000000000LL - (int64_t)clock_realtime_ns();
    if (left_ns <= 0)
        return 0;
    return clock_monotonic_ns() + (uint64_t)(left_ns < STEADY_NS ? left_ns : STEADY_NS);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/command.h"

/* `wherry events` is `wherry get events` with --for. */
int pods_events(const struct pods_context *x, struct err *e)
{
    const struct events_options *o = x->options;
    struct get_options get = {
        .common = o->common,
        .is_everywhere = o->is_everywhere,
        .is_watch = o->is_watch,
        .is_headless = o->is_headless,
        .output = o->output,
    };
    autostrv words = STRV_INIT, about = STRV_INIT;
    struct pods_context as = *x;
    autobuf fields = BUF_INIT;
    autorefs refs = {0};

    if (o->about) {
        strv_add(&about, o->about);
        TRY(resource_refs_parse(&about, NULL, &refs, e));
        if (!refs.v[0].name)
            return err_set(e, -EINVAL, "BadUsage", "--for '%.60s' is not RESOURCE/NAME", o->about);
        buf_addf(&fields, "involvedObject.kind=%s,involvedObject.name=%s", refs.v[0].resource->name,
                 refs.v[0].name);
        get.field_selector = buf_str(&fields);
    }
    strv_add(&words, "events");
    as.options = &get;
    as.operands = &words;
    return pods_get(&as, e);
}

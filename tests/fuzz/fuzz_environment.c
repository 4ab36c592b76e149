/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a value, a field path and a label: values stay text within the limit, a path with
 * unknown variables is refused, and what a volume is told of labels is one line for each. */
#include <stdint.h>

#include "base/json.h"
#include "pod/environment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(const char *text, struct err *e)
{
    autostrv env = STRV_INIT;
    autobuf loose = BUF_INIT, strict = BUF_INIT;

    strv_add(&env, "A=$(A)");
    strv_add(&env, "LONG=0123456789012345678901234567890123456789");
    if (environment_expand(text, &env, &loose, e) >= 0 &&
        environment_path(text, &env, &strict, e) >= 0)
        BUG_ON(!str_eq(buf_str(&loose), buf_str(&strict)));
    BUG_ON(!strchr(text, '$') && !str_eq(buf_str(&loose), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct pod_pair label = {"key", text};
    struct pod_spec spec = {
        .space = "s", .name = "p", .uid = "u", .labels = {&label, 1},
                   .annotations = {&label, 1}
    };
    struct pod_fields fields = {.spec = &spec};
    autobuf lines = BUF_INIT, value = BUF_INIT;
    struct err e = ERR_INIT;

    expand(text, &e);
    BUG_ON(pod_field_add(&fields, "metadata.labels", POD_FIELD_FILE, &lines, &e) < 0);
    BUG_ON(!str_starts(buf_str(&lines), "key=\"") || strchr(buf_str(&lines), '\n'));
    BUG_ON(!utf8_is_valid(buf_str(&lines), lines.len));
    if (pod_field_add(&fields, text, POD_FIELD_VARIABLE, &value, &e) < 0)
        BUG_ON(value.len || !e.msg[0]);
    return 0;
}

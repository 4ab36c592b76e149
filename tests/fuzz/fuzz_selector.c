/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a selector: an error, or one that can be asked about any labels. */
#include "agent/api/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void meet(struct selector *s)
{
    static struct pod_pair v[] = {
        {"a",             "b"},
        {"n",             "5"},
        {"metadata.name", "" }
    };
    struct pod_pairs none = {0}, some = {v, ARRAY_SIZE(v)};

    (void)selector_is_met(s, &none);
    (void)selector_is_met(s, &some);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = {"a", "n", "metadata.name", NULL};
    autofree char *text = xstrndup((const char *)data, size);
    AUTO(selector) labels = NULL;
    AUTO(selector) fields = NULL;
    struct err e = ERR_INIT;

    if (!selector_labels_parse(text, &labels, &e))
        meet(labels);
    else
        BUG_ON(e.code != -EINVAL || !*e.msg || labels);
    if (!selector_fields_parse(text, known, &fields, &e))
        meet(fields);
    else
        BUG_ON(e.code != -EINVAL || !*e.msg || fields);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the target of a request: an error, or a path and a query without surprises. */
#include "base/err.h"
#include "base/util.h"
#include "wire/http_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    AUTO(arena) a = arena_new();
    struct http_target t = {0};
    struct err e = ERR_INIT;

    if (http_target_parse(text, a, &t, &e) < 0) {
        BUG_ON(e.code != -EINVAL || !*e.msg || t.path);
        return 0;
    }
    BUG_ON(*t.path != '/' && !str_eq(t.path, "*"));
    BUG_ON(strlen(t.path) > strlen(text) + 1);
    for (size_t i = 0; i < t.n_query; i++)
        BUG_ON(strlen(t.query[i].key) + strlen(t.query[i].value) > strlen(text));
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an --env-file: each result has a name, each name once, failure changes nothing. */
#include <stdint.h>

#include "base/json.h"
#include "cli/run_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    if (size > 8192)
        return 0;
    if (env_file_parse("f", (const char *)data, size, &env, &e) < 0)
        BUG_ON(env.n || !e.msg[0]);
    for (size_t i = 0; i < env.n; i++) {
        const char *equals = strchr(env.v[i], '=');

        BUG_ON(!equals || equals == env.v[i] || !utf8_is_valid(env.v[i], strlen(env.v[i])));
        for (size_t j = 0; j < i; j++)
            BUG_ON(!strncmp(env.v[i], env.v[j], (size_t)(equals - env.v[i]) + 1));
    }
    return 0;
}

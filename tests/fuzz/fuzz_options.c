/* SPDX-License-Identifier: Apache-2.0 */
/* Any NUL-separated words as the arguments of `wherry run`, with the grammars inside them. */
#include <stdint.h>

#include "cli/commands.h"
#include "cli/run_options.h"
#include "guest/net_grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void values_check(const struct run_options *o)
{
    struct err e = ERR_INIT;

    for (size_t i = 0; i < o->dirs.n; i++) {
        struct dir_grant d = {0};

        if (dir_grant_parse(o->dirs.v[i], &d, &e) == 0)
            BUG_ON(!*d.host || !*d.guest);
        dir_grant_done(&d);
    }
    for (size_t i = 0; i < o->allow_net.n; i++) {
        struct net_grant g;

        if (net_grant_parse(o->allow_net.v[i], &g, &e) == 0)
            BUG_ON(g.port_from > g.port_to || g.port_to > 65535 || g.prefix_length > 128);
    }
    for (size_t i = 0; i < o->env.n; i++) {
        autostrv env = STRV_INIT;

        if (env_parse(o->env.v[i], &env, &e) == 0)
            BUG_ON(env.n > 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xcalloc(size + 1, 1);
    char *argv[64] = {(char *)"run"};
    struct run_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int argc = 1;

    memcpy(text, data, size);
    for (size_t at = 0; at < size && argc < 63; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    if (options_parse(&command_run, argc, argv, &o, &operands, &e) == 0) {
        BUG_ON(!o.is_help && !operands.n);
        values_check(&o);
    } else {
        BUG_ON(e.code != -EINVAL || !e.msg[0]);
    }
    options_done(&command_run, &o);
    return 0;
}

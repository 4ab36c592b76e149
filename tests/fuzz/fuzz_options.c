/* SPDX-License-Identifier: Apache-2.0 */
/* Any NUL-separated words as the arguments of `wherry run`, with the grammars inside them. */
#include "cli/commands.h"
#include "cli/run_options.h"
#include "guest/net_grant.h"
#include "words.h"

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
    struct words w = words_from("run", data, size);
    struct run_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;

    if (options_parse(&command_run, w.argc, w.argv, &o, &operands, &e) == 0) {
        BUG_ON(!o.is_help && !operands.n);
        values_check(&o);
    } else {
        BUG_ON(e.code != -EINVAL || !e.msg[0]);
    }
    options_done(&command_run, &o);
    free(w.text);
    return 0;
}

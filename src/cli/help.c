/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "cli/cli.h"

static int unknown(const char *name)
{
    const char *names[32], *near;
    size_t n = 0;

    for (const struct command_spec *const *c = commands_all; *c && n < ARRAY_SIZE(names) - 1; c++)
        names[n++] = (*c)->name;
    names[n] = NULL;
    near = options_suggest(name, names);
    if (near)
        log_error("help: '%s' is not a command; did you mean '%s'?", name, near);
    else
        log_error("help: '%s' is not a command. See 'wherry help'.", name);
    return GUEST_EXIT_WHERRY;
}

int main(int argc, char **argv)
{
    struct plain_options o = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    int status = cli_parse(&command_help, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (operands.n) {
        const struct command_spec *c = command_find(operands.v[0]);

        if (!c)
            return unknown(operands.v[0]);
        options_help(c, "wherry", cli_columns(), &out);
    } else {
        cli_overview(&out);
    }
    return cli_print(&out);
}

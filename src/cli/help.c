/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "cli/cli.h"

static int unknown(const char *name)
{
    autostrv names = STRV_INIT;
    const char *near;

    for (const struct command_spec *const *c = commands_all; *c; c++)
        strv_add(&names, (*c)->name);
    near = options_suggest(name, strv_array(&names));
    if (near)
        log_error("help: '%s' is not a command; did you mean '%s'?", name, near);
    else
        log_error("help: '%s' is not a command. See 'wherry help'.", name);
    return GUEST_EXIT_WHERRY;
}

static void group_help(const char *name, struct buf *out)
{
    size_t len = strlen(name);

    buf_addf(out, "Usage: wherry %s COMMAND [ARG...]\n\nCommands:\n", name);
    for (const struct command_spec *const *c = commands_all; *c; c++)
        if (str_starts((*c)->name, name) && (*c)->name[len] == ' ')
            buf_addf(out, "  %-12s%s\n", (*c)->name + len + 1, (*c)->summary);
    buf_addf(out, "\nSee 'wherry %s COMMAND --help'.\n", name);
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
        autofree char *name = operands.n > 1 ? xasprintf("%s %s", operands.v[0], operands.v[1])
                                             : xstrdup(operands.v[0]);
        const struct command_spec *c = command_find(name);

        if (c)
            options_help(c, "wherry", cli_columns(), &out);
        else if (command_is_group(name))
            group_help(name, &out);
        else
            return unknown(name);
    } else {
        cli_overview(&out);
    }
    return cli_print(&out);
}

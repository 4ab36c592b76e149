/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

/* `wherry-completion man [COMMAND] DATE` writes a man page: the build uses it. */
static int man(const char *name, const char *date)
{
    const struct command_spec *c = command_find(name);
    autobuf out = BUF_INIT;

    if (c)
        options_man(c, "wherry", date, &out);
    else
        options_man_program(&commands_program, date, &out);
    return cli_print(&out);
}

int main(int argc, char **argv)
{
    struct plain_options o = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    int status;

    if (argc == 4 && str_eq(argv[1], "man"))
        return man(argv[2], argv[3]);
    status = cli_parse(&command_completion, argc, argv, &o, &operands);
    if (status >= 0)
        return status;
    if (options_completion(operands.v[0], "wherry", commands_all, &out, &e) < 0)
        return cli_fail("completion", &e, GUEST_EXIT_WHERRY);
    return cli_print(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int cli_compile(int argc, char *const *argv)
{
    struct compile_options o = {0};
    autostrv operands = STRV_INIT;
    int status = cli_parse(&command_compile, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    options_done(&command_compile, &o);
    return EXIT_WHERRY;
}

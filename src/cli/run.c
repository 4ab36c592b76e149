/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int cli_run(int argc, char *const *argv)
{
    struct run_options o = {0};
    autostrv operands = STRV_INIT;
    int status = cli_parse(&command_run, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    options_done(&command_run, &o);
    return EXIT_WHERRY;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int cli_inspect(int argc, char *const *argv)
{
    struct inspect_options o = {0};
    autostrv operands = STRV_INIT;
    int status = cli_parse(&command_inspect, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    options_done(&command_inspect, &o);
    return EXIT_WHERRY;
}

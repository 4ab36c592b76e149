/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods.h"

#include "base/log.h"
#include "base/paths.h"
#include "cli/pods/command.h"

const char *pods_name(const char *text)
{
    static const char *const kinds[] = {"pod/", "pods/", "po/"};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_starts(text, kinds[i]))
            return text + strlen(kinds[i]);
    return text;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char *const *argv);
    } commands[] = {
        {"exec",         pods_exec        },
        {"port-forward", pods_port_forward},
        {"cp",           pods_copy        },
    };

    for (size_t i = 0; argc && i < ARRAY_SIZE(commands); i++)
        if (str_eq(path_base(argv[0]), commands[i].name))
            return commands[i].run(argc, argv);
    if (argc) {
        int status = pods_command(argc, argv);

        if (status >= 0)
            return status;
    }
    if (argc && str_eq(path_base(argv[0]), "config")) {
        log_error("config: expected show. See 'wherry help config'.");
        return GUEST_EXIT_WHERRY;
    }
    log_error("wherry-pods has the commands that speak to the agent; it is started by 'wherry'");
    return GUEST_EXIT_WHERRY;
}

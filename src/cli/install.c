/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/install.h"

#include "base/log.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*install)(int argc, char *const *argv);
    int (*uninstall)(int argc, char *const *argv);
} targets[] = {
    {"containerd", install_containerd, uninstall_containerd},
};

int main(int argc, char **argv)
{
    const char *target = argc > 1 ? argv[1] : NULL;
    const char *names[ARRAY_SIZE(targets) + 1] = {0};
    const char *near;

    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        names[i] = targets[i].name;
        if (target && str_eq(target, targets[i].name))
            return (str_eq(argv[0], "uninstall") ? targets[i].uninstall
                                                 : targets[i].install)(argc - 1, argv + 1);
    }
    near = target ? options_suggest(target, names) : NULL;
    if (near)
        log_error("'%s %s' is not a command; did you mean '%s %s'?", argv[0], target, argv[0],
                  near);
    else
        log_error("%s: expected what wherry is to be told to: containerd. See 'wherry help %s'.",
                  argv[0], argv[0]);
    return GUEST_EXIT_WHERRY;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `wherry`. It is started once for each guest, so it links little and does little:
 * run, serve, compile and inspect are built in because they become the worker; every other command
 * is a program in libexec/wherry, found as git finds its commands.
 */
#include <dirent.h>
#include <limits.h>

#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char *const *argv);
} builtins[] = {
    {"run",     cli_run    },
    {"serve",   cli_serve  },
    {"compile", cli_compile},
    {"inspect", cli_inspect},
};

/* Names of the commands that are there: built in, known, and programs in the helper folders. */
static void names_collect(struct strv *names)
{
    autostrv dirs = STRV_INIT;
    struct err e = ERR_INIT;

    for (const struct command_spec *const *c = commands_all; *c; c++)
        strv_add(names, (*c)->name);
    if (paths_program_dirs(&dirs, &e) < 0)
        return;
    for (size_t i = 0; i < dirs.n; i++) {
        DIR *dir = opendir(dirs.v[i]);
        const struct dirent *entry;

        while (dir && (entry = readdir(dir)))
            if (str_starts(entry->d_name, "wherry-"))
                strv_add(names, entry->d_name + strlen("wherry-"));
        if (dir)
            closedir(dir);
    }
}

static int unknown_command(const char *name)
{
    autostrv names = STRV_INIT;
    const char *near;

    names_collect(&names);
    near = options_suggest(name, (const char *const *)names.v);
    if (near)
        log_error("'%s' is not a command; did you mean '%s'? See 'wherry help'.", name, near);
    else if (strchr(name, '.') || strchr(name, '/'))
        log_error("'%s' is not a command; to run a file: wherry run %s", name, name);
    else
        log_error("'%s' is not a command. See 'wherry help'.", name);
    return GUEST_EXIT_WHERRY;
}

static void program_path_export(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n <= 0)
        return;
    path[n] = 0;
    setenv(CLI_PROGRAM_VARIABLE, path, 1);
}

/* Becomes libexec/wherry/wherry-NAME; returns only the exit status of a failure. */
static int become_helper(const char *name, char *const *argv)
{
    autofree char *program = xasprintf("wherry-%s", command_helper(name));
    autofree char *path = NULL;
    struct err e = ERR_INIT;

    if (strchr(name, '/') || paths_program_find(program, &path, &e) < 0)
        return command_find(name) && e.code ? cli_fail(NULL, &e, GUEST_EXIT_WHERRY)
                                            : unknown_command(name);
    program_path_export();
    execv(path, argv);
    log_error("cannot execute '%s': %s", path, err_text(errno));
    return GUEST_EXIT_WHERRY;
}

int main(int argc, char **argv)
{
    static char help[] = "help", version[] = "version";
    char **rest = argv + 1;
    autobuf out = BUF_INIT;

    if (argc < 2) {
        cli_overview(&out);
        cli_print(&out);
        return GUEST_EXIT_WHERRY;
    }
    if (str_eq(rest[0], "--help") || str_eq(rest[0], "-h"))
        rest[0] = help;
    else if (str_eq(rest[0], "--version") || str_eq(rest[0], "-V"))
        rest[0] = version;
    if (argc > 2 && command_is_group(rest[0]) &&
        (str_eq(rest[1], "--help") || str_eq(rest[1], "-h"))) {
        rest[1] = rest[0];
        rest[0] = help;
    }
    for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
        if (str_eq(rest[0], builtins[i].name))
            return builtins[i].run(argc - 1, rest);
    return become_helper(rest[0], rest);
}

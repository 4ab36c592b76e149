/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/child.h"
#include "base/fds.h"
#include "base/log.h"

int cli_columns(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col)
        return 80;
    return size.ws_col;
}

int cli_print(const struct buf *out)
{
    struct err e = ERR_INIT;

    if (fd_write_all(STDOUT_FILENO, buf_str(out), out->len, &e) < 0)
        return cli_fail(NULL, &e, GUEST_EXIT_WHERRY);
    return 0;
}

int cli_fail(const char *command, const struct err *e, int status)
{
    if (command)
        log_error("%s: %s", command, e->msg);
    else
        log_error("%s", e->msg);
    return status;
}

int cli_program_run(const char *path, char *const *argv, int out_fd)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int r;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r)
        return -r;
    return child_wait_exit(pid);
}

int cli_program_output(const char *path, char *const *argv, size_t limit, struct buf *ret,
                       struct err *e)
{
    autofd out = memfd_create("output", MFD_CLOEXEC);
    int status = out < 0 ? -errno : cli_program_run(path, argv, out);

    if (status < 0)
        return err_errno(e, status, "ExecFailed", "cannot run '%s'", path);
    if (lseek(out, 0, SEEK_SET) < 0)
        return err_errno(e, -errno, "ExecFailed", "cannot read the output of '%s'", path);
    TRY(fd_read_all(out, limit, ret, e));
    return status;
}

int cli_parse(const struct command_spec *c, int argc, char *const *argv, void *options,
              struct strv *operands)
{
    struct err e = ERR_INIT;
    int status = -1;

    if (options_parse(c, argc, argv, options, operands, &e) < 0) {
        /* The message begins with the command: "wherry " makes it the line that was typed. */
        log_name_set("wherry");
        autofree char *line = xasprintf("wherry %s\n", e.msg);

        if (fd_write_all(STDERR_FILENO, line, strlen(line), &e) < 0)
            log_error("%s", e.msg);
        status = GUEST_EXIT_WHERRY;
    } else {
        for (const struct option_spec *o = c->options; o->name; o++) {
            if (o->type == OPTION_HELP && *(bool *)((char *)options + o->offset)) {
                autobuf out = BUF_INIT;

                options_help(c, "wherry", cli_columns(), &out);
                status = cli_print(&out);
            }
        }
    }
    if (status >= 0) {
        options_done(c, options);
        strv_done(operands);
    }
    return status;
}

void cli_overview(struct buf *out)
{
    buf_addstr(out, "Usage: wherry COMMAND [ARG...]\n\n"
                    "Runs WebAssembly programs like containers.\n\nCommands:\n");
    for (const struct command_spec *const *c = commands_all; *c; c++)
        buf_addf(out, "  %-22s%s\n", (*c)->name, (*c)->summary);
    buf_addstr(out, "\nSee 'wherry COMMAND --help' or the man page wherry-COMMAND(1).\n"
                    "A first step: wherry new c hello && make -C hello && "
                    "wherry run hello/hello.wasm\n");
}

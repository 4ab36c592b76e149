/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/exec_session.h"
#include "cli/pods.h"

#define EXIT_OUTPUT_CLOSED 141 /* as of a program that SIGPIPE ended */

static int session_make(const struct exec_options *o, const struct strv *operands,
                        char **ret_program, struct strv *command, struct err *e)
{
    if (o->program) {
        TRY(path_absolute(o->program, ret_program, e));
        strv_add(command, path_base(o->program));
    } else if (operands->n < 2) {
        return err_set(e, -EINVAL, "BadUsage",
                       "the command is missing; for example: wherry exec %s -- ls -l",
                       operands->v[0]);
    }
    strv_addv(command, operands->v + 1);
    return 0;
}

/* As kubectl: a terminal is for who types, and needs one here. */
static bool is_tty(const struct exec_options *o)
{
    if (!o->is_tty || !o->is_interactive)
        return false;
    if (!isatty(STDIN_FILENO)) {
        log_warn("Unable to use a TTY - input is not a terminal or the right kind of file");
        return false;
    }
    return true;
}

static int exec(const struct exec_options *o, const struct strv *operands,
                struct channel_status *ret, struct err *e)
{
    AUTO(agent_client) client = NULL;
    autofree char *program = NULL;
    autostrv command = STRV_INIT;
    struct exec_session x = {
        .space = agent_space(o->common.space),
        .pod = pods_name(operands->v[0]),
        .container = o->container,
        .is_tty = is_tty(o),
        .in_fd = o->is_interactive ? STDIN_FILENO : -1,
        .out_fd = STDOUT_FILENO,
        .err_fd = STDERR_FILENO,
    };

    TRY(session_make(o, operands, &program, &command, e));
    x.program = program;
    x.command = strv_array(&command);
    TRY(agent_client_open(o->common.socket, &client, e));
    return exec_session_run(client, &x, ret, e);
}

static int exit_status(const struct channel_status *s)
{
    bool is_plain = s->is_exit && (!s->reason || str_eq(s->reason, "Error"));

    if (!is_plain)
        log_error("exec: %s", s->message ? s->message : s->reason ? s->reason : "it failed");
    return s->is_exit ? (int)s->exit_code : GUEST_EXIT_WHERRY;
}

int pods_exec(int argc, char *const *argv)
{
    struct exec_options o = {0};
    autostrv operands = STRV_INIT;
    struct channel_status s = {0};
    struct err e = ERR_INIT;
    int status = cli_parse(&command_exec, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (exec(&o, &operands, &s, &e) >= 0)
        status = exit_status(&s);
    else if (str_eq(e.reason, "OutputClosed"))
        status = EXIT_OUTPUT_CLOSED;
    else
        status = cli_fail("exec", &e, GUEST_EXIT_WHERRY);
    channel_status_done(&s);
    options_done(&command_exec, &o);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* containerd-shim-wherry-v1: what containerd starts for containers of the runtime
 * io.containerd.wherry.v1. */
#include <stdio.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/version.h"
#include "shim/command/delete.h"
#include "shim/command/info.h"
#include "shim/command/start.h"
#include "shim/shim.h"

/* Whatever is on standard error becomes part of containerd's own error. */
static int fail(const struct err *e)
{
    dprintf(STDERR_FILENO, "%s\n", e->msg);
    return 1;
}

static int command_start(const struct shim_flags *f)
{
    struct bootstrap b = {0};
    autobuf input = BUF_INIT;
    struct shim_daemon daemon = SHIM_DAEMON_INIT;
    struct err e = ERR_INIT;
    int r = fd_read_all(STDIN_FILENO, BOOTSTRAP_LIMIT_BYTES, &input, &e);

    if (r >= 0)
        r = bootstrap_parse(f, input.data, input.len, &b, &e);
    if (r >= 0)
        r = shim_start(f, &b, &daemon, &e);
    buf_done(&input);
    input = BUF_INIT;
    if (r > 0)
        r = shim_run(f, &b, &daemon, &e);
    shim_daemon_done(&daemon);
    bootstrap_done(&b);
    return r < 0 ? fail(&e) : 0;
}

static int command_delete(const struct shim_flags *f)
{
    struct err e = ERR_INIT;

    return shim_delete(f, &e) < 0 ? fail(&e) : 0;
}

static int command_info(void)
{
    struct err e = ERR_INIT;

    return shim_info(&e) < 0 ? fail(&e) : 0;
}

int main(int argc, char **argv)
{
    struct shim_flags f;
    struct err e = ERR_INIT;

    if (shim_flags_parse(argc, argv, &f, &e) < 0)
        return fail(&e);
    log_name_set("containerd-shim-wherry-v1");
    if (f.is_debug)
        log_level_set(LOG_LEVEL_DEBUG);
    switch (f.action) {
    case SHIM_START:
        return command_start(&f);
    case SHIM_DELETE:
        return command_delete(&f);
    case SHIM_INFO:
        return command_info();
    case SHIM_VERSION:
        printf("containerd-shim-wherry-v1:\n  Version: %s\n", wherry_version);
        return 0;
    case SHIM_HELP:
    case SHIM_NONE:
        break;
    }
    fputs(shim_usage, stdout);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/launch.h"

int cli_inspect(int argc, char *const *argv)
{
    struct inspect_options o = {0};
    struct guest_job job = GUEST_JOB_INIT;
    autostrv operands = STRV_INIT;
    struct launch_pull pull = {0};
    struct err e = ERR_INIT;
    int status = cli_parse(&command_inspect, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    pull.policy = o.pull;
    job.command = xstrdup("inspect");
    job.is_json = o.output && str_eq(o.output, "json");
    if (launch_cache_dir(o.cache_dir, &job.cache_dir, &e) >= 0 &&
        launch_files_add(&operands, &pull, &job, &e) >= 0)
        launch_job(&job, &e); /* returns only on failure */
    status = cli_fail("inspect", &e, guest_exit_for(&e));
    guest_job_done(&job);
    options_done(&command_inspect, &o);
    return status;
}

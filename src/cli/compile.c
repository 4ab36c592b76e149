/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/launch.h"

static int job_fill(const struct compile_options *o, const struct strv *operands,
                    struct guest_job *j, struct err *e)
{
    j->command = xstrdup("compile");
    j->is_shared = o->is_shared;
    j->verbosity = o->verbosity;
    TRY(launch_files_add(operands, &(struct launch_pull){.policy = o->pull}, j, e));
    return launch_cache_dir(o->cache_dir, &j->cache_dir, e);
}

int cli_compile(int argc, char *const *argv)
{
    struct compile_options o = {0};
    struct guest_job job = GUEST_JOB_INIT;
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_compile, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (job_fill(&o, &operands, &job, &e) >= 0)
        launch_job(&job, &e); /* returns only on failure */
    status = cli_fail("compile", &e, guest_exit_for(&e));
    guest_job_done(&job);
    options_done(&command_compile, &o);
    return status;
}

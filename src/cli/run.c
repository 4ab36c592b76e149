/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "guest/job.h"

static void limits_add(const struct run_options *o, struct guest_spec *s)
{
    const struct {
        const struct option_number *from;
        int64_t *to;
    } map[] = {
        {&o->memory_bytes,       &s->memory_bytes  },
        {&o->timeout_ms,         &s->timeout_ms    },
        {&o->max_descriptors,    &s->descriptors   },
        {&o->max_instances,      &s->instances     },
        {&o->max_tables,         &s->tables        },
        {&o->max_table_elements, &s->table_elements},
    };

    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        if (map[i].from->is_set)
            *map[i].to = map[i].from->value;
}

static int spec_fill(const struct run_options *o, const struct strv *operands, struct guest_spec *s,
                     struct err *e)
{
    const struct launch_pull pull = {.policy = o->pull, .is_quiet = o->is_quiet};
    const char *file = operands->v[0];
    struct guest_file program;

    TRY(launch_program(file, &pull, &program, NULL, e));
    s->module_fd = program.fd;
    s->image = program.image;
    s->command = program.command;
    s->has_image_defaults = true;
    free(program.name);
    s->id = xstrdup("run");
    s->name = xstrdup(o->name ? o->name : path_base(file));
    if (!o->invoke)
        strv_add(&s->args, s->name);
    for (size_t i = 1; i < operands->n; i++)
        strv_add(&s->args, operands->v[i]);
    TRY(env_collect(&o->env_files, &o->env, &s->env, e));
    TRY(launch_dirs_add(&o->dirs, s, e));
    TRY(launch_network_add(&o->allow_net, NULL, s, e));
    limits_add(o, s);
    if (o->invoke)
        s->invoke = xstrdup(o->invoke);
    s->stdin_fd = o->is_interactive ? STDIN_FILENO : -1;
    s->stdout_fd = STDOUT_FILENO;
    s->stderr_fd = STDERR_FILENO;
    return 0;
}

static int job_fill(const struct run_options *o, const struct strv *operands, struct guest_job *j,
                    struct err *e)
{
    j->command = xstrdup("run");
    j->is_quiet = o->is_quiet;
    j->verbosity = o->verbosity;
    /* First, so that every later failure can be written there. */
    if (o->status_file)
        TRY(path_absolute(o->status_file, &j->status_file, e));
    guest_spec_init(&j->spec);
    j->has_spec = true;
    TRY(spec_fill(o, operands, &j->spec, e));
    return o->is_uncached ? 0 : launch_cache_dir(o->cache_dir, &j->cache_dir, e);
}

/* The status document of a guest that no worker has seen; otherwise the worker writes it. */
static void status_file_write(const char *path, const struct err *why, int exit_code)
{
    struct guest_status s = {
        .id = (char *)"run",
        .reason = (char *)why->reason,
        .message = (char *)why->msg,
        .exit_code = exit_code,
    };
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, &text, true);
    guest_status_encode(&s, &w);
    if (json_writer_finish(&w, &e) < 0 ||
        file_write(path, buf_str(&text), text.len, 0644, 0, &e) < 0)
        log_error("run: --status-file: %s", e.msg);
}

int cli_run(int argc, char *const *argv)
{
    struct run_options o = {0};
    struct guest_job job = GUEST_JOB_INIT;
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_run, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (job_fill(&o, &operands, &job, &e) >= 0)
        launch_job(&job, &e); /* returns only on failure */
    status = cli_fail("run", &e, guest_exit_for(&e));
    if (job.status_file)
        status_file_write(job.status_file, &e, status);
    guest_job_done(&job);
    options_done(&command_run, &o);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "guest/job.h"
#include "guest/net_grant.h"

#define RESOLVER_FILE_LIMIT (256u << 10)

static int dirs_add(const struct strv *texts, struct guest_spec *s, struct err *e)
{
    if (texts->n > GUEST_DIR_LIMIT)
        return err_set(e, -E2BIG, "BadUsage", "more than %d --dir", GUEST_DIR_LIMIT);
    for (size_t i = 0; i < texts->n; i++) {
        struct dir_grant d = {0};
        int fd = -EBADF, r = dir_grant_parse(texts->v[i], &d, e);

        if (r >= 0)
            r = launch_dir_open(&d, &fd, e);
        if (r >= 0)
            r = launch_inherit(fd, e);
        if (r >= 0)
            guest_spec_dir_add(s, fd, d.guest, d.is_read_only);
        dir_grant_done(&d);
        TRY(r);
    }
    return 0;
}

/* The resolver's files are read here and given as text: the guest's names do not depend on what the
 * worker can see. A missing file is an empty one. */
static char *resolver_file(const char *path)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    if (file_read(path, RESOLVER_FILE_LIMIT, &text, &e) < 0)
        return NULL;
    return buf_take(&text);
}

static int network_add(const struct strv *grants, struct guest_spec *s, struct err *e)
{
    for (size_t i = 0; i < grants->n; i++) {
        struct net_grant g;

        TRY(net_grant_parse(grants->v[i], &g, e));
        strv_add(&s->allow_net, grants->v[i]);
    }
    if (grants->n) {
        s->resolv_conf = resolver_file("/etc/resolv.conf");
        s->hosts = resolver_file("/etc/hosts");
    }
    return 0;
}

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
    const char *file = operands->v[0];
    autofd fd = -EBADF;

    TRY(launch_file_open(file, &fd, e));
    TRY(launch_inherit(fd, e));
    s->id = xstrdup("run");
    s->name = xstrdup(o->name ? o->name : path_base(file));
    if (!o->invoke)
        strv_add(&s->args, s->name);
    for (size_t i = 1; i < operands->n; i++)
        strv_add(&s->args, operands->v[i]);
    TRY(env_collect(&o->env_files, &o->env, &s->env, e));
    TRY(dirs_add(&o->dirs, s, e));
    TRY(network_add(&o->allow_net, s, e));
    limits_add(o, s);
    if (o->invoke)
        s->invoke = xstrdup(o->invoke);
    s->stdin_fd = o->is_interactive ? STDIN_FILENO : -1;
    s->stdout_fd = STDOUT_FILENO;
    s->stderr_fd = STDERR_FILENO;
    s->module_fd = take_fd(&fd);
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
        TRY(launch_path_absolute(o->status_file, &j->status_file, e));
    guest_spec_init(&j->spec);
    j->has_spec = true;
    TRY(spec_fill(o, operands, &j->spec, e));
    if (o->cache_dir && !o->is_uncached)
        return launch_path_absolute(o->cache_dir, &j->cache_dir, e);
    return o->is_uncached ? 0 : launch_cache_dir(&j->cache_dir, e);
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
    struct guest_job job = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_run, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (job_fill(&o, &operands, &job, &e) >= 0)
        launch_job(&job, &e); /* returns only on failure */
    status = cli_fail("run", &e, launch_status(&e));
    if (job.status_file)
        status_file_write(job.status_file, &e, status);
    guest_job_done(&job);
    options_done(&command_run, &o);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* wherry-agent: from the configuration to the daemon (agent/agent.h). */
#include <stdio.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/daemon_options.h"
#include "guest/status.h"

/* What agent_options point to. */
struct places {
    char *state_dir, *run_dir, *workers_dir, *logs_dir, *socket, *cache_dir, *store_dir;
    char *worker, *image_program;
};

static void places_done(struct places *p)
{
    char *const all[] = {p->state_dir, p->run_dir,   p->workers_dir, p->logs_dir,     p->socket,
                         p->cache_dir, p->store_dir, p->worker,      p->image_program};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        free(all[i]);
}

/* As seen from the root: the daemon's folder may not be the caller's. */
static int absolute(const char *path, char **ret, struct err *e)
{
    autofree char *here = NULL;

    if (path[0] == '/') {
        *ret = xstrdup(path);
        return 0;
    }
    here = getcwd(NULL, 0);
    if (!here)
        return err_errno(e, -errno, "NoFolder", "cannot tell the current folder");
    *ret = path_join(here, path);
    return 0;
}

static int state_place(const struct daemon_options *o, struct places *p, struct err *e)
{
    autofree char *state = NULL;

    if (o->state_dir)
        return absolute(o->state_dir, &p->state_dir, e);
    TRY(paths_state_dir(&state, e));
    p->state_dir = path_join(state, "agent");
    return 0;
}

static int places_fill(const struct daemon_options *o, struct places *p, struct err *e)
{
    const char *socket = paths_env("WHERRY_SOCKET"); /* as its clients have it */

    TRY(state_place(o, p, e));
    if (o->run_dir)
        TRY(absolute(o->run_dir, &p->run_dir, e));
    else
        TRY(paths_run_dir(&p->run_dir, e));
    p->workers_dir = path_join(p->run_dir, "workers");
    if (o->logs_dir)
        TRY(absolute(o->logs_dir, &p->logs_dir, e));
    else
        p->logs_dir = geteuid() ? path_join(p->state_dir, "logs") : xstrdup("/var/log/pods");
    if (o->socket || socket)
        TRY(absolute(o->socket ? o->socket : socket, &p->socket, e));
    else
        p->socket = path_join(p->run_dir, "wherry.sock");
    if (o->cache_dir)
        TRY(absolute(o->cache_dir, &p->cache_dir, e));
    else
        TRY(paths_cache_dir(&p->cache_dir, e));
    TRY(paths_images_dir(&p->store_dir, e));
    TRY(paths_program_find("wherry-worker", &p->worker, e));
    return paths_program_find("wherry-image", &p->image_program, e);
}

static int run(const struct daemon_options *o, const struct config *config, struct places *p,
               struct err *e)
{
    autobuf shown = BUF_INIT;
    autobuf json = BUF_INIT;
    struct agent_options a = {.group = o->group,
                              .node_name = o->node_name,
                              .node_ip = o->node_ip,
                              .cpu_limit = o->cpu_limit,
                              .idle_worker_ms = (uint64_t)o->idle_worker_ms.value};

    TRY(places_fill(o, p, e));
    config_show(config, o, true, &shown);
    buf_addf(&json, "{\"options\":%s}", buf_str(&shown));
    a.state_dir = p->state_dir;
    a.run_dir = p->workers_dir;
    a.logs_dir = p->logs_dir;
    a.socket = p->socket;
    a.cache_dir = p->cache_dir;
    a.store_dir = p->store_dir;
    a.worker = p->worker;
    a.image_program = p->image_program;
    a.config_json = buf_str(&json);
    return agent_run(&a, e);
}

int main(int argc, char **argv)
{
    struct daemon_options o = {0};
    struct config config = {0};
    struct places places = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int r =
        config_parse(&command_agent, &daemon_config_source, argc, argv, &o, &config, &operands, &e);

    if (r >= 0 && o.is_help) {
        autobuf help = BUF_INIT;

        options_help(&command_agent, "wherry", cli_columns(), &help);
        config_done(&config);
        return cli_print(&help);
    }
    if (r >= 0) {
        log_level_set(LOG_LEVEL_WARN + o.verbosity);
        r = run(&o, &config, &places, &e);
        if (r < 0)
            err_prefix(&e, "agent");
    }
    if (r < 0)
        log_error("%s", e.msg);
    places_done(&places);
    config_done(&config);
    return r < 0 ? GUEST_EXIT_WHERRY : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/command.h"

#include <stdio.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/pods/logs.h"

static const struct {
    const struct command_spec *spec;
    size_t options_size;
    pods_command_run *run;
} commands[] = {
    {&command_up,          sizeof(struct up_options),          pods_up         },
    {&command_down,        sizeof(struct down_options),        pods_down       },
    {&command_apply,       sizeof(struct apply_options),       pods_apply      },
    {&command_delete,      sizeof(struct delete_options),      pods_delete     },
    {&command_get,         sizeof(struct get_options),         pods_get        },
    {&command_ps,          sizeof(struct get_options),         pods_ps         },
    {&command_describe,    sizeof(struct describe_options),    pods_describe   },
    {&command_logs,        sizeof(struct logs_options),        pods_logs       },
    {&command_stop,        sizeof(struct stop_options),        pods_stop       },
    {&command_restart,     sizeof(struct restart_options),     pods_restart    },
    {&command_top,         sizeof(struct top_options),         pods_top        },
    {&command_events,      sizeof(struct events_options),      pods_events     },
    {&command_wait,        sizeof(struct wait_options),        pods_wait       },
    {&command_config_show, sizeof(struct config_show_options), pods_config_show},
};

static int exit_for(const struct err *e)
{
    static const char *const mistakes[] = {"BadUsage", "UnknownResource", "BadSelector", "BadTime"};

    for (size_t i = 0; e->reason && i < ARRAY_SIZE(mistakes); i++)
        if (str_eq(e->reason, mistakes[i]))
            return GUEST_EXIT_WHERRY;
    return 1;
}

static int run(size_t i, const void *options, const struct strv *operands)
{
    const struct pods_common *common = options;
    AUTO(agent_client) client = NULL;
    struct pods_context x = {
        .command = commands[i].spec->name,
        .options = options,
        .space = agent_space(common->space),
        .is_space_given = common->space,
        .operands = operands,
    };
    struct err e = ERR_INIT;
    int r;

    /* For the processes that follow, too. */
    if (common->socket)
        setenv("WHERRY_SOCKET", common->socket, 1);
    r = agent_client_open(NULL, &client, &e);
    x.client = client;
    if (r >= 0)
        r = commands[i].run(&x, &e);
    if (r >= 0)
        return r;
    return e.code ? cli_fail(x.command, &e, exit_for(&e)) : 1;
}

int pods_command(int argc, char *const *argv)
{
    autofree char *two = xasprintf("%s %s", path_base(argv[0]), argc > 1 ? argv[1] : "");

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct command_spec *c = commands[i].spec;
        int shift = str_eq(c->name, two);
        autostrv operands = STRV_INIT;
        autofree void *options = NULL;
        int status;

        if (!shift && !str_eq(c->name, path_base(argv[0])))
            continue;
        options = xcalloc(1, commands[i].options_size);
        status = cli_parse(c, argc - shift, argv + shift, options, &operands);
        if (status >= 0)
            return status;
        status = run(i, options, &operands);
        options_done(c, options);
        return status;
    }
    return -1;
}

/* ---- Asking the agent ---- */

int pods_json_parse(const char *text, size_t len, struct json_value **ret, struct err *e)
{
    struct json_limits limits = {.bytes = AGENT_ANSWER_LIMIT, .depth = PODS_JSON_DEPTH};

    if (json_value_parse(text, len, limits, ret, e) < 0)
        return err_prefix(e, "the agent's answer is not understood");
    return 0;
}

int pods_fetch(struct agent_client *c, const struct buf *path, struct json_value **ret,
               struct err *e)
{
    autosecretbuf answer = BUF_INIT;

    TRY(agent_client_ask(c, &(struct agent_request){.target = buf_str(path)}, &answer, NULL, e));
    return pods_json_parse(buf_str(&answer), answer.len, ret, e);
}

int pods_fetch_maybe(struct agent_client *c, const struct buf *path, struct json_value **ret,
                     struct err *e)
{
    int r = pods_fetch(c, path, ret, e);

    if (r != -ENOENT || !str_eq(e->reason, "NotFound"))
        return r;
    *e = ERR_INIT;
    *ret = NULL;
    return 0;
}

int pods_send(struct agent_client *c, const char *method, const char *path, const char *type,
              const struct buf *body, struct json_value **ret, long *ret_status, struct err *e)
{
    struct agent_request q = {.method = method, .target = path, .content_type = type};
    autosecretbuf answer = BUF_INIT;

    if (body) {
        q.body = buf_str(body);
        q.body_len = body->len;
    }
    TRY(agent_client_ask(c, &q, &answer, ret_status, e));
    return ret ? pods_json_parse(buf_str(&answer), answer.len, ret, e) : 0;
}

/* ---- Finding ---- */

static void found_add(struct pods_found *f, const struct json_value *v, const struct resource *r)
{
    f->v = xrealloc(f->v, f->n + 1, sizeof(struct json_value *));
    f->resources = xrealloc(f->resources, f->n + 1, sizeof(struct resource *));
    f->resources[f->n] = r;
    f->v[f->n++] = v;
}

static void answer_take(struct pods_found *f, struct json_value *answer, const struct resource *r,
                        bool is_list)
{
    const struct json_value *items = json_value_member(answer, "items");

    f->answers = xrealloc(f->answers, f->n_answers + 1, sizeof(struct json_value *));
    f->answers[f->n_answers++] = answer;
    if (!is_list)
        found_add(f, answer, r);
    for (size_t i = 0; is_list && i < json_value_count(items); i++)
        found_add(f, json_value_item(items, i), r);
}

int pods_find(const struct pods_context *x, const struct resource_refs *refs,
              const struct pods_query *q, struct pods_found *ret, size_t *ret_missing,
              struct err *e)
{
    *ret_missing = 0;
    if (q->selector)
        TRY(resource_selector_check(q->selector, e));
    for (size_t i = 0; i < refs->n; i++) {
        struct json_value *answer = NULL;
        autobuf path = BUF_INIT;
        int r;

        if (refs->v[i].name && (q->selector || q->field_selector || !q->space))
            return err_set(e, -EINVAL, "BadUsage",
                           "an object is named, '%.60s': leave out selectors and --all-namespaces",
                           refs->v[i].name);
        resource_path_add(&path, refs->v[i].resource, q->space, refs->v[i].name);
        resource_query_add(&path, "labelSelector", q->selector);
        resource_query_add(&path, "fieldSelector", q->field_selector);
        r = pods_fetch(x->client, &path, &answer, e);
        if (r == -ENOENT && str_eq(e->reason, "NotFound") && (q->is_tolerant || refs->n > 1)) {
            if (!q->is_tolerant)
                cli_fail(x->command, e, 1);
            ++*ret_missing;
            *e = ERR_INIT;
            continue;
        }
        TRY(r);
        answer_take(ret, answer, refs->v[i].resource, !refs->v[i].name);
    }
    return 0;
}

void pods_found_done(struct pods_found *f)
{
    for (size_t i = 0; i < f->n_answers; i++)
        json_value_free(f->answers[i]);
    free(f->answers);
    free(f->v);
    free(f->resources);
    *f = (struct pods_found){0};
}

/* ---- Output ---- */

int pods_print(const struct buf *out)
{
    if (!out->len)
        return 0;
    if (isatty(STDOUT_FILENO))
        log_mute(out->data, out->len, false);
    return cli_print(out);
}

int pods_say(const char *resource, const char *name, const char *what)
{
    autobuf out = BUF_INIT;

    buf_addf(&out, "%s/%s %s\n", resource, name, what);
    return pods_print(&out);
}

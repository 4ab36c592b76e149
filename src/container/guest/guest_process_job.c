/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/guest_process_job.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/text.h"

#define TIMEOUT_ANNOTATION        "wherry.dev/timeout"
#define CONTAINER_NAME_ANNOTATION "io.kubernetes.cri.container-name"

#define RESOLV_LIMIT (64u << 10)
#define HOSTS_LIMIT  (1u << 20)

/* What the worker itself needs in the group: its own pages, a thread's stack, and the pages of
 * machine code that nobody else has in the cache yet. */
#define RESERVE_BYTES (INT64_C(8) << 20)

int64_t guest_process_memory(int64_t group_limit)
{
    int64_t half = group_limit / 2;

    /* Small groups are divided: a guest with a little memory is better than none. */
    return group_limit - RESERVE_BYTES > half ? group_limit - RESERVE_BYTES : half;
}

static const struct oci_process *process_of(const struct guest_process_options *o)
{
    return o->process ? o->process : &o->config->process;
}

unsigned guest_process_job_port(const struct guest_process_options *o)
{
    if (o->of || (o->contract != CONTRACT_P2_HTTP && o->contract != CONTRACT_P3_HTTP))
        return 0;
    return o->http_port ? o->http_port : GUEST_PROCESS_HTTP_PORT;
}

/* FILE#FUNCTION calls an export, with the words that follow. */
static int words_add(const struct guest_process_options *o, struct guest_spec *s, struct err *e)
{
    const struct oci_process *p = process_of(o);
    const char *function = o->function;

    if (!p->args.n)
        return err_set(e, -EINVAL, "BadConfig", "process.args is empty: there is no program");
    if (function && !str_eq(function, "_start"))
        s->invoke = xstrdup(function);
    /* The tool box takes its first word for its own name if it knows no such tool. */
    if (o->is_tool)
        strv_add(&s->args, s->name);
    for (size_t i = s->invoke ? 1 : 0; i < p->args.n; i++)
        if (i || !function)
            strv_add(&s->args, p->args.v[i]);
        else
            strv_addn(&s->args, p->args.v[i], strlen(p->args.v[i]) - strlen(function) - 1);
    strv_addv(&s->env, p->env.v);
    if (p->cwd && *p->cwd && !strv_variable_find(&s->env, "PWD="))
        strv_addf(&s->env, "PWD=%s", p->cwd);
    return 0;
}

static void memory_set(const struct oci_resources *r, struct guest_spec *s)
{
    int64_t most;

    if (!r->has_memory_limit || r->memory_limit <= 0)
        return;
    most = guest_process_memory(r->memory_limit);
    if (s->memory_bytes > most)
        s->memory_bytes = most;
}

/* Of the first process, by the annotation of its container, or of the pod. */
static int timeout_set(const struct guest_process_options *o, struct guest_spec *s, struct err *e)
{
    const char *name = oci_config_annotation(o->config, CONTAINER_NAME_ANNOTATION), *text = NULL;
    autofree char *own = name ? xasprintf("%s.%s", TIMEOUT_ANNOTATION, name) : NULL;

    if (o->of)
        return 0;
    if (own)
        text = oci_config_annotation(o->config, own);
    if (!text)
        text = oci_config_annotation(o->config, TIMEOUT_ANNOTATION);
    if (text && duration_ms_parse(text, &s->timeout_ms, e) < 0)
        return err_prefix(e, "the annotation " TIMEOUT_ANNOTATION);
    return 0;
}

int guest_process_job_begin(const struct guest_process_options *o, struct guest_job *j,
                            struct err *e)
{
    struct guest_spec *s = &j->spec;

    *j = GUEST_JOB_INIT;
    j->command = xstrdup("run");
    j->is_quiet = o->verbosity < 1;
    j->verbosity = o->verbosity;
    j->has_spec = true;
    guest_spec_init(s);
    s->id = xstrdup(o->id);
    s->name = xstrdup(o->program ? o->program : o->id);
    s->module_fd = o->program_fd;
    s->code_fd = o->code_fd;
    s->stdin_fd = o->stdin_fd < 0 ? -1 : STDIN_FILENO;
    s->stdout_fd = o->stdout_fd < 0 ? -1 : STDOUT_FILENO;
    s->stderr_fd = o->stderr_fd < 0 ? -1 : STDERR_FILENO;
    memory_set(&o->config->linux_.resources, s);
    /* Its network namespace is what limits it, and what is in there is its own. */
    strv_add(&s->allow_net, "*:*");
    TRY(timeout_set(o, s, e));
    return words_add(o, s, e);
}

static char *text_read(const struct guest_mounts *m, const char *path, size_t limit)
{
    autobuf raw = BUF_INIT, text = BUF_INIT;

    if (!guest_mounts_text(m, path, limit, &raw))
        return NULL;
    text_lossy_add((struct text){buf_str(&raw), strlen(buf_str(&raw))}, &text);
    return buf_take(&text);
}

/* The image's own; else the machine's. */
static int ca_open(const struct guest_mounts *m)
{
    const char *host = paths_system_ca();

    for (size_t i = 0; paths_ca_files[i]; i++) {
        int fd = guest_mounts_file_open(m, paths_ca_files[i]);

        if (fd >= 0)
            return fd;
    }
    return host ? open(host, O_RDONLY | O_CLOEXEC) : -1;
}

void guest_process_job_finish(const struct guest_mounts *m, struct guest_job *j, int *ret_ca_fd)
{
    guest_mounts_grant(m, &j->spec);
    j->spec.resolv_conf = text_read(m, "/etc/resolv.conf", RESOLV_LIMIT);
    j->spec.hosts = text_read(m, "/etc/hosts", HOSTS_LIMIT);
    *ret_ca_fd = ca_open(m);
    j->spec.ca_fd = *ret_ca_fd < 0 ? -1 : *ret_ca_fd;
}

int guest_process_job_file(const struct guest_job *j, int *ret_fd, struct err *e)
{
    autobuf text = BUF_INIT;
    struct json_writer w;

    TRY(guest_spec_check(&j->spec, e));
    json_writer_init(&w, &text, false);
    guest_job_encode(j, &w);
    TRY(json_writer_finish(&w, e));
    return memfd_from("wherry-job", buf_str(&text), text.len, ret_fd, e);
}

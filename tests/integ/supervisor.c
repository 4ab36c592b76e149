/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor that does what its standard input says, a line each, and says on standard output
 * what happens (tests/supervisor_client.py). supervisor RUN_DIR WORKER CACHE_DIR IDLE_MS ("-": no
 * cache, for ever)
 *
 *   start TENANT ID FILE ARG...   started ID, refused ID REASON TEXT, exited ID REASON STATUS TEXT
 *   claim TENANT ID               claimed ID, or none ID lost, or none ID unknown
 *   stop ID, forget ID, free ID
 *   measure ID                    figures ID CPU_NS MEMORY_BYTES, or figures ID none
 *   adopt                         adopted, or failed REASON TEXT
 *   orphans                       orphans COUNT
 *   workers                       worker TENANT PID GUESTS for each, then workers COUNT
 *   down                          down
 *   quit
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "container/container.h"

#define WORD_LIMIT 16

struct supervisor;

struct guest {
    struct guest *next;
    struct supervisor *supervisor;
    char *id;
    struct container *container;
};

struct supervisor {
    struct loop *loop;
    struct containers *set;
    struct loop_watch *input;
    struct guest *guests;
    struct buf line;
};

static void started(void *ctx)
{
    dprintf(STDOUT_FILENO, "started %s\n", ((struct guest *)ctx)->id);
}

static void refused(void *ctx, const struct err *e)
{
    dprintf(STDOUT_FILENO, "refused %s %s %s\n", ((struct guest *)ctx)->id, e->reason, e->msg);
}

static void exited(void *ctx, const struct guest_status *status)
{
    dprintf(STDOUT_FILENO, "exited %s %s %d %s\n", ((struct guest *)ctx)->id, status->reason,
            (int)status->exit_code, status->message ? status->message : "");
}

static void measured(void *ctx, const struct message_figures *f)
{
    const char *id = ((struct guest *)ctx)->id;

    if (f)
        dprintf(STDOUT_FILENO, "figures %s %lld %lld\n", id, (long long)f->cpu_ns,
                (long long)f->memory_bytes);
    else
        dprintf(STDOUT_FILENO, "figures %s none\n", id);
}

static const struct container_events events = {
    .started = started, .refused = refused, .exited = exited};

static struct guest *guest_add(struct supervisor *s, const char *id)
{
    struct guest *g = xcalloc(1, sizeof(*g));

    *g = (struct guest){.next = s->guests, .supervisor = s, .id = xstrdup(id)};
    s->guests = g;
    return g;
}

static struct guest *guest_get(struct supervisor *s, const char *id)
{
    for (struct guest *g = s->guests; g; g = g->next)
        if (str_eq(g->id, id))
            return g;
    log_error("there is no guest %s", id);
    exit(1);
}

static void guest_drop(struct guest *g)
{
    struct guest **at = &g->supervisor->guests;

    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    container_free(g->container);
    free(g->id);
    free(g);
}

static void start(struct supervisor *s, char **words, size_t n)
{
    struct guest *g = guest_add(s, words[2]);
    struct guest_spec spec;

    guest_spec_init(&spec);
    spec.id = xstrdup(words[2]);
    spec.name = xstrdup("test");
    spec.module_fd = open(words[3], O_RDONLY | O_CLOEXEC);
    strv_add(&spec.args, "test");
    for (size_t i = 4; i < n; i++)
        strv_add(&spec.args, words[i]);
    g->container = container_start(s->set, words[1], &spec, &events, g);
    guest_spec_done(&spec);
}

static void claim(struct supervisor *s, char **words)
{
    struct guest *g = guest_add(s, words[2]);
    bool is_lost;

    g->container = container_claim(s->set, words[1], words[2], &events, g, &is_lost);
    if (g->container) {
        dprintf(STDOUT_FILENO, "claimed %s\n", words[2]);
    } else {
        dprintf(STDOUT_FILENO, "none %s %s\n", words[2], is_lost ? "lost" : "unknown");
        guest_drop(g);
    }
}

static void say(void *ctx)
{
    dprintf(STDOUT_FILENO, "%s\n", (const char *)ctx);
}

static void adopted(void *ctx, const struct err *failed)
{
    (void)ctx;
    if (failed)
        dprintf(STDOUT_FILENO, "failed %s %s\n", failed->reason, failed->msg);
    else
        dprintf(STDOUT_FILENO, "adopted\n");
}

static void told(void *ctx, const char *tenant, const char *what)
{
    (void)ctx;
    dprintf(STDOUT_FILENO, "told %s %s\n", tenant, what);
}

static void worker_say(void *ctx, const char *tenant, pid_t pid, size_t guests)
{
    (void)ctx;
    dprintf(STDOUT_FILENO, "worker %s %d %zu\n", tenant, (int)pid, guests);
}

static void quit(struct supervisor *s)
{
    while (s->guests)
        guest_drop(s->guests);
    containers_close(s->set);
    loop_watch_free(take_ptr(s->input));
    loop_stop(s->loop);
}

static void obey(struct supervisor *s, char **words, size_t n)
{
    const char *verb = words[0];

    if (str_eq(verb, "start") && n > 3)
        start(s, words, n);
    else if (str_eq(verb, "claim") && n == 3)
        claim(s, words);
    else if (str_eq(verb, "stop") && n == 2)
        container_stop(guest_get(s, words[1])->container);
    else if (str_eq(verb, "forget") && n == 2)
        container_forget(guest_get(s, words[1])->container);
    else if (str_eq(verb, "free") && n == 2)
        guest_drop(guest_get(s, words[1]));
    else if (str_eq(verb, "measure") && n == 2)
        container_measure(guest_get(s, words[1])->container, measured, guest_get(s, words[1]));
    else if (str_eq(verb, "adopt"))
        containers_adopt(s->set, adopted, NULL);
    else if (str_eq(verb, "orphans"))
        dprintf(STDOUT_FILENO, "orphans %zu\n", containers_end_unclaimed(s->set));
    else if (str_eq(verb, "down"))
        containers_shut_down(s->set, say, "down");
    else if (str_eq(verb, "workers")) {
        containers_each_worker(s->set, worker_say, NULL);
        dprintf(STDOUT_FILENO, "workers %zu\n", containers_workers(s->set));
    } else if (str_eq(verb, "quit")) {
        quit(s);
    } else {
        log_error("'%s' is no command, or has other words", verb);
        exit(1);
    }
}

static void line_do(struct supervisor *s, char *line)
{
    char *words[WORD_LIMIT], *rest = NULL;
    size_t n = 0;

    for (char *w = strtok_r(line, " ", &rest); w && n < WORD_LIMIT; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    if (n)
        obey(s, words, n);
}

static void input_ready(void *ctx, unsigned events_seen)
{
    struct supervisor *s = ctx;
    char *end;
    ssize_t n = read(STDIN_FILENO, buf_reserve(&s->line, 65536), 65536);

    (void)events_seen;
    if (n <= 0) {
        quit(s);
        return;
    }
    s->line.len += (size_t)n;
    buf_terminate(&s->line);
    while (s->input && s->line.len && (end = strchr(s->line.data, '\n'))) {
        autofree char *line = xstrndup(s->line.data, (size_t)(end - s->line.data));

        buf_consume(&s->line, (size_t)(end - s->line.data) + 1);
        line_do(s, line);
    }
}

int main(int argc, char **argv)
{
    struct supervisor s = {0};
    struct containers_options o = {.told = told};
    struct err e = ERR_INIT;

    if (argc != 5)
        return 2;
    o.run_dir = argv[1];
    o.worker = argv[2];
    o.cache_dir = str_eq(argv[3], "-") ? NULL : argv[3];
    o.idle_ms = str_eq(argv[4], "-") ? UINT64_MAX : strtoull(argv[4], NULL, 10);
    if (loop_open(&s.loop, &e) < 0) {
        log_error("%s", e.msg);
        return 1;
    }
    o.loop = s.loop;
    if (containers_open(&o, &s.set, &e) < 0 ||
        loop_watch_new(s.loop, STDIN_FILENO, input_ready, &s, &s.input, &e) < 0) {
        dprintf(STDOUT_FILENO, "failed %s %s\n", e.reason, e.msg);
        return 1;
    }
    loop_watch_set(s.input, LOOP_READABLE);
    loop_run(s.loop);
    buf_done(&s.line);
    loop_free(s.loop);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor of pods that does what its standard input says, a line each, and says on standard
 * output what happens (tests/integ/test_pods.py). pods DIR LIBEXEC
 *
 *   add UID FILE       the objects of a manifest; the uid is that of its pod ("-": it has none)
 *   restore            restored: after it the pods start
 *   delete UID MS, restart UID CONTAINER, changed KIND SPACE NAME, close UID
 *   status UID         status UID JSON
 *   log UID CONTAINER  log UID PATH, or log UID none
 *   exec UID CONTAINER WORD...   exec UID EXIT REASON TEXT; what it writes is ours
 *   measure UID        figures UID CONTAINER for each that runs, then figures UID end
 *   quit               ends and leaves guests running
 *   down               ends all guests, then quits
 *
 * Unasked: event UID CONTAINER REASON TEXT, phase UID PHASE, gone UID
 */
#include <fcntl.h>
#include <stdio.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "manifest/objects.h"
#include "pod/runtime/pods.h"

#define WORD_LIMIT 16

struct driver {
    struct loop *loop;
    struct containers *containers;
    struct pods *pods;
    struct loop_watch *input;
    struct objects objects;
    struct buf line;
    struct pod_object found;
    struct pod_object_key keys[64];
    struct pod_exec *exec;
    struct pod *exec_of;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    buf_addc(&text, '\n');
    fd_write_all(STDOUT_FILENO, text.data, text.len, &e);
}

/* ---- What happens ---- */

static void changed(void *ctx, struct pod *p)
{
    (void)ctx;
    say("phase %s %s", pod_spec_of(p)->uid, pod_phase_name(pod_machine_phase(pod_machine_of(p))));
}

static void event(void *ctx, struct pod *p, const char *container, bool is_warning,
                  const char *reason, const char *text)
{
    (void)ctx;
    (void)is_warning;
    say("event %s %s %s %s", pod_spec_of(p)->uid, container ? container : "-", reason, text);
}

static void gone(void *ctx, struct pod *p)
{
    (void)ctx;
    say("gone %s", pod_spec_of(p)->uid);
}

static int find(void *ctx, enum pod_object_kind kind, const char *space, const char *name,
                const struct pod_object **ret, struct err *e)
{
    static const enum object_kind kinds[] = {OBJECT_CONFIG, OBJECT_SECRET, OBJECT_CLAIM};
    struct driver *d = ctx;
    const struct object *o = objects_find(&d->objects, kinds[kind], space, name);

    (void)e;
    if (!o)
        return -ENOENT;
    d->found = (struct pod_object){.keys = d->keys};
    for (size_t i = 0; kind != POD_OBJECT_CLAIM && i < o->data.n && i < ARRAY_SIZE(d->keys); i++)
        d->keys[d->found.n_keys++] = (struct pod_object_key){
            .name = o->data.v[i].key, .data = o->data.v[i].data, .len = o->data.v[i].len};
    *ret = &d->found;
    return 0;
}

/* ---- What is asked for ---- */

static void fail(const struct err *e)
{
    log_error("%s: %s", e->reason, e->msg);
    exit(1);
}

static void add(struct driver *d, const char *uid, const char *file)
{
    autofree char *dir = path_dir(file);
    const struct objects_options o = {.file = file, .base_dir = dir};
    size_t before = d->objects.n;
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    if (file_read(file, OBJECT_LIMIT_BYTES, &text, &e) < 0 ||
        objects_parse((struct text){text.data, text.len}, &o, &d->objects, &e) < 0)
        fail(&e);
    for (size_t i = before; i < d->objects.n; i++) {
        struct object *object = d->objects.v[i];

        if (object->kind != OBJECT_POD)
            continue;
        object_stamp(object, uid, NULL, NULL);
        pods_add(d->pods, object->pod);
    }
}

static struct pod *pod_get(struct driver *d, const char *uid)
{
    struct pod *p = pods_find(d->pods, uid);

    if (!p) {
        log_error("there is no pod %s", uid);
        exit(1);
    }
    return p;
}

static void status(struct driver *d, const char *uid)
{
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, &text, false);
    pod_status_write(pod_get(d, uid), &w);
    if (json_writer_finish(&w, &e) < 0)
        fail(&e);
    say("status %s %s", uid, buf_str(&text));
}

static void log_say(struct driver *d, const char *uid, const char *container)
{
    autofree char *path = NULL;
    struct err e = ERR_INIT;

    if (pod_log_path(pod_get(d, uid), container, false, &path, &e) < 0)
        say("log %s none", uid);
    else
        say("log %s %s", uid, path);
}

static void exec_ended(void *ctx, const struct guest_status *s)
{
    struct driver *d = ctx;

    say("exec %s %d %s %s", pod_spec_of(d->exec_of)->uid, (int)s->exit_code, s->reason,
        s->message ? s->message : "");
    pod_exec_free(take_ptr(d->exec));
}

static void exec(struct driver *d, char **words, size_t n)
{
    autostrv args = STRV_INIT;
    struct pod_exec_options o = {.container = words[2],
                                 .stdin_fd = -1,
                                 .stdout_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3),
                                 .stderr_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3),
                                 .ended = exec_ended,
                                 .ctx = d};
    struct err e = ERR_INIT;

    for (size_t i = 3; i < n; i++)
        strv_add(&args, words[i]);
    o.args = strv_array(&args);
    d->exec_of = pod_get(d, words[1]);
    if (pod_exec_start(d->exec_of, &o, &d->exec, &e) < 0)
        say("exec %s -1 %s %s", words[1], e.reason, e.msg);
}

static void measured(void *ctx, const char *container, const struct message_figures *f)
{
    struct pod *p = ctx;

    say("figures %s %s", pod_spec_of(p)->uid, f ? container : "end");
}

static void quit(struct driver *d)
{
    pods_close(d->pods);
    pod_exec_free(take_ptr(d->exec));
    containers_close(d->containers);
    loop_watch_free(take_ptr(d->input));
}

static void down(void *ctx)
{
    quit(ctx);
}

static void change(struct driver *d, char **words)
{
    enum pod_object_kind kind = str_eq(words[1], "config")   ? POD_OBJECT_CONFIG
                                : str_eq(words[1], "secret") ? POD_OBJECT_SECRET
                                                             : POD_OBJECT_CLAIM;

    pods_object_changed(d->pods, kind, words[2], words[3]);
}

static void obey(struct driver *d, char **words, size_t n)
{
    const char *verb = words[0];
    struct err e = ERR_INIT;

    if (str_eq(verb, "add") && n == 3) {
        add(d, words[1], words[2]);
    } else if (str_eq(verb, "restore")) {
        pods_restore(d->pods);
    } else if (str_eq(verb, "delete") && n == 3) {
        pod_delete(pod_get(d, words[1]), strtoll(words[2], NULL, 10));
    } else if (str_eq(verb, "restart") && n == 3) {
        if (pod_restart(pod_get(d, words[1]), words[2], &e) < 0)
            fail(&e);
    } else if (str_eq(verb, "changed") && n == 4) {
        change(d, words);
    } else if (str_eq(verb, "status") && n == 2) {
        status(d, words[1]);
    } else if (str_eq(verb, "log") && n == 3) {
        log_say(d, words[1], words[2]);
    } else if (str_eq(verb, "exec") && n > 3) {
        exec(d, words, n);
    } else if (str_eq(verb, "measure") && n == 2) {
        struct pod *p = pod_get(d, words[1]);

        pod_measure(p, measured, p);
    } else if (str_eq(verb, "quit")) {
        quit(d);
    } else if (str_eq(verb, "down")) {
        containers_shut_down(d->containers, down, d);
    } else {
        log_error("'%s' is no command, or has other words", verb);
        exit(1);
    }
}

static void line_do(struct driver *d, char *line)
{
    char *words[WORD_LIMIT], *rest = NULL;
    size_t n = 0;

    for (char *w = strtok_r(line, " ", &rest); w && n < WORD_LIMIT; w = strtok_r(NULL, " ", &rest))
        words[n++] = w;
    if (n)
        obey(d, words, n);
}

static void input_ready(void *ctx, unsigned events_seen)
{
    struct driver *d = ctx;
    char *end;
    ssize_t n = read(STDIN_FILENO, buf_reserve(&d->line, 65536), 65536);

    (void)events_seen;
    if (n <= 0) {
        quit(d);
        return;
    }
    d->line.len += (size_t)n;
    buf_terminate(&d->line);
    while (d->input && d->line.len && (end = strchr(d->line.data, '\n'))) {
        autofree char *line = xstrndup(d->line.data, (size_t)(end - d->line.data));

        buf_consume(&d->line, (size_t)(end - d->line.data) + 1);
        line_do(d, line);
    }
}

static void adopted(void *ctx, const struct err *failed)
{
    struct driver *d = ctx;

    if (failed)
        fail(failed);
    say("adopted");
    loop_watch_set(d->input, LOOP_READABLE);
}

static int open_all(struct driver *d, const char *dir, const char *libexec, struct err *e)
{
    static const struct pod_fields node = {.node_cpu_milli = 1000, .node_memory_bytes = 1 << 30};
    autofree char *run = path_join(dir, "run"), *worker = path_join(libexec, "wherry-worker");
    autofree char *cache = path_join(dir, "cache"), *state = path_join(dir, "state");
    autofree char *logs = path_join(dir, "logs"), *store = path_join(state, "images");
    autofree char *image = path_join(libexec, "wherry-image");
    struct containers_options c = {
        .run_dir = run, .worker = worker, .cache_dir = cache, .idle_ms = 60000};
    struct pods_options p = {
        .state_dir = state,
        .logs_dir = logs,
        .image_program = image,
        .store_dir = store,
        .worker = worker,
        .cache_dir = cache,
        .node = &node,
        .objects = {.find = find, .ctx = d},
        .changed = changed,
        .event = event,
        .gone = gone,
        .ctx = d
    };

    TRY(path_mkdir_p(state, 0700, e));
    TRY(loop_open(&d->loop, e));
    c.loop = p.loop = d->loop;
    TRY(containers_open(&c, &d->containers, e));
    p.containers = d->containers;
    TRY(pods_open(&p, &d->pods, e));
    return loop_watch_new(d->loop, STDIN_FILENO, input_ready, d, &d->input, e);
}

int main(int argc, char **argv)
{
    struct driver d = {0};
    struct err e = ERR_INIT;

    if (argc != 3)
        return 2;
    if (open_all(&d, argv[1], argv[2], &e) < 0)
        fail(&e);
    containers_adopt(d.containers, adopted, &d);
    loop_run(d.loop);
    objects_done(&d.objects);
    buf_done(&d.line);
    loop_free(d.loop);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for the engine, for sanitizer builds: what is C in wherry runs under AddressSanitizer
 * and ThreadSanitizer, with guests that are scripts instead of WebAssembly.
 *
 * An artifact is the eight bytes of a module's header, then lines of text:
 *     import SPACE NAME      what engine_inspect() tells; kind "func"
 *     export NAME            likewise; a script without one exports _start
 *     print TEXT             a line on standard output; eprint on standard error
 *     env NAME               prints the variable, "-" when it is not set
 *     cat                    copies standard input to standard output
 *     grow BYTES             takes memory; a refusal is counted and the script goes on
 *     sleep MS               waits
 *     spin                   runs until it is stopped
 *     exit CODE
 *     trap NAME              "Unreachable" and so on
 */
#include "engine/engine.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/util.h"

static const char header[] = "\0asm\1\0\0\0";
static const char code_header[] = "fake machine code\n";

#define HEADER_LEN      8
#define CODE_HEADER_LEN (sizeof(code_header) - 1)
#define SCRIPT_LIMIT    (1u << 20)

struct engine {
    struct engine_options options;
};

struct engine_code {
    atomic_int refs; /* the opener, and each guest */
    char *script;
};

struct engine_guest {
    struct engine_code *code;
    const struct engine_guest_options *options;
    int stop_fd; /* eventfd, readable once stopped and for good */
    _Atomic uint64_t memory, memory_peak, calls;
    bool is_refused;
};

int engine_open(const struct engine_options *o, struct engine **ret, struct err *e)
{
    struct engine *en = xcalloc(1, sizeof(*en));

    (void)e;
    en->options = *o;
    *ret = en;
    return 0;
}

void engine_close(struct engine *en)
{
    free(en);
}

const char *engine_version(void)
{
    return "fake";
}

void engine_settings(bool is_interruptible, bool is_concurrent, char *buf, size_t size)
{
    (void)is_concurrent;
    snprintf(buf, size, "fake engine for tests%s", is_interruptible ? ", interruptible" : "");
}

/* ---- Artifacts ---- */

/* The rest of the line behind "WORD " when it begins with that word, otherwise NULL. */
static char *operand(char *line, const char *word)
{
    size_t len = strlen(word);

    if (strncmp(line, word, len) != 0 || (line[len] && line[len] != ' '))
        return NULL;
    return line + len + (line[len] == ' ');
}

static int header_check(const void *bytes, size_t len, struct err *e)
{
    if (len < 4 || memcmp(bytes, header, 4) != 0)
        return err_set(e, -ENOEXEC, "NotWasm", "it does not begin as WebAssembly does");
    if (len < HEADER_LEN || memcmp(bytes, header, HEADER_LEN) != 0)
        return err_set(e, -ENOEXEC, "UnknownWasmVersion", "its version is not known");
    return 0;
}

static void line_visit(char *line, const struct engine_visitor *v, bool *has_export)
{
    char *import = operand(line, "import"), *export = operand(line, "export");

    if (import && v->import) {
        char *space = strchr(import, ' ');

        if (space)
            *space = 0;
        v->import(v->ctx, import, space ? space + 1 : "", "func", "");
    }
    if (export) {
        *has_export = true;
        if (v->export)
            v->export(v->ctx, export, "func", "");
    }
}

int engine_inspect(const void *bytes, size_t len, bool validate, const struct engine_visitor *v,
                   enum engine_artifact *ret_artifact, struct err *e)
{
    autofree char *script = NULL;
    bool has_export = false;
    char *save = NULL;

    TRY(header_check(bytes, len, e));
    script = xstrndup((const char *)bytes + HEADER_LEN, len - HEADER_LEN);
    if (validate && strstr(script, "invalid"))
        return err_set(e, -ENOEXEC, "InvalidWasm", "invalid at offset %zu",
                       (size_t)(strstr(script, "invalid") - script) + HEADER_LEN);
    for (char *line = strtok_r(script, "\n", &save); v && line; line = strtok_r(NULL, "\n", &save))
        line_visit(line, v, &has_export);
    if (v && !has_export && v->export)
        v->export(v->ctx, "_start", "func", "");
    *ret_artifact = ENGINE_MODULE;
    return 0;
}

int engine_compile(struct engine *en, const void *bytes, size_t len, int fd, struct err *e)
{
    BUG_ON(!en->options.has_compiler);
    TRY(header_check(bytes, len, e));
    if (len > SCRIPT_LIMIT)
        return err_set(e, -ENOEXEC, "InvalidWasm", "too long");
    TRY(fd_write_all(fd, code_header, CODE_HEADER_LEN, e));
    return fd_write_all(fd, (const char *)bytes + HEADER_LEN, len - HEADER_LEN, e);
}

int engine_code_open(struct engine *en, int fd, struct engine_code **ret, struct err *e)
{
    struct engine_code *c;
    char *text;
    struct stat st;

    (void)en;
    if (fstat(fd, &st) < 0 || (size_t)st.st_size < CODE_HEADER_LEN || st.st_size > SCRIPT_LIMIT)
        return err_set(e, -ESTALE, "CodeStale", "not of this engine");
    text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return err_errno(e, -errno, "MapFailed", "cannot map machine code");
    if (memcmp(text, code_header, CODE_HEADER_LEN) != 0) {
        munmap(text, (size_t)st.st_size);
        return err_set(e, -ESTALE, "CodeStale", "not of this engine");
    }
    c = xcalloc(1, sizeof(*c));
    atomic_store(&c->refs, 1);
    c->script = xstrndup(text + CODE_HEADER_LEN, (size_t)st.st_size - CODE_HEADER_LEN);
    munmap(text, (size_t)st.st_size);
    *ret = c;
    return 0;
}

void engine_code_close(struct engine_code *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    free(c->script);
    free(c);
}

/* ---- Guests ---- */

int engine_guest_new(struct engine *en, struct engine_code *c, const struct engine_guest_options *o,
                     struct engine_guest **ret, struct err *e)
{
    struct engine_guest *g;

    (void)en;
    if (o->invoke && !strstr(c->script, o->invoke))
        return err_set(e, -EINVAL, "NoSuchExport", "there is no export '%s'", o->invoke);
    g = xcalloc(1, sizeof(*g));
    g->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->stop_fd < 0) {
        free(g);
        return err_errno(e, -errno, "StartFailed", "no event descriptor");
    }
    atomic_fetch_add(&c->refs, 1);
    g->code = c;
    g->options = o;
    *ret = g;
    return 0;
}

void engine_guest_free(struct engine_guest *g)
{
    if (!g)
        return;
    close(g->stop_fd);
    engine_code_close(g->code);
    free(g);
}

void engine_guest_stop(struct engine_guest *g)
{
    uint64_t one = 1;

    /* Full means stopped very often: that is stopped. */
    if (write(g->stop_fd, &one, sizeof(one)) < 0)
        BUG_ON(errno != EAGAIN);
}

/* It computes nothing that would have to be limited. */
int engine_thread_limit(struct engine *en, unsigned milli, struct err *e)
{
    (void)en;
    (void)milli;
    (void)e;
    return 0;
}

void engine_guest_figures(const struct engine_guest *g, struct engine_figures *ret)
{
    *ret = (struct engine_figures){
        .memory_bytes = atomic_load(&g->memory),
        .memory_peak_bytes = atomic_load(&g->memory_peak),
        .calls = atomic_load(&g->calls),
    };
}

/* Waits for the descriptor (-1: none) or the time (-1: for ever); true when it was stopped. */
static bool wait_or_stopped(struct engine_guest *g, int fd, short events, int timeout_ms)
{
    struct pollfd p[2] = {
        {.fd = g->stop_fd, .events = POLLIN},
        {.fd = fd,         .events = events}
    };

    while (poll(p, 2, timeout_ms) < 0)
        BUG_ON(errno != EINTR);
    return p[0].revents != 0;
}

/* 1 when stopped. */
static int stream_write(struct engine_guest *g, int number, const char *data, size_t len)
{
    const struct engine_stream *s = &g->options->streams[number];

    while (s->transfer && len) {
        char *at = (char *)data;
        ssize_t n = s->transfer(s->ctx, at, len);

        if (n == -EAGAIN) {
            if (wait_or_stopped(g, s->wait_fd, POLLOUT, -1))
                return 1;
            continue;
        }
        if (n <= 0)
            return 0; /* as a guest that does not look at its errors */
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int line_write(struct engine_guest *g, int number, const char *text)
{
    return stream_write(g, number, text, strlen(text)) || stream_write(g, number, "\n", 1);
}

static int do_cat(struct engine_guest *g)
{
    const struct engine_stream *s = &g->options->streams[0];
    char block[4096];

    while (s->transfer) {
        ssize_t n = s->transfer(s->ctx, block, sizeof(block));

        if (n == -EAGAIN) {
            if (wait_or_stopped(g, s->wait_fd, POLLIN, -1))
                return 1;
            continue;
        }
        if (n <= 0)
            return 0;
        if (stream_write(g, 1, block, (size_t)n))
            return 1;
    }
    return 0;
}

static int do_env(struct engine_guest *g, const char *name)
{
    size_t len = strlen(name);

    for (const char *const *v = g->options->env; v && *v; v++)
        if (!strncmp(*v, name, len) && (*v)[len] == '=')
            return line_write(g, 1, *v + len + 1);
    return line_write(g, 1, "-");
}

static void do_grow(struct engine_guest *g, uint64_t bytes)
{
    uint64_t now = atomic_load(&g->memory) + bytes;

    if (now > g->options->limits.memory_bytes) {
        g->is_refused = true;
        return;
    }
    atomic_store(&g->memory, now);
    atomic_store(&g->memory_peak, now);
}

/* One line; 1 when the guest has ended, and *ret says how. */
static int line_run(struct engine_guest *g, char *line, struct engine_outcome *ret)
{
    const char *arg;

    if ((arg = operand(line, "exit"))) {
        *ret = (struct engine_outcome){.end = ENGINE_EXITED,
                                       .exit_code = (uint32_t)strtoul(arg, NULL, 10)};
        return 1;
    }
    if ((arg = operand(line, "trap"))) {
        ret->end = ENGINE_TRAPPED;
        snprintf(ret->trap, sizeof(ret->trap), "%s", arg);
        snprintf(ret->detail, sizeof(ret->detail), "the script says so");
        return 1;
    }
    ret->end = ENGINE_STOPPED;
    if ((arg = operand(line, "print")))
        return line_write(g, 1, arg);
    if ((arg = operand(line, "eprint")))
        return line_write(g, 2, arg);
    if ((arg = operand(line, "env")))
        return do_env(g, arg);
    if (operand(line, "cat"))
        return do_cat(g);
    if ((arg = operand(line, "sleep")))
        return wait_or_stopped(g, -1, 0, (int)strtol(arg, NULL, 10));
    if (operand(line, "spin"))
        return wait_or_stopped(g, -1, 0, -1);
    if ((arg = operand(line, "grow")))
        do_grow(g, strtoull(arg, NULL, 10));
    return 0;
}

int engine_guest_run(struct engine_guest *g, struct engine_outcome *ret, struct err *e)
{
    autofree char *script = xstrdup(g->code->script);
    struct engine_outcome *outcome = xcalloc(1, sizeof(*outcome));
    char *save = NULL;
    int has_ended = wait_or_stopped(g, -1, 0, 0);

    (void)e;
    outcome->end = ENGINE_STOPPED;
    for (char *line = strtok_r(script, "\n", &save); line && !has_ended;
         line = strtok_r(NULL, "\n", &save))
        has_ended = line_run(g, line, outcome);
    if (!has_ended)
        outcome->end = ENGINE_EXITED;
    outcome->memory_refused = g->is_refused;
    atomic_fetch_add(&g->calls, 1);
    *ret = *outcome;
    free(outcome);
    return 0;
}

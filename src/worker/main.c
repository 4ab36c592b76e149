/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/version.h"
#include "engine/engine.h"
#include "worker/compiler.h"
#include "worker/jobs.h"
#include "worker/service.h"

/*
 * wherry-worker: hosts guests. People start it through `wherry`; its own options are an interface
 * between programs of the same version.
 */
static const char usage[] =
    "wherry-worker is started by wherry, which see.\n"
    "  --spec-fd N                     do one command of wherry\n"
    "  --listen-fd N [--dir-fd N] [--cache-dir DIR]   host guests for a supervisor\n"
    "  --version\n";

static int job_main(int fd)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    struct guest_job j = GUEST_JOB_INIT;

    if (fd_read_all(fd, GUEST_JOB_LIMIT_BYTES, &text, &e) < 0 ||
        guest_job_decode(buf_str(&text), text.len, &j, &e) < 0) {
        log_error("the worker got a bad job: %s", e.msg);
        return GUEST_EXIT_WHERRY;
    }
    close(fd);
    buf_done(&text);
    text = BUF_INIT;
    log_level_set((enum log_level)(LOG_LEVEL_WARN + (j.verbosity > 2 ? 2 : j.verbosity)));
    if (j.is_quiet)
        log_level_set(LOG_LEVEL_ERROR);
    compiler_limits_set(&j.compile);
    if (str_eq(j.command, "run") && j.has_spec)
        return job_run(&j);
    if (str_eq(j.command, "serve"))
        return job_serve(&j);
    if (str_eq(j.command, "compile"))
        return job_compile(&j);
    if (str_eq(j.command, "prepare"))
        return job_prepare(&j);
    if (str_eq(j.command, "inspect"))
        return job_inspect(&j);
    log_error("the worker does not know the command '%s'", j.command);
    return GUEST_EXIT_WHERRY;
}

/* The number behind option i, or -1. */
static int number_after(int argc, char **argv, int i)
{
    char *end;
    long n;

    if (i + 1 >= argc)
        return -1;
    n = strtol(argv[i + 1], &end, 10);
    return *end || n < 0 || n > 1 << 20 ? -1 : (int)n;
}

/* Variables would change how fast and how talkative the engine is; only what the log's colours
 * depend on is kept. */
static void environment_clear(void)
{
    static const char *const kept[] = {"NO_COLOR", "TERM"};
    char *values[ARRAY_SIZE(kept)];

    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        const char *v = getenv(kept[i]);

        values[i] = v ? xstrdup(v) : NULL;
    }
    clearenv();
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        if (values[i]) {
            setenv(kept[i], values[i], 1);
            free(values[i]);
        }
    /* All times are UTC; unset, the C library would read /etc/localtime at the first one. */
    setenv("TZ", "UTC0", 1);
}

int main(int argc, char **argv)
{
    struct service_options service = {.listen_fd = -1, .dir_fd = -1};
    int spec_fd = -1;

    for (int i = 1; i < argc; i += 2) {
        int n = number_after(argc, argv, i);

        if (str_eq(argv[i], "--compile") && i + 1 < argc)
            return compiler_main(argv[i + 1]);
        if (str_eq(argv[i], "--version")) {
            printf("wherry-worker %s (Wasmtime %s)\n", wherry_version, engine_version());
            return 0;
        }
        if (str_eq(argv[i], "--spec-fd") && n >= 0)
            spec_fd = n;
        else if (str_eq(argv[i], "--listen-fd") && n >= 0)
            service.listen_fd = n;
        else if (str_eq(argv[i], "--dir-fd") && n >= 0)
            service.dir_fd = n;
        else if (str_eq(argv[i], "--cache-dir") && i + 1 < argc)
            service.cache_dir = argv[i + 1];
        else
            spec_fd = service.listen_fd = -1, i = argc;
    }
    if (spec_fd < 0 && service.listen_fd < 0) {
        fputs(usage, stderr);
        return 2;
    }
    /* A guest's broken pipe is an error of its write, not the end of everybody. */
    signal(SIGPIPE, SIG_IGN);
    environment_clear();
    /* Arenas per thread would cost each idle guest its own heap. */
    mallopt(M_ARENA_MAX, 2);
    return spec_fd >= 0 ? job_main(spec_fd) : service_main(&service);
}

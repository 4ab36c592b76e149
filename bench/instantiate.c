/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an instance costs through engine.h: new + run + free of a guest, with the code mapped and
 * its imports resolved once. `instantiate FILE.wasm on-demand|pooling THREADS N`; bench/embedding
 * measures the same without wherry and prints the same line. A module is called by its export
 * `nop`, a component by its command entry point.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"
#include "engine/engine.h"

#define POOL_SLOTS              64
#define POOL_MEMORY_LIMIT_BYTES (64 << 20)
#define WARM_UP                 200
#define THREADS_MAX             64

struct bench {
    struct engine *engine;
    struct engine_code *code;
    struct engine_guest_options guest;
    unsigned n;
    pthread_barrier_t all_warm;
};

struct measurement {
    struct bench *bench;
    pthread_t thread;
    double cpu_us; /* of the thread: the process's clock lags behind for threads that are running */
    double wall_us;
};

static const char *const hello_args[] = {"hello", NULL};

static _Noreturn void die(const struct err *e)
{
    fprintf(stderr, "instantiate: %s\n", e->msg);
    exit(1);
}

static double now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Compiles `path` and maps the result, which needs no name. */
static int code_open(struct bench *b, const char *path, struct err *e)
{
    autofd in = open(path, O_RDONLY | O_CLOEXEC);
    autofd out = memfd_create("code", MFD_CLOEXEC);
    enum engine_artifact artifact;
    struct stat st;

    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        return err_errno(e, -errno, "Unreadable", "cannot read '%s'", path);
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
    if (bytes == MAP_FAILED)
        return err_errno(e, -errno, "Unreadable", "cannot map '%s'", path);

    const struct engine_visitor nobody = {0};
    TRY(engine_inspect(bytes, (size_t)st.st_size, false, &nobody, &artifact, e));
    TRY(engine_compile(b->engine, bytes, (size_t)st.st_size, out, e));
    munmap(bytes, (size_t)st.st_size);
    TRY(engine_code_open(b->engine, out, &b->code, e));

    if (artifact == ENGINE_MODULE)
        b->guest.invoke = "nop";
    else
        b->guest.args = hello_args;
    return 0;
}

static void once(const struct bench *b)
{
    struct err e = ERR_INIT;
    struct engine_guest *g = NULL;
    struct engine_outcome outcome;

    if (engine_guest_new(b->engine, b->code, &b->guest, &g, &e) < 0 ||
        engine_guest_run(g, &outcome, &e) < 0)
        die(&e);
    if (outcome.end != ENGINE_EXITED || outcome.exit_code != 0) {
        fprintf(stderr, "instantiate: the guest failed: %s %s\n", outcome.trap, outcome.detail);
        exit(1);
    }
    engine_guest_free(g);
}

static void *measure(void *arg)
{
    struct measurement *m = arg;

    for (unsigned i = 0; i < WARM_UP; i++)
        once(m->bench);
    pthread_barrier_wait(&m->bench->all_warm);
    double cpu_us = now_us(CLOCK_THREAD_CPUTIME_ID);
    double wall_us = now_us(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < m->bench->n; i++)
        once(m->bench);
    m->cpu_us = now_us(CLOCK_THREAD_CPUTIME_ID) - cpu_us;
    m->wall_us = now_us(CLOCK_MONOTONIC) - wall_us;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: instantiate FILE.wasm on-demand|pooling THREADS N\n");
        return 2;
    }
    bool is_pooling = str_eq(argv[2], "pooling");
    unsigned threads = (unsigned)strtoul(argv[3], NULL, 10);
    if (threads < 1 || threads > THREADS_MAX)
        return 2;

    struct err e = ERR_INIT;
    struct bench b = {
        .n = (unsigned)strtoul(argv[4], NULL, 10),
        .guest = {.name = "bench",
                  .limits = {.memory_bytes = POOL_MEMORY_LIMIT_BYTES,
                             .table_elements = 100000,
                             .tables = 100,
                             .memories = 100,
                             .instances = 100,
                             .descriptors = 1000}},
    };
    struct engine_options options = {
        .allocation = is_pooling ? ENGINE_POOLING : ENGINE_ON_DEMAND,
        .is_interruptible = is_pooling, /* as in a worker that several guests share */
        .is_concurrent = true,          /* as the peer */
        .has_compiler = true,
        .pool_slots = POOL_SLOTS,
        .pool_memory_limit_bytes = POOL_MEMORY_LIMIT_BYTES,
    };
    if (engine_open(&options, &b.engine, &e) < 0 || code_open(&b, argv[1], &e) < 0)
        die(&e);

    struct measurement all[THREADS_MAX] = {0};
    double cpu_us = 0;
    double wall_us = 0;
    pthread_barrier_init(&b.all_warm, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        all[i].bench = &b;
        if (pthread_create(&all[i].thread, NULL, measure, &all[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(all[i].thread, NULL);
        cpu_us += all[i].cpu_us;
        wall_us += all[i].wall_us;
    }
    double each = (double)b.n * threads;
    printf("cpu_us=%.3f wall_us=%.3f threads=%u n=%u\n", cpu_us / each, wall_us / each, threads,
           b.n);
    pthread_barrier_destroy(&b.all_warm);
    engine_code_close(b.code);
    engine_close(b.engine);
    return 0;
}

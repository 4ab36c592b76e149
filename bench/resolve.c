/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What it costs a worker to get from an image's name to machine code, when all of it is there.
 *
 *   resolve fill DIR N NAME PROGRAM   makes an image store in DIR with N images, each with a
 * program of its own, one of them NAME with PROGRAM resolve measure CACHE ROUNDS NAME DIR... opens
 * NAME in each of the stores in turn
 *
 * `measure` prints a line for each store: quartiles of the time in microseconds until the file with
 * the code is mapped (map_us), and until the engine has linked it as well (open_us).
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fds.h"
#include "base/paths.h"
#include "engine/engine.h"
#include "guest/spec.h"
#include "store/images.h"
#include "worker/code.h"

#define WARM_UP 50
#define STORES  8

static _Noreturn void die(const struct err *e)
{
    fprintf(stderr, "resolve: %s\n", e->msg);
    exit(1);
}

static void check(int r, const struct err *e)
{
    if (r < 0)
        die(e);
}

/* ---- Filling ---- */

#define TAGS 100

static void image_add(struct images *s, const char *name, const void *program, size_t len)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    struct image image = {.manifest_type = (char *)"application/vnd.oci.image.manifest.v1+json",
                          .config = (char *)""};
    struct digest digest;
    char text[DIGEST_TEXT_SIZE], manifest[256];
    struct err e = ERR_INIT;
    int n;

    check(images_blob_add(s, program, len, &digest, &e), &e);
    digest_format(&digest, text);
    n = snprintf(
        manifest, sizeof(manifest),
        "{\"layers\":[{\"mediaType\":\"application/wasm\",\"digest\":\"%s\",\"size\":%zu}]}", text,
        len);
    check(images_blob_add(s, manifest, (size_t)n, &image.manifest, &e), &e);
    image.manifest_size = n;
    image.program = text;
    image.program_size = (int64_t)len;
    check(reference_parse(name, &r, &e), &e);
    check(images_name(s, &r, &image, &e), &e);
}

/* As many tags in each repository. The store leases what was added until it is closed. */
static void repository_add(const char *dir, unsigned repository, unsigned n)
{
    AUTO(images) s = NULL;
    struct err e = ERR_INIT;

    check(images_open(dir, &s, &e), &e);
    for (unsigned i = 0; i < n; i++) {
        char name[64], content[64];
        int len = snprintf(content, sizeof(content), "program %u of %u", i, repository);

        snprintf(name, sizeof(name), "bench.test/team%u/app:v%u", repository, i);
        image_add(s, name, content, (size_t)len);
    }
}

static void fill(const char *dir, unsigned n, const char *measured, const char *program)
{
    AUTO(images) s = NULL;
    autobuf content = BUF_INIT;
    struct err e = ERR_INIT;

    check(images_open(dir, &s, &e), &e);
    check(file_read(program, SIZE_MAX, &content, &e), &e);
    image_add(s, measured, content.data, content.len);
    for (unsigned done = 1; done < n; done += TAGS)
        repository_add(dir, done / TAGS, n - done < TAGS ? n - done : TAGS);
}

/* ---- Measuring ---- */

struct measured {
    const char *dir;
    double *map_us, *open_us;
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* As worker/guest.c does for a guest: the folder, the program, what it is, its code. */
static void open_once(const char *dir, const char *image, struct cache *cache,
                      struct engine *engine, double *ret_map, double *ret_open)
{
    struct code_options o = {.cache = cache, .stop_fd = -1, .code_fd = -1};
    struct engine_code *code = NULL;
    struct program program;
    struct err e = ERR_INIT;
    struct stat st;
    bool was_cached = false;
    double start = now_us();
    int fd, folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    void *mapped;

    check(program_open(folder, image, NULL, false, &program, &e), &e);
    check(program_check_runnable(&program, NULL, &e), &e);
    check(code_obtain(&program, "measured", &o, &fd, &was_cached, &e), &e);
    check(fstat(fd, &st), &e);
    mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    *ret_map = now_us() - start;
    check(engine_code_open(engine, fd, &code, &e), &e);
    *ret_open = now_us() - start;
    if (!was_cached || mapped == MAP_FAILED)
        err_set(&e, -ENOENT, "NotCached", "it is not in the cache, or cannot be mapped"), die(&e);
    engine_code_close(code);
    munmap(mapped, (size_t)st.st_size);
    program_done(&program);
    close(fd);
    close(folder);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void quartiles_print(const char *name, double *values, unsigned n)
{
    qsort(values, n, sizeof(*values), by_size);
    printf(" %s=%.2f,%.2f,%.2f", name, values[n / 4], values[n / 2], values[n * 3 / 4]);
}

static void measure(const char *cache_dir, unsigned rounds, const char *name, char **dirs,
                    unsigned n)
{
    autofree char *image = xasprintf("%s%s", GUEST_IMAGE_STORED, name);
    struct engine_options options = {.allocation = ENGINE_ON_DEMAND};
    struct measured m[STORES];
    struct cache *cache;
    struct engine *engine;
    struct err e = ERR_INIT;
    double ignored;

    check(cache_open(cache_dir, &cache, &e), &e);
    check(engine_open(&options, &engine, &e), &e);
    for (unsigned s = 0; s < n; s++) {
        m[s] = (struct measured){dirs[s], xcalloc(rounds, sizeof(double)),
                                 xcalloc(rounds, sizeof(double))};
        for (unsigned i = 0; i < WARM_UP; i++)
            open_once(dirs[s], image, cache, engine, &ignored, &ignored);
    }
    /* In turns, and each first as often as last. */
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned k = 0; k < n; k++) {
            unsigned s = i % 2 ? n - 1 - k : k;

            open_once(m[s].dir, image, cache, engine, &m[s].map_us[i], &m[s].open_us[i]);
        }
    for (unsigned s = 0; s < n; s++) {
        quartiles_print("map_us", m[s].map_us, rounds);
        quartiles_print("open_us", m[s].open_us, rounds);
        putchar('\n');
        free(m[s].map_us);
        free(m[s].open_us);
    }
    engine_close(engine);
    cache_free(cache);
}

int main(int argc, char **argv)
{
    if (argc == 6 && str_eq(argv[1], "fill"))
        fill(argv[2], (unsigned)strtoul(argv[3], NULL, 10), argv[4], argv[5]);
    else if (argc >= 6 && argc - 5 <= STORES && str_eq(argv[1], "measure"))
        measure(argv[2], (unsigned)strtoul(argv[3], NULL, 10), argv[4], argv + 5,
                (unsigned)argc - 5);
    else
        return 2;
    return 0;
}

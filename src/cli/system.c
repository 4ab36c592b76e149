/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/system.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "store/retain.h"

static struct cache *cache_try(const char *dir)
{
    autofree char *usual = NULL;
    struct cache *cache = NULL;
    struct err e = ERR_INIT;

    if ((!dir && paths_cache_dir(&usual, &e) < 0) || cache_open(dir ? dir : usual, &cache, &e) < 0)
        log_warn("%s; the compile cache is left out", e.msg);
    return cache;
}

int system_open(const char *cache_dir, struct images **ret, struct cache **ret_cache, struct err *e)
{
    TRY(image_store_open(ret, e));
    *ret_cache = cache_try(cache_dir);
    return 0;
}

void system_retain(struct images *images, const char *keep)
{
    AUTO(cache) cache = NULL;
    struct retain_options o;
    struct err e = ERR_INIT;
    char size[SIZE_TEXT_SIZE];
    int64_t bytes = 0;
    int r = retain_parse(getenv("WHERRY_GC_HIGH"), getenv("WHERRY_GC_LOW"),
                         getenv("WHERRY_GC_MIN_AGE"), getenv("WHERRY_GC_MAX_AGE"), &o, &e);

    if (r >= 0 && (o.high || o.max_age_ms))
        cache = cache_try(NULL);
    if (r >= 0)
        r = images_retain(images, cache, &o, keep, &bytes, &e);
    if (r < 0)
        log_warn("%s; nothing was removed from the image store", e.msg);
    size_bytes_format((uint64_t)bytes, size);
    if (bytes)
        log_info("removed %s that was not needed", size);
}

int image_system(int argc, char *const *argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char *const *argv);
    } commands[] = {
        {"check", system_check},
        {"df",    system_df   },
        {"prune", system_prune},
    };
    static const char *const names[] = {"check", "df", "prune", NULL};
    const char *near = argc > 1 ? options_suggest(argv[1], names) : NULL;

    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
        if (str_eq(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    if (near)
        log_error("'system %s' is not a command; did you mean 'system %s'?", argv[1], near);
    else
        log_error("system: expected check, df or prune. See 'wherry help system'.");
    return GUEST_EXIT_WHERRY;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/system.h"
#include "store/collect.h"

/* What is removed, or would be. */
struct prune {
    const struct system_prune_options *o;
    struct images *images;
    struct cache *cache; /* NULL: it is left out */
    int64_t before_ns;
    bool is_dry_run;
    struct buf out;
    size_t n;
    int64_t bytes;
};

static void removed(void *ctx, enum collected what, const char *name, int64_t bytes)
{
    static const char *const words[] = {
        [COLLECTED_NAME] = "Untagged",
        [COLLECTED_BLOB] = "Deleted",
        [COLLECTED_PART] = "Deleted",
        [COLLECTED_TEMPORARY] = "Deleted",
    };
    struct prune *p = ctx;

    buf_addf(&p->out, "%s: %s\n", words[what], name);
    p->n++;
    p->bytes += bytes;
}

static int images_prune(struct prune *p, struct err *e)
{
    struct collect_options o = {.is_dry_run = p->is_dry_run, .removed = removed, .ctx = p};
    AUTO(collector) c = NULL;
    autoinventory v = {0};

    TRY(collector_open(p->images, &o, true, &c, e));
    TRY(inventory_read(p->images, &v, e));
    TRY(inventory_check(&v, e)); /* before names go whose blobs could not follow */
    for (size_t i = 0; p->o->is_all && i < v.n_images; i++) {
        __attribute__((cleanup(reference_done))) struct reference r = {0};

        if (v.images[i].used_at_ns >= p->before_ns || !v.images[i].name)
            continue;
        TRY(reference_parse(v.images[i].name, &r, e));
        TRY(collector_unname(c, &r, e));
    }
    TRY(collector_leftovers(c, p->before_ns, e));
    return collector_sweep(c, e);
}

static int code_prune(struct prune *p, struct err *e)
{
    autocache_list list = {0};

    TRY(cache_list(p->cache, &list, e));
    for (size_t i = 0; i < list.n; i++) {
        const struct cache_file *f = &list.v[i];
        int gone = 1;

        if (f->kind == CACHE_FOREIGN || f->is_locked || f->used_at_ns >= p->before_ns ||
            (f->kind == CACHE_ENTRY && !p->o->is_all))
            continue;
        if (!p->is_dry_run)
            gone = cache_file_remove(p->cache, f, e);
        TRY(gone);
        if (!gone)
            continue;
        buf_addf(&p->out, "Deleted: compiled code %.12s\n", f->name);
        p->n++;
        p->bytes += f->bytes;
    }
    return 0;
}

static int prune_once(struct prune *p, bool is_dry_run, struct err *e)
{
    buf_clear(&p->out);
    p->is_dry_run = is_dry_run;
    p->n = 0;
    p->bytes = 0;
    TRY(images_prune(p, e));
    return p->cache ? code_prune(p, e) : 0;
}

/* 1 for yes. */
static int ask(struct prune *p, struct err *e)
{
    char size[SIZE_TEXT_SIZE], answer[16] = "";

    if (!isatty(STDIN_FILENO))
        return err_set(e, -ENOTTY, "BadUsage",
                       "there is no terminal to ask on; give --force, or --dry-run to see what "
                       "would be removed");
    TRY(prune_once(p, true, e));
    size_bytes_format((uint64_t)p->bytes, size);
    /* The list is in the words of what is done. */
    fprintf(stderr, "To be removed:\n%sThese are %s. Are you sure you want to continue? [y/N] ",
            p->n ? buf_str(&p->out) : "nothing\n", size);
    return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

/* docker's words for --until. */
static int filters_apply(struct system_prune_options *o, struct err *e)
{
    for (size_t i = 0; i < o->filters.n; i++) {
        if (!str_starts(o->filters.v[i], "until="))
            return err_set(e, -EINVAL, "BadUsage", "--filter '%s': expected until=AGE",
                           o->filters.v[i]);
        TRY(duration_ms_parse(o->filters.v[i] + strlen("until="), &o->until_ms.value, e));
        o->until_ms.is_set = true;
    }
    return 0;
}

static int prune(struct system_prune_options *o, struct prune *p, struct err *e)
{
    char size[SIZE_TEXT_SIZE];
    int agreed = 1;

    TRY(filters_apply(o, e));
    p->before_ns = INT64_MAX;
    if (o->until_ms.is_set)
        p->before_ns = (int64_t)clock_realtime_ns() - o->until_ms.value * INT64_C(1000000);
    TRY(system_open(o->cache_dir, &p->images, &p->cache, e));
    if (!o->is_force && !o->is_dry_run)
        agreed = ask(p, e);
    TRY(agreed);
    if (!agreed)
        return 0;
    TRY(prune_once(p, o->is_dry_run, e));
    size_bytes_format((uint64_t)p->bytes, size);
    buf_addf(&p->out, "Total %s space: %s\n", o->is_dry_run ? "reclaimable" : "reclaimed", size);
    return cli_print(&p->out) ? -EIO : 0;
}

int system_prune(int argc, char *const *argv)
{
    struct system_prune_options o = {0};
    struct prune p = {.o = &o};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_system_prune, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = 0;
    if (prune(&o, &p, &e) < 0)
        status = e.code ? cli_fail("system prune", &e, image_exit_for(&e)) : GUEST_EXIT_WHERRY;
    if (p.images)
        images_free(p.images);
    if (p.cache)
        cache_free(p.cache);
    buf_done(&p.out);
    options_done(&command_system_prune, &o);
    return status;
}

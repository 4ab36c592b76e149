/* SPDX-License-Identifier: Apache-2.0 */
#include "store/retain.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "store/store_folder.h"

#define MS_NS INT64_C(1000000)

/* ---- Settings ---- */

static int mark_parse(const char *name, const char *text, int64_t *ret, bool *ret_is_percent,
                      struct err *e)
{
    size_t len = strlen(text);
    char *end;
    long percent;

    *ret_is_percent = len && text[len - 1] == '%';
    if (!*ret_is_percent) {
        if (size_bytes_parse(text, ret, e) < 0)
            return err_set(e, -EINVAL, "BadSetting", "%s is '%.40s': expected 85%% or a size", name,
                           text);
        return 0;
    }
    percent = strtol(text, &end, 10);
    if (end != text + len - 1 || end == text || percent < 0 || percent > 100)
        return err_set(e, -EINVAL, "BadSetting", "%s is '%.40s': expected 0%% to 100%%", name,
                       text);
    *ret = percent;
    return 0;
}

static int age_parse(const char *name, const char *text, int64_t *ret_ms, struct err *e)
{
    if (duration_ms_parse(text, ret_ms, e) < 0) {
        e->reason = "BadSetting";
        return err_prefix(e, "%s", name);
    }
    return 0;
}

int retain_parse(const char *high, const char *low, const char *min_age, const char *max_age,
                 struct retain_options *ret, struct err *e)
{
    struct retain_options o = {.min_age_ms = RETAIN_MIN_AGE_MS};
    bool is_low_percent;

    if (high)
        TRY(mark_parse("WHERRY_GC_HIGH", high, &o.high, &o.is_percent, e));
    o.low = o.is_percent ? (o.high > 5 ? o.high - 5 : 0) : o.high - o.high / 10;
    if (low) {
        TRY(mark_parse("WHERRY_GC_LOW", low, &o.low, &is_low_percent, e));
        if (!high || is_low_percent != o.is_percent || o.low > o.high)
            return err_set(e, -EINVAL, "BadSetting",
                           "WHERRY_GC_LOW has to be of the same kind as WHERRY_GC_HIGH, and not "
                           "above it");
    }
    if (min_age)
        TRY(age_parse("WHERRY_GC_MIN_AGE", min_age, &o.min_age_ms, e));
    if (max_age)
        TRY(age_parse("WHERRY_GC_MAX_AGE", max_age, &o.max_age_ms, e));
    *ret = o;
    return 0;
}

/* ---- Removing ---- */

struct round {
    struct images *store;
    struct cache *cache;
    const struct retain_options *o;
    const char *keep;
    struct collector *collector;
    int64_t now_ns, code_bytes; /* that were removed */
    struct err *e;
};

/* An image or an entry of the compile cache. */
struct victim {
    int64_t used_at_ns, bytes;
    const char *name;
    const struct cache_file *code; /* NULL: it is an image */
};

static int by_use(const void *a_, const void *b_)
{
    const struct victim *a = a_, *b = b_;

    return a->used_at_ns < b->used_at_ns ? -1 : a->used_at_ns > b->used_at_ns;
}

static int victim_remove(struct round *r, const struct victim *v)
{
    __attribute__((cleanup(reference_done))) struct reference name = {0};
    int removed;

    if (!v->code) {
        TRY(reference_parse(v->name, &name, r->e));
        return collector_unname(r->collector, &name, r->e);
    }
    removed = cache_file_remove(r->cache, v->code, r->e);
    if (removed > 0)
        r->code_bytes += v->code->bytes;
    return removed;
}

/* Removes what was not used since then, those that were not used for longest first, until `bytes`
 * are found. */
static int victims_remove(struct round *r, int64_t before_ns, int64_t bytes)
{
    autoinventory v = {0};
    autocache_list code = {0};
    autofree struct victim *victims = NULL;
    size_t n = 0;
    int result = 0;

    TRY(inventory_read(r->store, &v, r->e));
    TRY(inventory_check(&v, r->e)); /* before names go whose blobs could not follow */
    if (r->cache)
        TRY(cache_list(r->cache, &code, r->e));
    victims = xcalloc(v.n_images + code.n + 1, sizeof(*victims));
    for (size_t i = 0; i < v.n_images; i++) {
        const struct stored_image *image = &v.images[i];
        int64_t all, shared;

        if (!image->name || (r->keep && str_eq(image->name, r->keep)))
            continue;
        inventory_image_bytes(&v, image, &all, &shared);
        victims[n++] = (struct victim){image->used_at_ns, all - shared, image->name, NULL};
    }
    for (size_t i = 0; i < code.n; i++)
        if (code.v[i].kind == CACHE_ENTRY)
            victims[n++] = (struct victim){code.v[i].used_at_ns, code.v[i].bytes, NULL, &code.v[i]};
    qsort(victims, n, sizeof(*victims), by_use);
    for (size_t i = 0; i < n && bytes > 0 && result >= 0; i++) {
        if (victims[i].used_at_ns >= before_ns)
            break;
        result = victim_remove(r, &victims[i]);
        bytes -= victims[i].bytes;
    }
    return result < 0 ? result : 0;
}

static int usage_bytes(struct round *r, int64_t *ret)
{
    autoinventory v = {0};
    autocache_list code = {0};
    int64_t sum = 0;

    TRY(inventory_read(r->store, &v, r->e));
    if (r->cache)
        TRY(cache_list(r->cache, &code, r->e));
    for (size_t i = 0; i < v.n_blobs; i++)
        sum += v.blobs[i].size;
    for (size_t i = 0; i < v.n_parts; i++)
        sum += v.parts[i].size;
    for (size_t i = 0; i < code.n; i++)
        sum += code.v[i].bytes;
    *ret = sum;
    return 0;
}

/* Bytes that are to be removed: 0 below the high mark. */
static int excess_find(struct round *r, int64_t *ret)
{
    const struct retain_options *o = r->o;
    struct statvfs fs;
    int64_t all, used;

    *ret = 0;
    if (!o->high)
        return 0;
    if (!o->is_percent) {
        TRY(usage_bytes(r, &used));
        *ret = used >= o->high ? used - o->low : 0;
        return 0;
    }
    if (fstatvfs(r->store->dirfd, &fs) < 0)
        return store_failed(r->e, -errno, "examine the file system of", ".");
    all = (int64_t)(fs.f_blocks * fs.f_frsize);
    used = all - (int64_t)(fs.f_bavail * fs.f_frsize);
    if (all && (double)used * 100 >= (double)all * (double)o->high)
        *ret = used - (int64_t)((double)all * (double)o->low / 100);
    return 0;
}

static int64_t removed_bytes(const struct round *r)
{
    return collector_bytes(r->collector) + r->code_bytes;
}

/* What nobody needs goes before what somebody may want. */
static int marks_reach(struct round *r, int64_t excess)
{
    int64_t before_ns = r->now_ns - r->o->min_age_ms * MS_NS;

    TRY(collector_leftovers(r->collector, before_ns, r->e));
    TRY(collector_sweep(r->collector, r->e));
    excess -= removed_bytes(r);
    if (r->o->is_percent && r->cache && !cache_is_on_disk_of(r->cache, r->store->dirfd))
        r->cache = NULL; /* it would not help */
    if (excess > 0)
        TRY(victims_remove(r, before_ns, excess));
    return collector_sweep(r->collector, r->e);
}

static int ages_keep(struct round *r)
{
    TRY(collector_leftovers(r->collector, r->now_ns - RETAIN_LEFTOVERS_MS * MS_NS, r->e));
    if (r->o->max_age_ms)
        TRY(victims_remove(r, r->now_ns - r->o->max_age_ms * MS_NS, INT64_MAX));
    return collector_sweep(r->collector, r->e);
}

int images_retain(struct images *s, struct cache *cache, const struct retain_options *o,
                  const char *keep, int64_t *ret_bytes, struct err *e)
{
    struct round r = {.store = s, .cache = cache, .o = o, .keep = keep, .e = e};
    bool is_due;
    int64_t excess;
    int opened, result;

    *ret_bytes = 0;
    r.now_ns = (int64_t)clock_realtime_ns();
    is_due = r.now_ns - images_collected_at_ns(s) >= RETAIN_LEFTOVERS_MS * MS_NS;
    TRY(excess_find(&r, &excess));
    if (!excess && !is_due)
        return 0;
    opened = collector_open(s, &(struct collect_options){0}, false, &r.collector, e);
    if (opened <= 0)
        return opened;
    result = is_due ? ages_keep(&r) : 0;
    if (result >= 0 && excess > removed_bytes(&r))
        result = marks_reach(&r, excess);
    *ret_bytes = removed_bytes(&r);
    collector_free(r.collector);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/watch.h"

#include "base/err.h"

struct change {
    struct watch_item *now, *before;
    bool is_removal;
};

struct watch_feed {
    struct watch_item **items; /* by namespace and name */
    size_t n_items, cap_items;
    /* Change number i is at i % WATCH_LIMIT_CHANGES, for first <= i < next. */
    struct change *changes;
    uint64_t first, next;
    size_t bytes;           /* of the changes' `now` */
    uint64_t first_version; /* what was forgotten last, or the beginning */
    uint64_t version;
    struct watcher *watchers;
};

struct watcher {
    struct watch_feed *feed;
    struct watcher *next_watcher, **back;
    uint64_t next;
    void (*woken)(void *ctx);
    void *ctx;
};

/* ---- Items ---- */

static size_t pairs_size(const struct pod_pairs *p)
{
    size_t size = p->n * sizeof(struct pod_pair);

    for (size_t i = 0; i < p->n; i++)
        size += strlen(p->v[i].name) + strlen(p->v[i].value) + 2;
    return size;
}

static const char *text_put(char **at, const char *text)
{
    size_t len = strlen(text) + 1;
    char *to = memcpy(*at, text, len);

    *at += len;
    return to;
}

static void pairs_put(const struct pod_pairs *from, struct pod_pair *v, char **at,
                      struct pod_pairs *to)
{
    *to = (struct pod_pairs){v, from->n};
    for (size_t i = 0; i < from->n; i++)
        v[i] = (struct pod_pair){text_put(at, from->v[i].name), text_put(at, from->v[i].value)};
}

struct watch_item *watch_item_new(uint64_t version, const struct pod_pairs *labels,
                                  const struct pod_pairs *fields, struct buf *json)
{
    struct watch_item *i = xcalloc(1, sizeof(*i));
    size_t n = labels->n + fields->n;
    struct pod_pair *v = xcalloc(1, pairs_size(labels) + pairs_size(fields) + 1);
    char *at = (char *)(v + n);

    BUG_ON(fields->n < 2);
    *i = (struct watch_item){.refs = 1, .version = version, .len = json->len, .memory = v};
    pairs_put(labels, v, &at, &i->labels);
    pairs_put(fields, v + labels->n, &at, &i->fields);
    i->name = i->fields.v[0].value;
    i->space = i->fields.v[1].value;
    i->json = buf_take(json);
    return i;
}

struct watch_item *watch_item_ref(struct watch_item *i)
{
    i->refs++;
    return i;
}

void watch_item_unref(struct watch_item *i)
{
    if (!i || --i->refs)
        return;
    explicit_bzero(i->json, i->len);
    free(i->json);
    free(i->memory);
    free(i);
}

/* ---- Objects ---- */

struct watch_feed *watch_feed_new(uint64_t first_version)
{
    struct watch_feed *f = xcalloc(1, sizeof(*f));

    f->changes = xcalloc(WATCH_LIMIT_CHANGES, sizeof(*f->changes));
    f->first_version = f->version = first_version;
    return f;
}

static void change_forget(struct watch_feed *f)
{
    struct change *c = &f->changes[f->first++ % WATCH_LIMIT_CHANGES];

    f->first_version = c->now->version;
    f->bytes -= c->now->len;
    watch_item_unref(c->now);
    watch_item_unref(c->before);
    *c = (struct change){0};
}

void watch_feed_free(struct watch_feed *f)
{
    if (!f)
        return;
    BUG_ON(f->watchers);
    while (f->first < f->next)
        change_forget(f);
    for (size_t i = 0; i < f->n_items; i++)
        watch_item_unref(f->items[i]);
    free(f->items);
    free(f->changes);
    free(f);
}

/* Where it is, or would be. */
static size_t place_find(const struct watch_feed *f, const char *space, const char *name,
                         bool *ret_is_there)
{
    size_t low = 0, high = f->n_items;

    *ret_is_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct watch_item *i = f->items[middle];
        int order = strcmp(i->space, space);

        if (!order)
            order = strcmp(i->name, name);
        if (!order) {
            *ret_is_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void change_add(struct watch_feed *f, struct watch_item *now, struct watch_item *before,
                       bool is_removal)
{
    struct watcher *next;

    BUG_ON(now->version <= f->version);
    if (f->next - f->first == WATCH_LIMIT_CHANGES)
        change_forget(f);
    f->changes[f->next++ % WATCH_LIMIT_CHANGES] = (struct change){now, before, is_removal};
    f->bytes += now->len;
    f->version = now->version;
    /* The last one stays, however large it is. */
    while (f->bytes > WATCH_LIMIT_BYTES && f->next - f->first > 1)
        change_forget(f);
    for (struct watcher *w = f->watchers; w; w = next) {
        next = w->next_watcher;
        w->woken(w->ctx);
    }
}

void watch_feed_put(struct watch_feed *f, struct watch_item *i)
{
    struct watch_item *before = NULL;
    bool is_there;
    size_t at = place_find(f, i->space, i->name, &is_there);

    if (is_there) {
        before = f->items[at];
    } else {
        if (f->n_items == f->cap_items) {
            f->cap_items = f->cap_items ? 2 * f->cap_items : 16;
            f->items = xrealloc(f->items, f->cap_items, sizeof(struct watch_item *));
        }
        memmove(f->items + at + 1, f->items + at, (f->n_items - at) * sizeof(struct watch_item *));
        f->n_items++;
    }
    f->items[at] = watch_item_ref(i);
    change_add(f, i, before, false);
}

void watch_feed_remove(struct watch_feed *f, struct watch_item *last)
{
    struct watch_item *before;
    bool is_there;
    size_t at = place_find(f, last->space, last->name, &is_there);

    BUG_ON(!is_there);
    before = f->items[at];
    f->n_items--;
    memmove(f->items + at, f->items + at + 1, (f->n_items - at) * sizeof(struct watch_item *));
    change_add(f, last, before, true);
}

struct watch_item *watch_feed_find(const struct watch_feed *f, const char *space, const char *name)
{
    bool is_there;
    size_t at = place_find(f, space, name, &is_there);

    return is_there ? f->items[at] : NULL;
}

size_t watch_feed_count(const struct watch_feed *f)
{
    return f->n_items;
}

struct watch_item *watch_feed_at(const struct watch_feed *f, size_t place)
{
    return f->items[place];
}

uint64_t watch_feed_version(const struct watch_feed *f)
{
    return f->version;
}

/* ---- Watchers ---- */

int watcher_new(struct watch_feed *f, uint64_t version, void (*woken)(void *ctx), void *ctx,
                struct watcher **ret)
{
    struct watcher *w;
    uint64_t next = f->first;

    if (version < f->first_version || version > f->version)
        return -ESTALE;
    while (next < f->next && f->changes[next % WATCH_LIMIT_CHANGES].now->version <= version)
        next++;
    w = xcalloc(1, sizeof(*w));
    *w = (struct watcher){.feed = f, .next = next, .woken = woken, .ctx = ctx};
    w->next_watcher = f->watchers;
    w->back = &f->watchers;
    if (f->watchers)
        f->watchers->back = &w->next_watcher;
    f->watchers = w;
    *ret = w;
    return 0;
}

int watcher_next(struct watcher *w, struct watch_change *ret)
{
    const struct watch_feed *f = w->feed;
    const struct change *c;

    if (w->next < f->first)
        return -ESTALE;
    if (w->next == f->next)
        return 0;
    c = &f->changes[w->next++ % WATCH_LIMIT_CHANGES];
    *ret = (struct watch_change){c->now, c->before, c->is_removal};
    return 1;
}

void watcher_free(struct watcher *w)
{
    if (!w)
        return;
    *w->back = w->next_watcher;
    if (w->next_watcher)
        w->next_watcher->back = w->back;
    free(w);
}

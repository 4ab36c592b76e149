/* SPDX-License-Identifier: Apache-2.0 */
#include "image/rootfs.h"

#include "base/buf.h"
#include "base/paths.h"

#define WHITEOUT ".wh."
#define OPAQUE   ".wh..wh..opq"
#define RESERVED ".wh..wh." /* of AUFS, for itself */

/* What a record says of its path. */
enum meaning {
    IS_FILE = ROOTFS_FILE,
    IS_FOLDER = ROOTFS_FOLDER,
    IS_SYMLINK = ROOTFS_SYMLINK,
    IS_HARD_LINK = ROOTFS_HARD_LINK,
    IS_OTHER = ROOTFS_OTHER,
    IS_BAD,      /* `link` is the name, or the link, that is not used */
    IS_WHITEOUT, /* not in the layers below */
    IS_OPAQUE,   /* nothing in it is in the layers below */
};

struct record {
    char *path; /* without slashes around: "" is the root */
    char *link;
    struct rootfs_place place;
    enum meaning meaning;
};

struct rootfs {
    struct record *v;
    size_t n, cap, names_bytes;
    bool is_sorted;
};

struct rootfs *rootfs_new(void)
{
    return xcalloc(1, sizeof(struct rootfs));
}

void rootfs_free(struct rootfs *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].path);
        free(r->v[i].link);
    }
    free(r->v);
    free(r);
}

/* ---- Adding ---- */

/* The next part of a path, with its length; NULL at the end. */
static const char *part_next(const char **at, size_t *ret_len)
{
    const char *part = *at + strspn(*at, "/");

    *ret_len = strcspn(part, "/");
    *at = part + *ret_len;
    return *ret_len ? part : NULL;
}

static bool part_is(const char *part, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(part, text, len) == 0;
}

static void path_add(struct buf *path, const char *part, size_t len)
{
    if (path->len)
        buf_addc(path, '/');
    buf_add(path, part, len);
}

static void path_up(struct buf *path)
{
    const char *slash = path->len ? strrchr(path->data, '/') : NULL;

    path->len = slash ? (size_t)(slash - path->data) : 0;
    if (path->data)
        buf_terminate(path);
}

/* Makes a path of a name; false when the name leads out of the root, or does not begin there. */
static bool path_of(const char *name, struct buf *ret)
{
    bool is_inside = *name != '/';
    const char *part;
    size_t len;

    while ((part = part_next(&name, &len))) {
        if (part_is(part, len, "..")) {
            is_inside = is_inside && ret->len;
            path_up(ret);
        } else if (!part_is(part, len, ".")) {
            path_add(ret, part, len);
        }
    }
    return is_inside;
}

bool rootfs_is_name_of(const char *name, const char *path)
{
    autobuf a = BUF_INIT, b = BUF_INIT;

    return str_eq(path_base(name), path_base(path)) && path_of(name, &a) &&
           path_of(path + strspn(path, "/"), &b) && str_eq(buf_str(&a), buf_str(&b));
}

static int record_add(struct rootfs *r, const struct record *what, struct err *e)
{
    size_t bytes = strlen(what->path) + (what->link ? strlen(what->link) : 0);

    if (r->n == ROOTFS_ENTRY_LIMIT || r->names_bytes + bytes > ROOTFS_NAMES_LIMIT)
        return err_set(e, -E2BIG, "TooLarge", "there are too many files in it");
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        r->v = xrealloc(r->v, r->cap, sizeof(*r->v));
    }
    r->v[r->n] = *what;
    r->v[r->n].path = xstrdup(what->path);
    r->v[r->n].link = what->link ? xstrdup(what->link) : NULL;
    r->n++;
    r->names_bytes += bytes;
    r->is_sorted = false;
    return 0;
}

/* A whiteout is about the folder that it is in, or about its neighbour. 1 when there is something
 * to record. */
static int whiteout_parse(struct buf *path, enum meaning *ret)
{
    autofree char *copy = xstrdup(buf_str(path));
    const char *slash = strrchr(copy, '/'), *base = slash ? slash + 1 : copy;
    const char *hidden = base + strlen(WHITEOUT);

    path_up(path);
    if (str_eq(base, OPAQUE)) {
        *ret = IS_OPAQUE;
        return 1;
    }
    if (str_starts(base, RESERVED) || !*hidden || str_eq(hidden, ".") || str_eq(hidden, ".."))
        return 0;
    path_add(path, hidden, strlen(hidden));
    *ret = IS_WHITEOUT;
    return 1;
}

static bool is_whiteout(const struct buf *path)
{
    const char *slash = path->len ? strrchr(path->data, '/') : NULL;

    return str_starts(slash ? slash + 1 : buf_str(path), WHITEOUT);
}

int rootfs_add(struct rootfs *r, struct rootfs_place place, enum rootfs_kind kind, const char *name,
               const char *link, struct err *e)
{
    autobuf path = BUF_INIT, target = BUF_INIT;
    struct record record = {.place = place, .meaning = (enum meaning)kind};
    bool has_link = kind == ROOTFS_SYMLINK || kind == ROOTFS_HARD_LINK, is_good;

    if (strlen(name) > ROOTFS_NAME_LIMIT || (has_link && strlen(link) > ROOTFS_NAME_LIMIT))
        return 0; /* no system could have it */
    is_good = path_of(name, &path);
    record.link = has_link ? (char *)(uintptr_t)link : NULL;
    if (is_whiteout(&path)) {
        record.link = NULL;
        if (!is_good || !whiteout_parse(&path, &record.meaning))
            return 0;
    } else if (!is_good) {
        record.meaning = IS_BAD;
        record.link = (char *)(uintptr_t)name;
    } else if (kind == ROOTFS_HARD_LINK && !path_of(link, &target)) {
        record.meaning = IS_BAD;
    }
    record.path = (char *)(uintptr_t)buf_str(&path);
    if (!path.len && record.meaning != IS_OPAQUE)
        return 0; /* the root is a folder, whatever a layer says */
    return record_add(r, &record, e);
}

/* ---- Finding ---- */

/* By path, and then the latest first. */
static int by_path(const void *a_, const void *b_)
{
    const struct record *a = a_, *b = b_;
    int order = strcmp(a->path, b->path);

    if (order)
        return order;
    if (a->place.layer != b->place.layer)
        return a->place.layer > b->place.layer ? -1 : 1;
    if (a->place.entry != b->place.entry)
        return a->place.entry > b->place.entry ? -1 : 1;
    return 0;
}

/* The first record of a path, or where it would be. */
static size_t records_find(const struct rootfs *r, const char *path)
{
    size_t low = 0, high = r->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(r->v[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether a record is about what there was at a place. Whiteouts are no matter of order in their
 * layer. */
static bool is_known_at(const struct record *d, struct rootfs_place at)
{
    bool is_hiding = d->meaning == IS_WHITEOUT || d->meaning == IS_OPAQUE;

    return d->place.layer < at.layer ||
           (d->place.layer == at.layer && (is_hiding || d->place.entry <= at.entry));
}

/* What is at a path; NULL: nothing, or a folder that no layer has an entry of. Of lower layers than
 * `floor` nothing is seen, and below the path nothing of lower ones than *ret_floor. */
static const struct record *record_at(const struct rootfs *r, const char *path,
                                      struct rootfs_place at, unsigned floor, unsigned *ret_floor)
{
    const struct record *found = NULL;

    *ret_floor = floor;
    for (size_t i = records_find(r, path); i < r->n && str_eq(r->v[i].path, path); i++) {
        const struct record *d = &r->v[i];
        bool is_entry = d->meaning != IS_WHITEOUT && d->meaning != IS_OPAQUE;

        if (!is_known_at(d, at))
            continue;
        if (is_entry && !found && d->place.layer >= floor)
            found = d;
        if (d->meaning == IS_WHITEOUT && d->place.layer > floor)
            floor = d->place.layer;
        if (d->meaning != IS_FOLDER && d->place.layer > *ret_floor)
            *ret_floor = d->place.layer;
    }
    return found;
}

/* On the way to a file. */
struct walk {
    const struct rootfs *r;
    const char *wanted;
    struct rootfs_place at; /* hard links are to what there was when they were made */
    struct buf path;        /* how far it got: folders only */
    unsigned floors[ROOTFS_DEPTH_LIMIT + 1];
    size_t depth;
    unsigned n_followed;
    char *rest; /* what is still to be walked */
};

static int leads_out(const struct walk *w, const char *what, struct err *e)
{
    return err_set(e, -EINVAL, "BadImage", "'%.128s' leads to '%.128s', which is out of the image",
                   w->wanted, what);
}

static int is_no_file(const struct walk *w, const char *what, struct err *e)
{
    return err_set(e, -ENOEXEC, "NotRunnable", "'/%.128s' in it is %s, not a regular file",
                   buf_str(&w->path), what);
}

static void walk_begin(struct walk *w)
{
    w->depth = 0;
    w->path.len = 0;
    if (w->path.data)
        buf_terminate(&w->path);
    record_at(w->r, "", w->at, 0, &w->floors[0]);
}

/* Goes on where the link leads, from the folder that it is in. */
static int follow(struct walk *w, const struct record *d, const char *rest, struct err *e)
{
    bool is_hard = d->meaning == IS_HARD_LINK;
    char *path;

    if (++w->n_followed > ROOTFS_FOLLOW_LIMIT)
        return err_set(e, -ELOOP, "BadImage", "the links that '%.128s' leads to have no end",
                       w->wanted);
    path_up(&w->path);
    path = is_hard || *d->link == '/' ? xasprintf("%s%s", d->link, rest)
                                      : xasprintf("%s/%s%s", buf_str(&w->path), d->link, rest);
    if (is_hard)
        w->at = d->place;
    free(w->rest);
    w->rest = path;
    if (strlen(path) > 2 * ROOTFS_NAME_LIMIT)
        return err_set(e, -ELOOP, "BadImage", "the links that '%.128s' leads to have no end",
                       w->wanted);
    walk_begin(w);
    return 0;
}

/* One part of the path: 1 when it is the file; otherwise *at is what follows. */
static int walk_part(struct walk *w, const char **at, const char *part, size_t len,
                     struct rootfs_place *ret, struct err *e)
{
    bool is_last = !(*at)[strspn(*at, "/")];
    const struct record *d;

    if (w->depth == ROOTFS_DEPTH_LIMIT)
        return err_set(e, -EINVAL, "BadImage", "'%.128s' is too deep in it", w->wanted);
    path_add(&w->path, part, len);
    d = record_at(w->r, buf_str(&w->path), w->at, w->floors[w->depth], &w->floors[w->depth + 1]);
    w->depth++;
    if (!d)
        return 0; /* a folder without an entry, or nothing */
    switch (d->meaning) {
    case IS_FILE:
        if (!is_last)
            return is_no_file(w, "a file with something in it", e);
        *ret = d->place;
        return 1;
    case IS_SYMLINK:
    case IS_HARD_LINK:
        TRY(follow(w, d, *at, e));
        *at = w->rest;
        return 0;
    case IS_FOLDER:
        return is_last ? is_no_file(w, "a folder", e) : 0;
    case IS_BAD:
        return leads_out(w, d->link, e);
    case IS_OTHER:
        return is_no_file(w, "a device or a FIFO", e);
    case IS_WHITEOUT:
    case IS_OPAQUE:
        break;
    }
    BUG_ON(true);
}

static int walk(struct walk *w, struct rootfs_place *ret, struct err *e)
{
    const char *at = w->rest, *part;
    size_t len;

    walk_begin(w);
    while ((part = part_next(&at, &len))) {
        int r = 0;

        if (part_is(part, len, "..") && !w->depth)
            return leads_out(w, w->rest, e);
        if (part_is(part, len, "..")) {
            path_up(&w->path);
            w->depth--;
        } else if (!part_is(part, len, ".")) {
            r = walk_part(w, &at, part, len, ret, e);
        }
        if (r)
            return r;
    }
    return 0;
}

int rootfs_find(struct rootfs *r, const char *path, struct rootfs_place *ret, struct err *e)
{
    struct walk w = {
        .r = r, .wanted = path, .at = {~0U, ~0U},
                .path = BUF_INIT, .rest = xstrdup(path)
    };
    int result;

    if (!r->is_sorted && r->n)
        qsort(r->v, r->n, sizeof(*r->v), by_path);
    r->is_sorted = true;
    result = walk(&w, ret, e);
    buf_done(&w.path);
    free(w.rest);
    return result;
}

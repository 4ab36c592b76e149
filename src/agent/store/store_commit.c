/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/store_commit.h"

#include <inttypes.h>

#define COMMIT_BYTES   (4u << 20) /* of one frame, unless a single record is longer */
#define COMMIT_CHANGES 1024       /* of one commit, which are told in one go */
#define REWRITE_BYTES  (1u << 20) /* no smaller journal is rewritten */

void changes_init(struct changes *q)
{
    *q = (struct changes){.end = &q->first};
}

void changes_add(struct changes *q, struct change *c)
{
    *q->end = c;
    q->end = &c->next;
    q->bytes += c->text.len;
}

static struct change *changes_take(struct changes *q)
{
    struct change *c = q->first;

    q->first = c->next;
    if (!q->first)
        q->end = &q->first;
    c->next = NULL;
    q->bytes -= c->text.len;
    return c;
}

static void change_free(struct change *c)
{
    object_unref(c->object);
    free(c->space);
    free(c->name);
    secret_buf_done_(&c->text);
    free(c);
}

static void commit_free(struct commit *c)
{
    secret_buf_done_(&c->frames);
    sem_destroy(&c->finished);
    free(c);
}

/* ---- What is to be written ---- */

static const char *space_of(const struct change *c)
{
    return c->object ? c->object->space : c->space;
}

static const char *name_of(const struct change *c)
{
    return c->object ? c->object->name : c->name;
}

/* Whether there is such an object after the changes of the commit so far. */
static bool is_there(const struct object_store *s, const struct changes *before,
                     const struct change *c)
{
    bool found = object_table_find(&s->table, c->kind, space_of(c), name_of(c));

    for (const struct change *b = before->first; b; b = b->next)
        if (b->hash == c->hash && !b->failed.code && b->kind == c->kind &&
            str_eq(space_of(b), space_of(c)) && str_eq(name_of(b), name_of(c)))
            found = b->object;
    return found;
}

static void change_check(const struct object_store *s, const struct changes *before,
                         size_t n_before, struct change *c)
{
    if (c->failed.code)
        return;
    if (s->is_broken)
        err_set(&c->failed, -EIO, "StateBroken",
                "'%.200s' could not be repaired after a failed write; see to its file system and "
                "start the agent again",
                s->path);
    else if (!c->object && !is_there(s, before, c))
        err_set(&c->failed, -ENOENT, "NotFound", "there is no %s '%.253s' in namespace '%.63s'",
                object_kind_name(c->kind), c->name, c->space);
    else if (c->object && s->table.n + n_before >= OBJECT_STORE_LIMIT && !is_there(s, before, c))
        err_set(&c->failed, -ENOSPC, "StateFull",
                "there are %d objects already, which is the most; delete some first",
                OBJECT_STORE_LIMIT);
}

static struct commit *commit_new(struct object_store *s)
{
    struct commit *c = xcalloc(1, sizeof(*c));

    *c = (struct commit){.store = s,
                         .dirfd = s->dirfd,
                         .fd = s->fd,
                         .size = s->size,
                         .path = s->path,
                         .new_fd = -EBADF};
    changes_init(&c->changes);
    BUG_ON(sem_init(&c->finished, 0, 0) < 0);
    return c;
}

/* The changes that come next, as one frame, which is empty when all of them are refused. */
static struct commit *commit_fill(struct object_store *s)
{
    struct commit *c = commit_new(s);
    size_t bytes = 0, n = 0, begin;

    while (s->queue.first && n < COMMIT_CHANGES) {
        size_t more = JOURNAL_RECORD_HEAD + s->queue.first->text.len;
        struct change *next;

        if (bytes && bytes + more > COMMIT_BYTES)
            break;
        next = changes_take(&s->queue);
        change_check(s, &c->changes, n++, next);
        changes_add(&c->changes, next);
        bytes += next->failed.code ? 0 : more;
    }
    if (!bytes)
        return c;
    buf_reserve(&c->frames, JOURNAL_FRAME_HEAD + bytes);
    begin = journal_frame_begin(&c->frames);
    for (const struct change *i = c->changes.first; i; i = i->next)
        if (!i->failed.code)
            journal_record_add(&c->frames, i->object ? JOURNAL_PUT : JOURNAL_DELETE, i->version,
                               (struct text){i->text.data, i->text.len});
    journal_frame_end(&c->frames, begin, c->size);
    return c;
}

/* ---- Rewriting ---- */

static uint64_t live_bytes(const struct object_store *s)
{
    return s->table.bytes + JOURNAL_RECORD_HEAD * s->table.n;
}

static bool rewrite_is_due(const struct object_store *s)
{
    return !s->is_broken && s->size > REWRITE_BYTES && s->size > 2 * live_bytes(s) &&
           s->size >= s->rewrite_size;
}

struct snapshot {
    struct buf *out;
    size_t begin; /* of the frame */
};

static void snapshot_add(void *ctx, struct object *o)
{
    struct snapshot *s = ctx;
    autosecretbuf text = BUF_INIT;

    object_encode(o, NULL, &text);
    if (s->out->len - s->begin > JOURNAL_FRAME_HEAD &&
        s->out->len - s->begin + text.len > COMMIT_BYTES) {
        journal_frame_end(s->out, s->begin, JOURNAL_BEGIN + s->begin);
        s->begin = journal_frame_begin(s->out);
    }
    journal_record_add(s->out, JOURNAL_PUT, strtoull(o->version, NULL, 10),
                       (struct text){text.data, text.len});
}

static struct commit *rewrite_fill(struct object_store *s)
{
    struct commit *c = commit_new(s);
    struct snapshot shot = {.out = &c->frames};
    uint64_t live = live_bytes(s);

    c->is_rewrite = true;
    /* Each frame but the last is at least half full, or a single record. */
    buf_reserve(&c->frames,
                live + JOURNAL_RECORD_HEAD + JOURNAL_FRAME_HEAD * (2 + live / (COMMIT_BYTES / 2)));
    shot.begin = journal_frame_begin(&c->frames);
    journal_record_add(&c->frames, JOURNAL_VERSION, s->version, (struct text){0});
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        object_table_each(&s->table, (enum object_kind)kind, NULL, snapshot_add, &shot);
    journal_frame_end(&c->frames, shot.begin, JOURNAL_BEGIN + shot.begin);
    return c;
}

/* ---- In the pool ---- */

static void commit_write(void *ctx)
{
    struct commit *c = ctx;
    struct text frames = {c->frames.data, c->frames.len};

    if (c->is_rewrite)
        journal_rewrite(c->dirfd, c->path, frames, &c->new_fd, &c->is_broken, &c->e);
    else if (frames.len)
        journal_append(c->fd, c->size, c->path, frames, &c->is_broken, &c->e);
    BUG_ON(sem_post(&c->finished) < 0);
}

/* ---- What became of it ---- */

static void change_apply(struct object_store *s, struct change *c)
{
    struct object *o;
    bool is_new;

    s->version = c->version;
    if (c->object) {
        o = object_ref(c->object);
        is_new = !object_table_put(&s->table, o, c->text.len);
        s->changed(s->ctx, is_new ? OBJECT_ADDED : OBJECT_MODIFIED, o);
    } else {
        o = object_table_take(&s->table, c->kind, c->space, c->name);
        BUG_ON(!o);
        s->changed(s->ctx, OBJECT_DELETED, o);
        object_unref(o);
    }
}

static void changes_tell(struct object_store *s, struct commit *c)
{
    s->is_telling = true;
    while (c->changes.first) {
        struct change *next = changes_take(&c->changes);

        if (!next->failed.code)
            next->failed = c->e;
        if (!next->failed.code)
            change_apply(s, next);
        if (next->done)
            next->done(next->ctx, next->failed.code ? &next->failed : NULL);
        change_free(next);
    }
    s->is_telling = false;
}

static void rewrite_take(struct object_store *s, struct commit *c)
{
    if (c->e.code) {
        s->rewrite_size = 2 * s->size;
        if (s->note)
            s->note(s->ctx, c->e.msg);
        return;
    }
    close(s->fd);
    s->fd = c->new_fd;
    s->size = JOURNAL_BEGIN + c->frames.len;
    s->rewrite_size = 0;
    s->n_rewrites++;
}

/* Everything that the commit changes in the store; s->commit stays, so that no other begins. */
static void commit_take(struct object_store *s, struct commit *c)
{
    s->is_broken |= c->is_broken;
    if (c->is_rewrite) {
        rewrite_take(s, c);
        return;
    }
    if (c->e.code)
        s->n_failed_commits++;
    else if (c->frames.len)
        s->n_commits++;
    if (!c->e.code)
        s->size += c->frames.len;
    changes_tell(s, c);
}

static void commit_next(struct object_store *s);

static void commit_done(void *ctx)
{
    struct commit *c = ctx;
    struct object_store *s = c->store;

    if (s) {
        commit_take(s, c);
        s->commit = NULL;
        commit_next(s);
    }
    commit_free(c);
}

static void commit_next(struct object_store *s)
{
    if (rewrite_is_due(s))
        s->commit = rewrite_fill(s);
    else if (s->queue.first)
        s->commit = commit_fill(s);
    else
        return;
    loop_work(s->loop, commit_write, commit_done, s->commit);
}

void store_kick(struct object_store *s)
{
    if (!s->commit && !s->is_closing && !loop_timer_is_set(s->kick))
        loop_timer_set(s->kick, 0);
}

void store_kicked(void *ctx)
{
    commit_next(ctx);
}

void store_flush(struct object_store *s)
{
    struct commit *c = s->commit;

    if (c) {
        while (sem_wait(&c->finished) < 0 && errno == EINTR)
            ;
        commit_take(s, c);
        /* The loop still has its end, and frees it there. */
        c->store = NULL;
        s->commit = NULL;
    }
    while (s->queue.first) {
        c = commit_fill(s);
        commit_write(c);
        commit_take(s, c);
        commit_free(c);
    }
}

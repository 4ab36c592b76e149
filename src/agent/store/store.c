/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "agent/store/store_commit.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/json.h"
#include "base/paths.h"

#define LOCK_NAME "lock"
/* An object that was accepted has grown when it is stored: what it was stamped with, and Base64. */
#define TEXT_LIMIT (2 * OBJECT_LIMIT_BYTES)

/* ---- Replay ---- */

static int put_replay(struct object_store *s, const struct journal_record *r, struct err *e)
{
    struct objects_options options = {.file = s->path, .is_stored = true};
    autoobjects found = {0};

    TRY(objects_parse(r->text, &options, &found, e));
    if (found.n != 1)
        return err_set(e, -EINVAL, "BadManifest", "a record with %zu objects", found.n);
    object_table_put(&s->table, object_ref(found.v[0]), r->text.len);
    return 0;
}

static int delete_replay(struct object_store *s, const struct journal_record *r, struct err *e)
{
    struct key {
        char *kind, *space, *name;
    } key = {0};
    static const struct json_field fields[] = {
        JSON_REQUIRED("kind", FIELD_STRING, struct key, kind),
        JSON_REQUIRED("namespace", FIELD_STRING, struct key, space),
        JSON_REQUIRED("name", FIELD_STRING, struct key, name),
        {0},
    };
    static const struct json_limits limits = {.bytes = 4096, .depth = 2};
    int kind;

    TRY(json_decode(r->text.data, r->text.len, limits, fields, JSON_REFUSE_UNKNOWN, &key, e));
    kind = object_kind_find(key.kind);
    if (kind >= 0)
        object_unref(object_table_take(&s->table, (enum object_kind)kind, key.space, key.name));
    else
        err_set(e, kind, "UnknownKind", "'%.60s' is no kind of object", key.kind);
    json_fields_done(fields, &key);
    return kind < 0 ? kind : 0;
}

static int record_replay(void *ctx, const struct journal_record *r, uint64_t place, struct err *e)
{
    struct object_store *s = ctx;
    struct err why = ERR_INIT;
    int result = 0;

    if (r->type == JOURNAL_PUT)
        result = put_replay(s, r, &why);
    else if (r->type == JOURNAL_DELETE)
        result = delete_replay(s, r, &why);
    if (result < 0)
        return err_set(e, -EBADMSG, "StateDamaged",
                       "'%.150s' has a record at byte %" PRIu64
                       " that this version of wherry cannot read (%.150s); run the version that "
                       "wrote it, or move the file away and apply the manifests again",
                       s->path, place, why.msg);
    if (r->version > s->version)
        s->version = r->version;
    return 0;
}

/* ---- Opening and closing ---- */

static int locked(int fd, const char *state_dir, struct err *e)
{
    autobuf text = BUF_INIT;
    struct err ignored = ERR_INIT;
    long pid = fd_read_all(fd, 32, &text, &ignored) < 0 ? 0 : strtol(buf_str(&text), NULL, 10);

    if (pid <= 0)
        return err_set(e, -EBUSY, "StateLocked",
                       "another process uses '%.300s'; stop it, or name another state folder",
                       state_dir);
    return err_set(e, -EBUSY, "StateLocked",
                   "the process %ld uses '%.300s'; stop it, or name another state folder", pid,
                   state_dir);
}

/* The file stays when the lock ends, so that nobody locks one that has no name any more. */
static int lock_take(struct object_store *s, const char *state_dir, struct err *e)
{
    autofd made = openat(s->dirfd, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int fd = made < 0 ? -errno : file_try_lock_at(s->dirfd, LOCK_NAME), len;

    if (fd == -EAGAIN)
        return locked(made, state_dir, e);
    if (fd < 0)
        return err_errno(e, fd, "StateFailed", "cannot lock '%.300s/" LOCK_NAME "'", state_dir);
    s->lock_fd = fd;
    /* For people only: without it the message above names nobody. A file that is cut to nothing
     * first is put on the disk by ext4 when it is closed. */
    len = dprintf(fd, "%d\n", (int)getpid());
    if (len > 0)
        (void)!ftruncate(fd, len);
    return 0;
}

static void store_free(struct object_store *s)
{
    loop_timer_free(s->kick);
    object_table_done(&s->table);
    if (s->fd >= 0)
        close(s->fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dirfd >= 0)
        close(s->dirfd);
    free(s->path);
    free(s);
}

static int parts_open(struct object_store *s, const char *state_dir, struct err *e)
{
    struct journal_found found = {0};
    int r;

    TRY(path_open_private(state_dir, &s->dirfd, e));
    TRY(lock_take(s, state_dir, e));
    TRY(r = journal_open(s->dirfd, s->path, record_replay, s, &s->fd, &found, e));
    s->size = found.size;
    s->last_version = s->version;
    if (r && s->note) {
        autofree char *text =
            xasprintf("the last %" PRIu64 " bytes of '%s' were dropped: a change that was not "
                      "acknowledged before the machine or the process ended",
                      found.bytes - found.size, s->path);

        s->note(s->ctx, text);
    }
    return 0;
}

int object_store_open(const struct object_store_options *o, struct object_store **ret,
                      struct err *e)
{
    struct object_store *s = xcalloc(1, sizeof(*s));
    int r;

    *s = (struct object_store){.loop = o->loop,
                               .changed = o->changed,
                               .note = o->note,
                               .ctx = o->ctx,
                               .path = path_join(o->state_dir, JOURNAL_NAME),
                               .dirfd = -EBADF,
                               .lock_fd = -EBADF,
                               .fd = -EBADF};
    changes_init(&s->queue);
    s->kick = loop_timer_new(s->loop, store_kicked, s);
    r = parts_open(s, o->state_dir, e);
    if (r < 0) {
        store_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void object_store_close(struct object_store *s)
{
    if (!s)
        return;
    BUG_ON(s->is_telling);
    s->is_closing = true;
    store_flush(s);
    store_free(s);
}

/* ---- Changes ---- */

static struct change *change_new(struct object_store *s, enum object_kind kind, const char *space,
                                 const char *name)
{
    struct change *c = xcalloc(1, sizeof(*c));

    c->kind = kind;
    c->hash = object_key_hash(kind, space, name);
    c->version = ++s->last_version;
    return c;
}

static void change_queue(struct object_store *s, struct change *c,
                         void (*done)(void *ctx, const struct err *failed), void *ctx)
{
    c->done = done;
    c->ctx = ctx;
    if (s->is_closing)
        err_set(&c->failed, -ESHUTDOWN, "StateFailed", "'%.300s' is being closed", s->path);
    else if (s->queue.bytes + c->text.len > OBJECT_STORE_LIMIT_WAITING)
        err_set(&c->failed, -EAGAIN, "StateBusy",
                "more than %u MiB of changes wait for the disk; try again later",
                OBJECT_STORE_LIMIT_WAITING >> 20);
    changes_add(&s->queue, c);
    store_kick(s);
}

/* RFC 4122, version 4. */
#define UID_SIZE 37
static void uid_make(char ret[static UID_SIZE])
{
    uint8_t b[16];

    BUG_ON(getrandom(b, sizeof(b), 0) != sizeof(b));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(ret, UID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static void stamp(struct object *o, uint64_t version)
{
    char uid[UID_SIZE], created[CLOCK_RFC3339_SIZE], number[24];

    uid_make(uid);
    clock_rfc3339_format((int64_t)clock_realtime_ns(), created);
    snprintf(number, sizeof(number), "%" PRIu64, version);
    object_stamp(o, o->uid ? NULL : uid, number, o->created ? NULL : created);
}

void object_store_put(struct object_store *s, struct object *o,
                      void (*done)(void *ctx, const struct err *failed), void *ctx)
{
    struct change *c = change_new(s, o->kind, o->space, o->name);

    stamp(o, c->version);
    c->object = o;
    object_encode(o, NULL, &c->text);
    if (c->text.len > TEXT_LIMIT)
        err_set(&c->failed, -EFBIG, "TooLarge",
                "the %s '%.253s' of namespace '%.63s' is larger than %u MiB",
                object_kind_name(o->kind), o->name, o->space, TEXT_LIMIT >> 20);
    change_queue(s, c, done, ctx);
}

void object_store_delete(struct object_store *s, enum object_kind kind, const char *space,
                         const char *name, void (*done)(void *ctx, const struct err *failed),
                         void *ctx)
{
    struct change *c = change_new(s, kind, space, name);
    struct json_writer w;

    c->space = xstrdup(space);
    c->name = xstrdup(name);
    json_writer_init(&w, &c->text, false);
    json_begin_object(&w);
    json_key_str(&w, "kind", object_kind_name(kind));
    json_key_str(&w, "namespace", space);
    json_key_str(&w, "name", name);
    json_end_object(&w);
    change_queue(s, c, done, ctx);
}

/* ---- Reading ---- */

struct object *object_store_find(const struct object_store *s, enum object_kind kind,
                                 const char *space, const char *name)
{
    return object_table_find(&s->table, kind, space, name);
}

void object_store_each(const struct object_store *s, enum object_kind kind, const char *space,
                       void (*each)(void *ctx, struct object *o), void *ctx)
{
    object_table_each(&s->table, kind, space, each, ctx);
}

uint64_t object_store_version(const struct object_store *s)
{
    return s->version;
}

void object_store_figures(const struct object_store *s, struct object_store_figures *ret)
{
    *ret = (struct object_store_figures){.objects = s->table.n,
                                         .journal_bytes = s->size,
                                         .live_bytes = s->table.bytes,
                                         .commits = s->n_commits,
                                         .failed_commits = s->n_failed_commits,
                                         .rewrites = s->n_rewrites};
}

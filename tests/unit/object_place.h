/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/store/store.h"
#include "base/fds.h"
#include "base/paths.h"

/* A store in a folder of its own, and what it told. */
struct place {
    char *dir;
    struct loop *loop;
    struct object_store *store;
    struct buf told;  /* "ADDED a@1;ok;" */
    struct buf notes; /* one line each */
    size_t n_ok, n_failed;
};

static inline void place_changed(void *ctx, enum object_change change, struct object *o)
{
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    struct place *p = ctx;

    buf_addf(&p->told, "%s %s@%llu;", names[change], o->name,
             (unsigned long long)object_store_version(p->store));
}

static inline void place_note(void *ctx, const char *text)
{
    struct place *p = ctx;

    buf_addf(&p->notes, "%s\n", text);
}

static inline void place_done(void *ctx, const struct err *failed)
{
    struct place *p = ctx;

    buf_addf(&p->told, "%s;", failed ? failed->reason : "ok");
    *(failed ? &p->n_failed : &p->n_ok) += 1;
}

static inline int place_try(struct place *p, struct err *e)
{
    struct object_store_options o = {.loop = p->loop,
                                     .state_dir = p->dir,
                                     .changed = place_changed,
                                     .note = place_note,
                                     .ctx = p};

    return object_store_open(&o, &p->store, e);
}

static inline void place_open(struct place *p)
{
    struct err e = ERR_INIT;

    assert_ok(place_try(p, &e));
}

static inline void place_close(struct place *p)
{
    object_store_close(p->store);
    p->store = NULL;
    loop_run(p->loop);
}

static inline void place_reopen(struct place *p)
{
    place_close(p);
    place_open(p);
}

static inline void place_in(struct place *p, char *dir)
{
    struct err e = ERR_INIT;

    *p = (struct place){.dir = dir};
    assert_ok(loop_open(&p->loop, &e));
}

static inline void place_done_with(struct place *p)
{
    place_close(p);
    loop_free(p->loop);
    unit_remove(p->dir);
    buf_done(&p->told);
    buf_done(&p->notes);
}
#define autoplace __attribute__((cleanup(place_done_with))) struct place

static inline void place_new(struct place *p)
{
    place_in(p, unit_temp_dir());
    place_open(p);
}

/* An object of the namespace "shop". */
static inline struct object *config_new(const char *name, const char *value)
{
    autofree char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
                                    "\"name\":\"%s\",\"namespace\":\"shop\"},\"data\":{\"k\":"
                                    "\"%s\"}}",
                                    name, value);
    struct objects_options options = {.file = "f"};
    struct err e = ERR_INIT;
    autoobjects found = {0};

    if (objects_parse(text_of(text), &options, &found, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        abort();
    }
    return object_ref(found.v[0]);
}

static inline void put(struct place *p, const char *name, const char *value)
{
    object_store_put(p->store, config_new(name, value), place_done, p);
}

static inline void gone(struct place *p, const char *name)
{
    object_store_delete(p->store, OBJECT_CONFIG, "shop", name, place_done, p);
}

/* "" when there is none. */
static inline const char *value_of(const struct place *p, const char *name)
{
    const struct object *o = object_store_find(p->store, OBJECT_CONFIG, "shop", name);

    return o ? object_datum_find(&o->data, "k")->data : "";
}

static inline void assert_told(struct place *p, const char *what)
{
    loop_run(p->loop);
    assert_string_equal(buf_str(&p->told), what);
    buf_clear(&p->told);
}

static inline char *journal_path(const struct place *p)
{
    return path_join(p->dir, "objects.journal");
}

static inline void journal_read(const struct place *p, struct buf *ret)
{
    autofree char *path = journal_path(p);
    struct err e = ERR_INIT;

    buf_clear(ret);
    assert_ok(file_read(path, 64 << 20, ret, &e));
}

/* Over what is there: a file in its place, or one cut to nothing, ext4 puts on the disk at once. */
static inline void journal_write(const struct place *p, const void *data, size_t len)
{
    autofree char *path = journal_path(p);
    autofd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, 0), len);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
}

static inline char *filler(size_t len)
{
    char *s = xcalloc(1, len + 1);

    memset(s, 'x', len);
    return s;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <semaphore.h>

#include "agent/store/journal.h"
#include "agent/store/object_table.h"
#include "agent/store/store.h"
#include "base/secret.h"

/*
 * Inside of object_store: changes wait in a queue; a commit takes some of them and puts them on the
 * disk on a thread of the pool, one commit at a time.
 */
struct change {
    struct change *next;
    struct object *object; /* what is put; NULL: deletes */
    enum object_kind kind;
    char *space, *name; /* of what is deleted */
    uint64_t hash;      /* of kind, namespace and name */
    uint64_t version;
    struct buf text;   /* of the record; a secret */
    struct err failed; /* code 0: not yet */
    void (*done)(void *ctx, const struct err *failed);
    void *ctx;
};

struct changes {
    struct change *first, **end;
    uint64_t bytes;
};

struct commit {
    struct object_store *store; /* NULL: it was closed meanwhile, and took what was done */
    struct changes changes;
    bool is_rewrite;

    /* Belongs to the pool until `finished` is posted. */
    sem_t finished;
    struct buf frames; /* a secret */
    int dirfd, fd;
    uint64_t size; /* of the file before */
    const char *path;
    int new_fd;
    bool is_broken;
    struct err e;
};

struct object_store {
    struct loop *loop;
    void (*changed)(void *ctx, enum object_change change, struct object *o);
    void (*note)(void *ctx, const char *text);
    void *ctx;

    char *path; /* of the journal */
    int dirfd, lock_fd, fd;
    uint64_t size;         /* of the journal */
    uint64_t rewrite_size; /* not to be rewritten before it has this, for it failed */
    bool is_broken, is_closing, is_telling;

    struct object_table table;
    uint64_t version;      /* of the last change that is on the disk */
    uint64_t last_version; /* that was given to a change */
    struct changes queue;
    struct commit *commit;   /* under way */
    struct loop_timer *kick; /* begins the next one, so that all changes of one round share it */
    uint64_t n_commits, n_failed_commits, n_rewrites;
};

void changes_init(struct changes *q);
void changes_add(struct changes *q, struct change *c);

/* Begins a commit in the next round, if none is under way. */
void store_kick(struct object_store *s);
void store_kicked(void *ctx);

/* Puts all that waits, and what is under way, on the disk now. */
void store_flush(struct object_store *s);

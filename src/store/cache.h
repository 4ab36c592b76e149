/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/util.h"

/*
 * The compile cache: machine code by the digest of its source and the settings that made it.
 *
 * What is in it runs with the rights of whoever uses it, so the folder is trusted only when nobody
 * else may write to it, and so is each entry. An entry appears complete and durable or not at all.
 * Any number of processes may use one folder; each entry is made by one of them while the others
 * wait. Everything in the folder may be deleted at any time.
 *
 * An entry is the code and behind it a seal: the code's size and digest, and the file's time of
 * last change. As long as that time is the one in the seal nothing has written to the file since,
 * and the code is not read to open it; with another time its digest decides.
 */
struct cache;

/* Opens (and creates) the cache below `dir`. "UntrustedFolder", or the errno of what failed. */
int cache_open(const char *dir, struct cache **ret, struct err *e);
void cache_free(struct cache *c);
DEFINE_AUTO(cache);

#define CACHE_KEY_SIZE DIGEST_HEX_SIZE

/* The name of the entry for this source and engine_settings() text. */
void cache_key(const struct digest *source, const char *settings, char ret[static CACHE_KEY_SIZE]);

/* Opens an entry for reading, and notes that it is used: 1 with *ret_fd, 0 when there is none.
 * "UntrustedFile" for one that somebody else could have written or that is no file, "DamagedFile"
 * for one that was changed. */
int cache_find(struct cache *c, const char *key, int *ret_fd, struct err *e);

/* Whether cache_begin() would wait now. */
bool cache_is_being_made(struct cache *c, const char *key);

/*
 * Begins to make an entry: waits while another process makes it. 1 with the finished entry in
 * *ret_fd when it is there by then; 0 with a write handle in *ret_fd, to be given to
 * cache_commit() or cache_abandon(). What cache_find() refuses is removed.
 */
int cache_begin(struct cache *c, const char *key, int *ret_fd, struct err *e);

/* Fills the entry with the content of `code_fd` and publishes it. Closes `handle` in any case; on
 * failure (a full disk) no trace is left. */
int cache_commit(struct cache *c, const char *key, int handle, int code_fd, struct err *e);
void cache_abandon(struct cache *c, const char *key, int handle);

/* Removes an entry that the engine refuses; it may be gone already. */
void cache_remove(struct cache *c, const char *key);

/* ---- What is there ---- */

/* Whether it takes space of the file system of the folder `dirfd`. */
bool cache_is_on_disk_of(const struct cache *c, int dirfd);

enum cache_file_kind {
    CACHE_ENTRY,
    CACHE_UNFINISHED, /* being made, or left by who was killed */
    CACHE_UNTRUSTED,  /* an entry that somebody else could have written: it is never used */
    CACHE_FOREIGN,    /* none of ours */
};

struct cache_file {
    char *name;
    enum cache_file_kind kind;
    int64_t bytes, used_at_ns; /* realtime, to a minute */
    bool is_locked;            /* it is being made */
};

struct cache_list {
    struct cache_file *v; /* those that were not used for longest first */
    size_t n;
};

int cache_list(struct cache *c, struct cache_list *ret, struct err *e);
void cache_list_done(struct cache_list *l);
#define autocache_list __attribute__((cleanup(cache_list_done))) struct cache_list

/* Removes a file that is neither foreign nor being made: 1; 0 when it is one of those or gone. */
int cache_file_remove(struct cache *c, const struct cache_file *f, struct err *e);

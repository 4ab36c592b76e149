/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

/*
 * Reading and writing whole files and streams. Everything here retries EINTR and short counts, and
 * every descriptor that it opens is close-on-exec.
 */

/* Reads until end of file and appends to *ret. More than `limit_bytes` is -EFBIG ("TooLarge"); on
 * failure *ret holds what it held before. For files, pipes and sockets. */
int fd_read_all(int fd, size_t limit_bytes, struct buf *ret, struct err *e);

/* Reads exactly `len` bytes; end of file before that is -ENODATA ("Truncated"). */
int fd_read_exact(int fd, void *data, size_t len, struct err *e);

int fd_write_all(int fd, const void *data, size_t len, struct err *e);

/* Sets or clears close-on-exec. Returns a negative errno, without a message. */
int fd_cloexec_set(int fd, bool is_cloexec);
/* No call on it waits any more. Returns a negative errno, without a message. */
int fd_nonblock_set(int fd);

/* Adds one to an eventfd, which makes it readable; one that is full is readable already. */
void fd_event(int fd);

/* Moves *fd to a number >= min (close-on-exec), closing the old one. */
int fd_move_above(int *fd, int min, struct err *e);

/* Reads the regular file or stream at `path`; the message names it. */
int file_read(const char *path, size_t limit_bytes, struct buf *ret, struct err *e);
int file_read_at(int dirfd, const char *name, size_t limit_bytes, struct buf *ret, struct err *e);

/* The id of the kernel's boot: what bears another one was written before a restart of the machine.
 */
int boot_id_read(struct buf *ret, struct err *e);

/* Calls with the name of each entry of the folder, but for "." and "..", until one call returns
 * false; entries may come and go meanwhile. Returns a negative errno, without a message, when not
 * all could be seen. */
int dir_each(int dirfd, bool (*each)(void *ctx, const char *name), void *ctx);
/* 1 when there is none, 0, or a negative errno. */
int dir_is_empty(int dirfd);

enum file_write_flags {
    FILE_WRITE_SYNC = 1 << 0, /* fsync the file and its folder before returning */
};

/* Replaces `name` in the folder `dirfd` atomically: readers see the old or the new content and
 * nothing else, and a failure leaves the old one and no temporary file. */
int file_write_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode, int flags,
                  struct err *e);

/* Removes from the folder the temporary files of file_write_at() whose process was killed. */
void file_temps_remove(int dirfd);

/* As file_write_at(), for a path. */
int file_write(const char *path, const void *data, size_t len, mode_t mode, int flags,
               struct err *e);

/*
 * Opens the file `name` in the folder `dirfd` for reading and writing, makes it (0600) when it is
 * not there, and locks it, waiting for whoever has it: the lock ends with the descriptor. What is
 * locked is what has the name then, though others may remove or rename such files while they have
 * them. The descriptor (close-on-exec), or a negative errno, without a message.
 *
 * It is a lock of fcntl(2) on the open file description, which leaves flock(2) on the same file
 * free for another use.
 */
int file_lock_at(int dirfd, const char *name);

/* The same for a file that is there, without waiting: -EAGAIN when somebody has it, -ENOENT. */
int file_try_lock_at(int dirfd, const char *name);

/* Opens what may be a stranger's for reading: no link, and nothing that waits for somebody. The
 * descriptor (close-on-exec), or a negative errno, without a message. */
int file_open_at(int dirfd, const char *name);

/*
 * Opens a path with these RESOLVE_ bits of openat2(2), and never through a link of /proc that is no
 * name: so that it leads to nowhere else than the caller means. The descriptor (close-on-exec), or
 * a negative errno, without a message.
 */
int file_open_resolved(int dirfd, const char *path, int flags, uint64_t resolve);

/* Whether `name` in the folder is the file that is open as `fd`. */
bool file_is_at(int fd, int dirfd, const char *name);

/* An anonymous file with this content, positioned at its start and sealed against change. `name`
 * shows in /proc/PID/fd only. Close-on-exec. */
int memfd_from(const char *name, const void *data, size_t len, int *ret_fd, struct err *e);

/* The same with what the file behind `from` has, its first `limit_bytes` at most. */
int memfd_copy(const char *name, int from, size_t limit_bytes, int *ret_fd, struct err *e);

/* Whether nobody can change what the file has: it is anonymous and sealed. */
bool fd_is_sealed(int fd);

/*
 * Lets the process hold as many descriptors as the hard limit allows, and makes room for the first
 * `n` of them. In a process with threads the kernel makes room only after it has waited, some
 * milliseconds, for all processors, and every open() waits with it; so call it before the first
 * thread. What cannot be had is left as it is.
 */
void fds_make_room(unsigned n);

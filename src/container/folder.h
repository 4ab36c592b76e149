/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "guest/status.h"

/*
 * The folder of one worker, RUN/TENANT, and what a supervisor does there. It is private (0700):
 * who may connect to the socket may run guests.
 *
 *   socket       made here, bound and listening before the worker starts
 *   worker.log   what the worker says on standard output and error; cut here
 *   worker.json  the worker's
 *   ID.exit      the worker's; or made here for a guest that was lost with its worker
 *
 * and beside it, where the worker cannot write, RUN/.TENANT.process: which process it is.
 *
 * All calls are short ones on a local file system, which the loop's thread may make.
 */

/* Of ids and tenants: with what is added the names stay within NAME_MAX. */
#define FOLDER_NAME_LIMIT 200

/* Characters and length; also keeps a name from being one of a hidden file. */
bool folder_name_is_valid(const char *name);

/* Opens it, making it when it is missing. "RunFolder", "UntrustedFolder". */
int folder_open(const char *run_dir, const char *tenant, int *ret_fd, struct err *e);

/* Calls with each name in the run folder or one of a tenant until one call returns false.
 * "RunFolder". */
int folder_each(int dir_fd, bool (*each)(void *ctx, const char *name), void *ctx, struct err *e);

/* Removes it with all that is in it, unless there is a record. */
void folder_remove(int run_fd, const char *tenant, int dir_fd);

/* Whatever had the name `socket` goes. Close-on-exec. "RunFolder". */
int folder_listen(int dir_fd, int *ret_fd, struct err *e);
/* Non-blocking. -ECONNREFUSED and -ENOENT: nobody listens; -EAGAIN: nobody has accepted for long.
 */
int folder_connect(int dir_fd, int *ret_fd, struct err *e);

/* ---- The log ---- */

#define FOLDER_LOG_LIMIT_BYTES (1 << 20)

int folder_log_open(int dir_fd, int *ret_fd, struct err *e); /* for appending */
/* Leaves the last part of a log that has become larger than the limit. */
void folder_log_cut(int fd);
/* What was said after `from` bytes, at most the last `size` - 1 of it: lines become sentences. */
void folder_log_tail(int dir_fd, off_t from, char *ret, size_t size);

/* ---- Records ---- */

/* -ENOENT ("NotFound") without one, "RunFolder" for want of descriptors or memory. A record that
 * nobody can read gives a status that says so. */
int record_read(int dir_fd, const char *id, struct guest_status *ret, struct err *e);
int record_write(int dir_fd, const struct guest_status *s, struct err *e);
void record_remove(int dir_fd, const char *id);
/* Until one returns false. "RunFolder" when not all can be seen. */
int record_each(int dir_fd, bool (*each)(void *ctx, const char *id), void *ctx, struct err *e);

/* The status of a guest that was lost with its worker; `why` is a sentence. */
void record_lost(const char *id, const char *why, uint64_t started_ns, struct guest_status *ret);

/* ---- The process ---- */

/* Numbers that the worker sees its descriptors by. */
enum { PROCESS_LISTEN_FD = 3, PROCESS_DIR_FD = 4 };

/* Notes which process the worker is. Its start time tells it from a later one of that number. */
int process_note(int run_fd, const char *tenant, pid_t pid, struct err *e);
void process_note_remove(int run_fd, const char *tenant);
/* The tenant of a file that process_note() wrote; NULL: the name is of no such file. */
char *process_note_tenant(const char *name);
/* A pidfd of the process noted, or without a note of the one of worker.json, if it lives; else
 * -ESRCH. When there is a shortage nobody knows: that error. ret_pid too. */
int process_find(int run_fd, const char *tenant, int dir_fd, pid_t *ret_pid);
/* A pidfd of that process if it is the worker of this folder, as the folder itself, open in it as
 * PROCESS_DIR_FD, shows; errors as before. */
int process_of_folder(pid_t pid, int dir_fd);
/* Of descriptors, memory or room in a worker's queue of connections: it says nothing about what was
 * looked for. */
bool is_shortage(int code);
int process_open(pid_t pid); /* pidfd_open(2): a pidfd (close-on-exec) or a negative errno */
bool process_has_ended(int pid_fd);
void process_kill(int pid_fd);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * The three standard streams of a process in a task, as containerd names them
 * (CreateTaskRequest and ExecProcessRequest: stdin, stdout, stderr, terminal):
 *
 *   ""                           no stream: /dev/null
 *   /path or fifo:///path        a FIFO that the caller has made
 *   file:///path                 outputs: appended to; made (0644) with its folders
 *   binary:///path?KEY=VALUE...  outputs: a logger, which is started here, one for both outputs
 *                                (stderr says the same or nothing)
 *
 * Percent signs are decoded in the forms that have a scheme. Anything else is "BadStdio".
 *
 * Without a terminal nothing is copied, unless that is asked for: the process gets the FIFO, the
 * file, or the logger's pipe itself. For FIFOs the stdio holds both ends as well until stdio_end(),
 * so that a client that comes late or goes away (a containerd that is restarted) neither blocks nor
 * ends the process: it waits when the FIFO is full. A process's descriptors block, and no other has
 * their open file description, but for the three of a terminal.
 *
 * `is_copied` is for a process that may leave others behind which hold its outputs, as a command in
 * a container does: it gets pipes instead of FIFOs, and a client sees the end of output when all of
 * them have closed those, or after stdio_hurry().
 *
 * With a terminal the stdio has the master and copies, with back-pressure both ways: what the
 * client writes to the terminal, and its output to stdout; stderr is not looked at. A client that
 * closes its end of stdin, and stdio_close_stdin(), are not the end of input for a terminal:
 * another may attach. When nobody takes the output any more (a logger that ended, a full disk), it
 * is dropped.
 *
 * All of it belongs to the loop's thread. Neither `done` is called from within the call that
 * names it, nor after stdio_free().
 */
struct stdio;

enum stdio_terminal {
    STDIO_NO_TERMINAL,
    STDIO_OWN_TERMINAL,   /* made here: its slave is the process's three streams */
    STDIO_GIVEN_TERMINAL, /* made by a runtime, which hands over the master: stdio_console_set() */
};

struct stdio_options {
    const char *stdin_uri, *stdout_uri, *stderr_uri; /* NULL is as "" */
    enum stdio_terminal terminal;
    bool is_copied;                /* without a terminal */
    uint16_t width, height;        /* of the terminal; 0: not known yet */
    const char *container_id, *ns; /* told to a logger */
    /* To whom FIFOs, pipes and an own terminal are given, so that the process may open /dev/stdout
     * again; (uid_t)-1 and (gid_t)-1: nobody. Where that is not allowed, it is left. */
    uid_t uid;
    gid_t gid;
    /* For tests; 0: the usual ones, below. */
    int reader_ms, logger_ready_ms, logger_quit_ms, drain_ms;
};

#define STDIO_READER_MS                                                                            \
    10000 /* in which somebody has to read the outputs; then it starts without */
#define STDIO_LOGGER_READY_MS 10000 /* in which a logger has to be ready */
#define STDIO_LOGGER_QUIT_MS  2000  /* after the end of its input, until SIGTERM */
#define STDIO_LOGGER_KILL_MS  10000 /* from then until SIGKILL */
#define STDIO_DRAIN_MS        10000 /* for a copied output, after stdio_hurry() */

/*
 * Opens what is named, makes the terminal, and starts the logger; `done`, once, when the process
 * may be started, with NULL, or with why not (then stdio_end() or stdio_free() is left):
 * "BadStdio" (names the stream: no such form, no FIFO, no such file), "StartFailed" (a logger that
 * cannot be started, ends, or is not ready in time; no terminal, no descriptors). Never NULL.
 */
struct stdio *stdio_open(struct loop *l, const struct stdio_options *o,
                         void (*done)(void *ctx, const struct err *e), void *ctx);

/* What the process is to have as 0, 1 and 2; they stay ours, until stdio_started(). A guest makes
 * an own terminal its controlling one itself. -EBADF for STDIO_GIVEN_TERMINAL. */
void stdio_fds(const struct stdio *s, int ret[3]);

/* The process has them: closes ours. */
void stdio_started(struct stdio *s);

/* Takes the master of STDIO_GIVEN_TERMINAL, once, also on failure; it gets the size that was asked
 * for before. "LoopFailed". */
int stdio_console_set(struct stdio *s, int master, struct err *e);

/* Tells the terminal its size, if there is one. */
void stdio_resize(struct stdio *s, uint16_t width, uint16_t height);

/* CloseIO: the process sees the end of input when the client has closed its end, too. */
void stdio_close_stdin(struct stdio *s);

/*
 * After the process's end, or instead of its start; once, after `done` of stdio_open(). Without a
 * terminal our ends are closed at once, and a client sees the end of output behind all that was
 * written. With one, or when outputs are copied, what was written before is still copied, however
 * long the client takes to read (or to come back), and until no other process has them open:
 * stdio_hurry(). A logger sees the end of its input then, and gets time to finish (as above).
 *
 * `done` when all that is over. A task's exit need not wait for it; its Delete should.
 */
void stdio_end(struct stdio *s, void (*done)(void *ctx), void *ctx);

/* Delete: after stdio_end(), what is left to copy is dropped in STDIO_DRAIN_MS. A client that reads
 * asks for Delete when it has seen the end of output, so this is for those that went away. runc's
 * shim does likewise. */
void stdio_hurry(struct stdio *s);

/* Closes all. A logger that has been ready sees the end of its input and is left to itself; one
 * that has not is killed. */
void stdio_free(struct stdio *s);
DEFINE_AUTO(stdio);

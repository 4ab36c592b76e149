/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"
#include "shim/stdio/stdio_uri.h"
#include "shim/stdio/task_stdio.h"

/*
 * The parts of task_stdio.c that have a life of their own. No callback is called from within
 * the call that names it, nor after `_free`.
 */

/* ---- A logger (stdio_logger.c): containerd's binary:// ---- */

struct logger;

struct logger_options {
    const struct stdio_uri *uri; /* only during the call */
    const char *container_id, *ns;
    int ready_ms, quit_ms;
    /* Once: NULL when it is ready, or why it is not ("StartFailed"). May free the logger. */
    void (*ready)(void *ctx, const struct err *e);
    void *ctx;
};

/* Makes a pipe for each output and starts it with the reading ends. The writing ends, which block,
 * are the caller's. "StartFailed". */
int logger_start(struct loop *l, const struct logger_options *o, int ret_writers[2],
                 struct logger **ret, struct err *e);
/* The writing ends are shut: `ended`, once, when it has ended or was killed. */
void logger_end(struct logger *g, void (*ended)(void *ctx));
void logger_free(struct logger *g); /* kills it if it has not been ready */
DEFINE_AUTO(logger);

/* ---- The copying for a terminal, or for a pipe instead of one (stdio_terminal.c) ---- */

struct terminal;

/* Takes both descriptors (-EBADF: none), also on failure: the reading end of a FIFO, and where the
 * output goes, a pipe or a file. `finished`, once: the terminal has ended and all output is out, or
 * dropped. "LoopFailed". */
int terminal_new(struct loop *l, int in, int out, void (*finished)(void *ctx), void *ctx,
                 struct terminal **ret, struct err *e);
/* Takes the master, also on failure, and begins to copy. "LoopFailed". */
int terminal_master_set(struct terminal *t, int master, struct err *e);
void terminal_size_set(struct terminal *t, uint16_t width, uint16_t height);
/* Nobody has to use it any more: when nobody has it open, and all output is out, it is finished. */
void terminal_end(struct terminal *t);
void terminal_free(struct terminal *t);
DEFINE_AUTO(terminal);

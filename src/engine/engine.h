/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * The WebAssembly engine: Wasmtime behind a C interface. It has no policy: which contract an
 * artifact follows, what a guest may reach, where output goes and what an end means is decided in
 * C by the caller. Implemented by the Rust crate in this folder; docs/internals/engine.md says why.
 *
 * Threads. An engine and its code may be used from any thread. A guest is created and run on one
 * thread, which it occupies until it ends; engine_guest_stop() and engine_guest_figures() may be
 * called from any other. The engine starts threads of its own only while it compiles and, when it
 * is interruptible, for file calls.
 *
 * No call unwinds into C and none ends the process: a panic in the crate is reported as
 * -EFAULT "EngineBug".
 */

struct engine;
struct engine_code;
struct engine_guest;

/* How instances get their memory. */
enum engine_allocation {
    ENGINE_ON_DEMAND, /* mapped when needed: for commands */
    ENGINE_POOLING,   /* from slots reserved at opening: for many short-lived instances */
};

struct engine_options {
    enum engine_allocation allocation;
    /* Code checks at loop heads whether it must stop. Needed wherever guests share a process; a
     * process that runs one guest can end it by exiting, and saves the checks. */
    bool is_interruptible;
    /* Calls into components may be concurrent, as WASI 0.3 has it; without, stores and calls are
     * cheaper. Code belongs to engines with the same choice. */
    bool is_concurrent;
    bool has_compiler;                /* may compile; without it only engine_code_open() works */
    uint32_t pool_slots;              /* ENGINE_POOLING: most instances at a time */
    uint64_t pool_memory_limit_bytes; /* ENGINE_POOLING: most linear memory of one instance */
};

int engine_open(const struct engine_options *o, struct engine **ret, struct err *e);
void engine_close(struct engine *en); /* NULL is fine */

/* "48.0.8", the version of Wasmtime. Static storage. */
const char *engine_version(void);

/*
 * What decides whether code compiled here can be used there: engine version, CPU features and
 * settings as one line of text, NUL-terminated in `buf`. Part of the compile cache's key.
 */
void engine_settings(bool is_interruptible, bool is_concurrent, char *buf, size_t size);

/* ---- Artifacts ---------------------------------------------------------------------------- */

enum engine_artifact { ENGINE_MODULE, ENGINE_COMPONENT };

/*
 * Called for every import and export, in the order of the file. For a module `space` is the
 * import's module name, for a component NULL; `kind` is "func", "memory", "table", "global", "tag",
 * "instance", "component", "module", "type" or "value"; `type` is readable text, possibly empty.
 * The strings live until the call returns.
 */
struct engine_visitor {
    void *ctx;
    void (*import)(void *ctx, const char *space, const char *name, const char *kind,
                   const char *type);
    void (*export)(void *ctx, const char *name, const char *kind, const char *type);
};

/*
 * Reads what `bytes` is and names its imports and exports. With `validate` the whole file is
 * validated; without, only the sections that list imports and exports are read.
 * Errors: -ENOEXEC "NotWasm" (no magic number), "UnknownWasmVersion", "InvalidWasm" (with the
 * offset).
 */
int engine_inspect(const void *bytes, size_t len, bool validate, const struct engine_visitor *v,
                   enum engine_artifact *ret_artifact, struct err *e);

/*
 * Compiles a module or component and writes the machine code to `fd`, from its current offset.
 * Errors: -ENOEXEC "InvalidWasm"; the errno of a failed write "WriteFailed".
 */
int engine_compile(struct engine *en, const void *bytes, size_t len, int fd, struct err *e);

/*
 * Maps machine code that engine_compile() wrote; the caller vouches that nobody else could change
 * the file. `fd` stays the caller's. Errors: -ESTALE "CodeStale" when another engine or CPU made
 * it; -ENOEXEC "UnknownImport" when it imports what the engine does not have.
 */
int engine_code_open(struct engine *en, int fd, struct engine_code **ret, struct err *e);
void engine_code_close(struct engine_code *c); /* guests that run keep what they need */

/* ---- Guests ------------------------------------------------------------------------------- */

/*
 * One standard stream. `transfer` reads into (stdin) or writes from (stdout, stderr) `buf` and
 * returns the bytes moved, 0 at the end of input, or a negative errno; after -EAGAIN the guest
 * waits until `wait_fd` is ready. It runs on the guest's thread. A NULL `transfer` is an empty
 * input or an output that swallows everything.
 */
struct engine_stream {
    void *ctx;
    ssize_t (*transfer)(void *ctx, void *buf, size_t len);
    int wait_fd;
    bool is_terminal;
};

struct engine_dir {
    int fd;                 /* an open folder; stays the caller's and is not used after creation */
    const char *guest_path; /* its name in the guest */
    bool is_read_only;
};

enum engine_socket_use {
    ENGINE_TCP_BIND,
    ENGINE_TCP_LISTEN,
    ENGINE_TCP_ACCEPT,
    ENGINE_TCP_CONNECT,
    ENGINE_UDP_BIND,
    ENGINE_UDP_SEND,
    ENGINE_UDP_RECEIVE,
    ENGINE_HTTP_LITERAL, /* connecting for a request whose URL has the address instead of a name */
};

/*
 * The network a guest may use. Every address is asked for when it is used, on the guest's thread;
 * NULL functions refuse. `resolved` learns each address that a permitted name had, before the
 * guest does.
 */
struct engine_network {
    void *ctx;
    bool (*may_use)(void *ctx, const struct sockaddr *addr, enum engine_socket_use use);
    bool (*may_resolve)(void *ctx, const char *name);
    void (*resolved)(void *ctx, const char *name, const struct sockaddr *addr);
    const char *resolv_conf; /* text of resolv.conf(5), NULL: no server is asked */
    const char *hosts;       /* text of hosts(5), NULL: none */
    /* The certificates (PEM) that outgoing TLS trusts, on the heap; asked for when the first is
     * needed, then kept. NULL: none are trusted. */
    char *(*ca_roots)(void *ctx, size_t *ret_len);
};

/* 0 means none of that thing may be used, UINT64_MAX no limit. */
struct engine_limits {
    uint64_t memory_bytes;   /* linear memories of all the guest's instances together */
    uint64_t table_elements; /* likewise */
    uint64_t tables;
    uint64_t memories;
    uint64_t instances;
    uint64_t descriptors; /* files, sockets, streams and other host resources */
};

struct engine_guest_options {
    const char *name;        /* what a backtrace calls an unnamed module */
    const char *const *args; /* argv, NULL-terminated */
    const char *const *env;  /* "NAME=value", NULL-terminated */
    const struct engine_dir *dirs;
    size_t n_dirs;
    struct engine_stream streams[3]; /* stdin, stdout, stderr */
    struct engine_network network;
    struct engine_limits limits;
    /*
     * The export to call with `args` as its arguments, numbers for a module and WAVE text for a
     * component; NULL calls the command's entry point (`_start` or wasi:cli/run) with `args` as
     * argv. `on_result` gets the results as text.
     */
    const char *invoke;
    bool is_last; /* the process exits after this guest: its memory is left to the kernel */
    void *on_result_ctx;
    void (*on_result)(void *ctx, const char *text, size_t len);
};

enum engine_end {
    ENGINE_EXITED,  /* by exit, or by returning: exit_code */
    ENGINE_TRAPPED, /* trap and detail */
    ENGINE_STOPPED, /* by engine_guest_stop() */
};

struct engine_outcome {
    enum engine_end end;
    uint32_t exit_code;  /* as the guest gave it, not cut to 8 bits */
    bool memory_refused; /* a memory.grow or a first memory was refused by the limit */
    bool limit_reached;  /* the trap is another limit's: trap says which */
    char trap[48];       /* CamelCase: "Unreachable", "StackOverflow", "MemoryOutOfBounds", ... */
    char detail[4048];   /* sentence, then one line a frame of the guest's backtrace */
};

/* Readable at any time. Bytes of linear memory; `calls` counts finished calls of exports. */
struct engine_figures {
    uint64_t memory_bytes;
    uint64_t memory_peak_bytes;
    uint64_t calls;
};

/*
 * Prepares a guest; nothing of it runs yet. What `o` points to must live until the guest is freed.
 * Errors: -EINVAL "InvalidArgument" (text that is not UTF-8), -ENOENT "NoSuchExport"; the errno of
 * a folder that cannot be opened.
 */
int engine_guest_new(struct engine *en, struct engine_code *c, const struct engine_guest_options *o,
                     struct engine_guest **ret, struct err *e);

/*
 * Instantiates and runs the guest on the calling thread until it ends, and says how. Once per
 * guest. Errors are failures of wherry, and arguments that do not fit the export's type
 * (-EINVAL "InvalidArgument"); everything that the guest did is an outcome.
 */
int engine_guest_run(struct engine_guest *g, struct engine_outcome *ret, struct err *e);

/*
 * Makes the guest end as ENGINE_STOPPED, from any thread, before or while it runs: at once in
 * calls that wait, within microseconds in interruptible code. A file call in the kernel cannot be
 * cancelled and ends first. Harmless when it has ended already.
 */
void engine_guest_stop(struct engine_guest *g);

void engine_guest_figures(const struct engine_guest *g, struct engine_figures *ret);

/*
 * Limits what guests of this interruptible engine use of the calling thread, in thousandths of a
 * processor; 0 or 1000 and more: no limit any more, which must be so before the engine is closed. A
 * guest that has used its share of 100 ms waits until they are over. It takes the first real-time
 * signal of the process. Errors: the errno of the system call, "EngineUnusable".
 */
int engine_thread_limit(struct engine *en, unsigned milli, struct err *e);
void engine_guest_free(struct engine_guest *g); /* NULL is fine; must not be running */

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/strv.h"

/*
 * What a supervisor tells a worker about one guest. A spec grants: what it does not name, the guest
 * does not get. It names no path of the host: whatever the guest may touch is an open descriptor.
 *
 * Encoded as one JSON object. Fields are only ever added, absent fields keep their defaults, and
 * unknown ones are ignored, so that an older worker understands a newer supervisor.
 */

#define GUEST_SPEC_LIMIT_BYTES (4u << 20)
#define GUEST_DIR_LIMIT        128
#define GUEST_LISTENER_LIMIT   16
#define GUEST_ID_LIMIT         200 /* with what a record's name adds it is within NAME_MAX */
#define GUEST_IMAGE_STORED     "docker://"
#define GUEST_IMAGE_LIMIT      640

/* Descriptors are numbers of this process once guest_spec_attach() was called; before that they are
 * what the transport defines (guest/message.h: the place in the message's list). */
struct guest_dir {
    int64_t fd;
    char *path; /* its name in the guest */
    bool is_read_only;
};

/* A listening TCP or unix socket, and its URL for people: "http://127.0.0.1:8080". */
struct guest_listener {
    int64_t fd;
    char *url;
};

struct guest_spec {
    char *id;          /* unique in the worker; at most GUEST_ID_LIMIT characters of A-Za-z0-9._- */
    char *name;        /* for people: the program's file name */
    int64_t module_fd; /* -1: the programs are named elsewhere (guest/serve_spec.h) */
    /* Machine code of the program, in the form that this worker runs it in: mapped as it is, with
     * no look at a cache and no compiler. Nobody else may have been able to change the file: the
     * supervisor vouches for that. What the engine refuses ends the guest with "CodeStale". -1: the
     * worker finds or makes it. */
    int64_t code_fd;
    char *image;   /* NULL: `module_fd` is the program; else it is the folder of an OCI image
                    * layout, and this the image in it: store/layout.h; or, with
                    * GUEST_IMAGE_STORED before a name in full, of the image store */
    char *command; /* JSON of a guest_command, with which the program came; NULL: what `image`
                    * says, if anything */
    bool has_image_defaults; /* args, env and invoke are completed by that */
    struct strv args;        /* argv; with `invoke` the arguments of the export */
    struct strv env;         /* NAME=VALUE */
    struct guest_dir *dirs;
    size_t n_dirs;
    char *invoke; /* the export to call; NULL: the command's entry point */

    /* Not none: the guest answers HTTP requests there until it is stopped, each with an instance of
     * its own (docs/internals/serving.md); `memory_bytes` and what follows it are for one. */
    struct guest_listener *listeners;
    size_t n_listeners;
    int64_t requests; /* answered at a time; as many again wait, more are refused */
    /* A program that answers no requests runs as a command, and the listeners are closed before it
     * begins, so that it can have the ports itself. Without this only the former will do. */
    bool has_optional_listeners;

    struct strv allow_net; /* net_grant.h */
    char *resolv_conf;     /* text; NULL: names are looked up in `hosts` only */
    char *hosts;           /* text; NULL: none */
    int64_t ca_fd;         /* certificates (PEM) that outgoing TLS trusts; -1: none */

    int64_t stdin_fd;  /* -1: empty */
    int64_t stdout_fd; /* -1: to the log */
    int64_t stderr_fd; /* -1: to the log */

    /* Output that goes to no descriptor is kept as `log_name` in the folder `log_dir_fd` in the
     * CRI's line format; without a folder it is dropped. */
    int64_t log_dir_fd; /* -1: none */
    char *log_name;
    int64_t log_limit_bytes; /* size at which the file is rotated */
    int64_t log_files;       /* how many are kept, the current one included */

    /* What takes the guest's time is limited by the control group whose file of threads this is
     * (container/cpu_group.h): each of its threads enters it. -1: none */
    int64_t cpu_group_fd;

    /* Limits; guest_spec_init() sets the defaults. */
    int64_t cpu_milli;    /* thousandths of a processor, of what it computes; 0: all that it gets */
    int64_t memory_bytes; /* linear memory of all instances together */
    int64_t timeout_ms;   /* 0: none */
    int64_t table_elements;
    int64_t tables;
    int64_t memories;
    int64_t instances;
    int64_t descriptors;
};

/* Defaults: no descriptors, no grants, the documented limits. */
void guest_spec_init(struct guest_spec *s);
void guest_spec_done(struct guest_spec *s); /* frees memory; closes nothing */

void guest_spec_dir_add(struct guest_spec *s, int fd, const char *path, bool is_read_only);
void guest_spec_listener_add(struct guest_spec *s, int fd, const char *url);

/* Writes the object into a document. */
void guest_spec_encode(const struct guest_spec *s, struct json_writer *w);

/* Decodes into *s, initialised by guest_spec_init(), and checks ranges. "BadSpec". Whether there
 * must be a program is the business of the document around it. */
int guest_spec_decode(const char *json, size_t len, struct guest_spec *s, struct err *e);

/* Its table, for a document around it, which initialises the spec and then checks the words. */
extern const struct json_field guest_spec_fields[];
int guest_spec_words_check(const struct guest_spec *s, struct err *e);

/* Whether guest_spec_decode() would take what guest_spec_encode() makes of it; its errors. */
int guest_spec_check(const struct guest_spec *s, struct err *e);

/* Calls `each` for every descriptor field that is set, in the order of declaration. */
void guest_spec_fds(struct guest_spec *s, void (*each)(void *ctx, int64_t *fd), void *ctx);

/* Replaces places in `fds` by the descriptors there; "BadSpec" for a place that is not there, and
 * unless each is named once: a guest closes what its spec names, so two names would close twice. */
int guest_spec_attach(struct guest_spec *s, const int *fds, size_t n_fds, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "shim/command/flags.h"

/*
 * What containerd says when it starts a shim, and how it wants to be answered: on standard input a
 * BootstrapParams message (2.3 and later) or nothing but the runtime's options (before), and the
 * environment.
 */
#define BOOTSTRAP_LIMIT_BYTES (4u << 20)

struct bootstrap {
    char *ttrpc_address; /* for events; NULL: none */
    char *grpc_address;  /* of containerd's own services; NULL: none */
    char *socket_dir;    /* for the shim's socket */
    int version;         /* of the shim's interface that is answered: 2 or 3 */
    bool is_plain;       /* the answer is the bare address: containerd 1.6 */
};

/* `input` is what came on standard input; the rest is from the environment. "BadBootstrap" */
int bootstrap_parse(const struct shim_flags *f, const void *input, size_t len,
                    struct bootstrap *ret, struct err *e);
void bootstrap_done(struct bootstrap *b);

/* The text for standard output. */
void bootstrap_answer(const struct bootstrap *b, const char *socket_path, struct buf *ret);

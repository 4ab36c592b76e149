/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "loop/loop.h"
#include "store/container_config.h"

/*
 * Which program a container's image has when it is no file of the root file system but a layer by
 * itself, and what else only the image says. containerd is asked, by gRPC: container, image,
 * manifest, config, layer (docs/internals/shim-images.md, with the forms that images have).
 *
 * What it answers may come from anywhere: sizes, numbers and times are limited, and nothing is used
 * before its digest was that which led to it. A program is kept in a file of the cache folder, so
 * that the next container of any image that has it reads nothing of it.
 */
struct image_request;

struct image_options {
    const char *grpc_address; /* of containerd: a path, also with "unix://" before it */
    const char *containerd_ns;
    const char *container_id;
    const char *cache_dir; /* the compile cache's (--cache-dir); programs are in `modules` there */
    bool wants_program;    /* false: only the config, for a program that is a file */
};

struct image_program {
    int fd; /* the program, open for reading; -EBADF: no layer is one. Closed after the call,
             * unless it is taken by take_fd() */
    char digest[DIGEST_TEXT_SIZE]; /* "sha256:<hex>" of its bytes, verified; "" without */

    const char *name; /* of the image; "": the container has none, and nothing else is filled */
    const struct container_config *config; /* all empty when the image has none of that kind */
};

/*
 * `done` is called once, from the loop and not from within this call, with *e or with *p, which is
 * valid during the call; after that the request is gone.
 *
 * That no layer is a program is no error: p->fd is -EBADF then. Errors are "ConnectFailed" and
 * those of wire/grpc.h, with what was asked for; "NotFound" also for a layer that containerd does
 * not have any more; "NotRunnable" (-ENOEXEC): several layers are programs, which are listed;
 * "BadImage" (-EINVAL): a
 * document is no such thing, or what was read is not what its digest says; "TooLarge" (-EFBIG);
 * "CacheFailed", "UntrustedFolder".
 */
struct image_request *
image_find(struct loop *l, const struct image_options *o,
           void (*done)(void *ctx, const struct err *e, struct image_program *p), void *ctx);

/* `done` is not called any more. NULL is fine. */
void image_cancel(struct image_request *r);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/spec.h"
#include "pod/fields.h"
#include "pod/volumes/volumes.h"

/*
 * From a container of a pod to the spec of a guest: what is looked up on the loop's thread, and
 * then what has to be opened, in the work pool.
 */
struct launch_places {
    const char *store_dir; /* of images */
    const char *logs_dir;
    const struct volumes_places *volumes;
};

struct launch {
    const struct launch_places *places;
    const struct pod_spec *pod;
    const struct pod_container *container;
    char *image;                    /* its name in full, of the image store; NULL: a file */
    struct strv env, command, args; /* expanded */
    const char *program;            /* instead of the container's own; NULL: that */
    struct guest_spec spec;         /* what was opened so far is its */
    char *code_key;                 /* of its program's code (compile.h); NULL: none */
};

/* Variables and words. `notes` as environment_make(). Reasons are Kubernetes'. */
int launch_gather(struct launch *l, const struct pod_fields *f, const struct pod_objects *o,
                  struct strv *notes, struct err *e);
/* Program, volumes, log folder, network. Fills all of the spec but its id, log's name, listeners,
 * stdin and control group. "CreateContainerConfigError", "CreateContainerError". */
int launch_open(struct launch *l, struct err *e);
void launch_free(struct launch *l); /* closes what the spec still has; NULL is fine */
DEFINE_AUTO(launch);

/* A file that the container writes its termination message to, if that is another than everybody's
 * and in no volume of its own: the folder in the guest that is given for it. NULL: none. Heap. */
#define LAUNCH_MESSAGE_PATH "/dev/termination-log"
char *launch_message_folder(const struct pod_container *c);
/* STATE/pods/UID/messages/CONTAINER: what that folder is. Heap. */
char *launch_message_place(const char *state_dir, const char *uid, const char *container);

/* A listening socket on every address of the machine. "PortInUse" names the port. */
int launch_listen(const struct pod_container *c, int64_t port, int *ret_fd, struct err *e);
/* How many sockets for TCP the container gets. */
size_t launch_ports(const struct pod_container *c);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "shim/shim.h"
#include "wire/protobuf.h"
#include "wire/ttrpc.h"

/*
 * The calls that containerd makes (containerd, api/runtime/task/v3/shim.proto): the services
 * containerd.task.v2.Task and containerd.task.v3.Task, which are the same. The context of each is a
 * struct shim.
 */
extern const struct ttrpc_method task_methods[];
extern const size_t n_task_methods;

/* Answers with nothing, or fails with the error; a task_done, whose context is the call. */
void service_answer_empty(void *ctx, const struct err *e);
/* Fails with the code that containerd knows the error by. */
void service_fail(struct ttrpc_call *call, const struct err *e);

/* Fails for what is wrong with the call itself. */
void service_refuse(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether nobody waits for the answer of a call that is kept any more; then it was ended. */
bool service_is_lost(struct ttrpc_call *call);

/* The message of a request, in the arena; NULL when the call was answered with what is wrong. */
void *service_unpack(struct ttrpc_call *call, const ProtobufCMessageDescriptor *d,
                     const void *payload, size_t len, struct arena *a);

/* The head of a method's function, and what its declarations end with: `s` is the shim, `r` the
 * request, which lives as long as the function. */
#define HANDLER(name)                                                                              \
    static void handle_##name(void *ctx, struct ttrpc_call *call, const void *payload, size_t len, \
                              uint64_t timeout_ns)

#define REQUEST(type, descriptor)                                                                  \
    struct shim *s = ctx;                                                                          \
    AUTO(arena) a = arena_new();                                                                   \
    type *r = service_unpack(call, &descriptor, payload, len, a);                                  \
                                                                                                   \
    (void)timeout_ns;                                                                              \
    (void)s;                                                                                       \
    if (!r)                                                                                        \
    return

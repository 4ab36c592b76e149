/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"

/*
 * What the two ways of calling containerd share, ttrpc (wire/ttrpc.h) and gRPC (wire/grpc.h): the
 * codes of status, and a connection to a unix socket.
 */

/* The codes of status of gRPC, which ttrpc has too. */
enum ttrpc_code {
    TTRPC_OK = 0,
    TTRPC_CANCELED = 1,
    TTRPC_UNKNOWN = 2,
    TTRPC_INVALID_ARGUMENT = 3,
    TTRPC_DEADLINE_EXCEEDED = 4,
    TTRPC_NOT_FOUND = 5,
    TTRPC_ALREADY_EXISTS = 6,
    TTRPC_PERMISSION_DENIED = 7,
    TTRPC_RESOURCE_EXHAUSTED = 8,
    TTRPC_FAILED_PRECONDITION = 9,
    TTRPC_ABORTED = 10,
    TTRPC_OUT_OF_RANGE = 11,
    TTRPC_UNIMPLEMENTED = 12,
    TTRPC_INTERNAL = 13,
    TTRPC_UNAVAILABLE = 14,
    TTRPC_DATA_LOSS = 15,
    TTRPC_UNAUTHENTICATED = 16,
};

/* The code that fits an errno, whatever its sign; TTRPC_UNKNOWN for what has none of its own. */
enum ttrpc_code ttrpc_code_of(int errno_value);
/* The error that a status of another side is: its reason is the code's name in CamelCase
 * ("NotFound"), its code an errno that gives the same code back. Returns the latter. */
int ttrpc_status_err(int code, const char *message, struct err *e);

/* Connects without waiting, for a stream on the loop. "ConnectFailed": nobody listens there
 * (-ENOENT, -ECONNREFUSED), who does is too busy (-EAGAIN), or the path is too long. */
int rpc_connect(const char *path, int *ret_fd, struct err *e);

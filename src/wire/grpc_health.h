/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

/*
 * The two messages of grpc.health.v1.Health/Check, without I/O. gRPC over HTTP/2 is a POST whose
 * body is a 5-byte prefix (not compressed, length) and a message of protobuf; its status is in the
 * trailers, or in the headers of a response without a body. Source: the gRPC project's
 * doc/PROTOCOL-HTTP2.md and doc/health-checking.md.
 */
#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/Check"

/* What a response needs at most: whoever answers more is no such server. */
#define GRPC_HEALTH_LIMIT 1024

/* HealthCheckRequest with its prefix; `service` "" is the server as a whole. */
void grpc_health_request_add(const char *service, struct buf *out);

struct grpc_health_response {
    long http_status;
    const char *grpc_status, *grpc_message; /* of the trailers, else of the headers; NULL: none */
    struct text body;                       /* the prefix and HealthCheckResponse */
};

/* 0 when it says SERVING. "NotServing" (-EAGAIN); "NoHealthService" (-ENOSYS): it implements no
 * such thing; "UnknownService" (-ENOENT): it knows no service of that name; "TimedOut"
 * (-ETIMEDOUT): by its own account; "CallFailed" (-EREMOTEIO): another status; "BadResponse"
 * (-EBADMSG): it is no gRPC. */
int grpc_health_check(const struct grpc_health_response *r, struct err *e);

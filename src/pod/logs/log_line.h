/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/text.h"

/*
 * A record of a container's log in the CRI's format (Kubernetes, pkg/kubelet/kuberuntime/logs):
 *
 *     <RFC 3339 time> stdout|stderr F|P[:TAG...] <text>
 *
 * F ends a line of the container; after P the line goes on in the next record. The text is any
 * bytes but a newline. Nothing is copied: what is parsed points into what was given.
 */
struct log_line {
    struct text time; /* as it is written */
    int64_t time_ns;  /* since 1970 */
    int stream;       /* 1 (stdout) or 2 (stderr) */
    bool is_partial;  /* P */
    struct text text;
};

/* The time, stream and tags with their blanks end within that many bytes, or it is no record. */
#define LOG_LINE_HEAD_LIMIT 80

/* Of a record without its newline; one that is cut after its head still parses. False when it is
 * none, *ret is untouched then. */
bool log_line_parse(const char *data, size_t len, struct log_line *ret);

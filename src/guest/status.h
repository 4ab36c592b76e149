/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/*
 * How a guest ended, as it is shown to people, kept as the worker's record and sent to supervisors:
 * one JSON object. The reasons are the words that Kubernetes shows.
 */

/* Exit statuses that are wherry's own: a guest may end with the same number, `reason` tells. */
enum guest_exit {
    GUEST_EXIT_DEADLINE = 124,
    GUEST_EXIT_WHERRY = 125,
    GUEST_EXIT_NOT_RUNNABLE = 126,
    GUEST_EXIT_NOT_FOUND = 127,
    GUEST_EXIT_TRAP = 134,
    GUEST_EXIT_MEMORY = 137,
    GUEST_EXIT_SIGINT = 130,
    GUEST_EXIT_SIGTERM = 143,
};

/* The exit status for an error of wherry's: 127 for "NotFound" of a program, 126 for what is there
 * but cannot be run, else 125. */
int guest_exit_for(const struct err *e);

struct guest_status {
    char *id;
    /*
     * "Completed" (status 0), "Error" (the guest's own status), "Trap", "OOMKilled",
     * "DeadlineExceeded", "Stopped", or the reason of wherry's own failure ("StartFailed" family).
     */
    char *reason;
    char *message;      /* for people; NULL: nothing to add */
    int64_t exit_code;  /* 0 to 255 */
    bool is_guest_exit; /* exit_code is the guest's own */
    char *started_at;   /* RFC 3339 with nanoseconds; NULL: it never ran */
    char *finished_at;
    int64_t cpu_ns;            /* of the guest's threads */
    int64_t memory_peak_bytes; /* linear memory */
    int64_t calls;             /* finished calls of exports */
    bool memory_refused;       /* some growth of memory was refused by the limit */
};

void guest_status_done(struct guest_status *s);
struct guest_status guest_status_copy(const struct guest_status *from);
void guest_status_encode(const struct guest_status *s, struct json_writer *w);

/* Decodes into a zeroed *s. "BadJson". */
int guest_status_decode(const char *json, size_t len, struct guest_status *s, struct err *e);

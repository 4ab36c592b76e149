/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/util.h"
#include "cli/commands.h"

/*
 * `wherry doctor`: checks append findings to a report; doctor.c prints it.
 */
enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct finding {
    enum verdict verdict;
    const char *name; /* a few words, stable: scripts look for them */
    const char *why;  /* why it matters; static */
    char *detail;     /* what was found */
    char *fix;        /* what to type; NULL when nothing is wrong */
};

struct report {
    struct finding *items;
    size_t n;
};

/* Appends a finding; `fix` is copied and may be NULL. */
void report_add(struct report *r, enum verdict verdict, const char *name, const char *why,
                const char *fix, const char *detail_fmt, ...) __attribute__((format(printf, 6, 7)));

void report_done(struct report *r);

/* The groups of checks. They change nothing that lasts. */
void doctor_kernel(struct report *r);
void doctor_namespaces(struct report *r);
void doctor_cgroups(struct report *r);
void doctor_limits(struct report *r);
void doctor_folders(struct report *r, const char *cache_dir);
void doctor_engine(struct report *r);
/* Nothing where no containerd runs. */
void doctor_containerd(struct report *r);

/* The number in a file of /proc or /sys; `fallback` when it cannot be read. */
long long doctor_number(const char *path, long long fallback);

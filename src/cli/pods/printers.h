/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"
#include "cli/pods/resource.h"
#include "cli/pods/table.h"

/*
 * Objects as rows of a table, with the columns and words of kubectl (kubernetes,
 * pkg/printers/internalversion/printers.go).
 */
struct print_options {
    bool is_wide, has_labels;
    bool has_space; /* a column with the namespace comes first */
    bool has_kind;  /* names as pod/web: several kinds are shown */
    int64_t now_ns; /* CLOCK_REALTIME */
};

/* Sets the number of columns, and adds their names when `has_header`. */
void print_header(struct table *t, enum resource_kind kind, const struct print_options *o,
                  bool has_header);
void print_row(struct table *t, enum resource_kind kind, const struct json_value *object,
               const struct print_options *o);

/* A pod in a few words. */
#define POD_STATUS_SIZE 96
struct pod_shown_summary {
    int64_t ready, total;
    char status[POD_STATUS_SIZE]; /* "Running", "Init:0/1", "CrashLoopBackOff" */
    int64_t restarts;
    const char *restarted_at; /* points into the pod; NULL */
};
void pod_summarize(const struct json_value *pod, struct pod_shown_summary *ret);

/* The condition of a pod of that type; NULL when there is none. */
const struct json_value *pod_condition(const struct json_value *pod, const char *type);
/* It is there, and "True". */
bool pod_has_condition(const struct json_value *pod, const char *type);

/* Adds "a=1,b=2", or "<none>". */
void print_labels(const struct json_value *labels, struct buf *out);

/* Of an event: when it was seen last; NULL. */
const char *event_last_seen(const struct json_value *v);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"

/*
 * Figures for Prometheus: writes its text exposition format, version 0.0.4, into a buffer.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 *
 * A family is written first and then each of its samples; a family comes once in an answer. Names
 * are the program's own: a bad one is a BUG. Label values and help may be any text; they are
 * escaped, and what is no UTF-8 is replaced by U+FFFD. The locale does not matter.
 */

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum prometheus_type {
    PROMETHEUS_COUNTER, /* its name ends with "_total" by convention */
    PROMETHEUS_GAUGE,
    PROMETHEUS_HISTOGRAM,
};

/* Lists of labels end with a NULL name; a NULL list is an empty one. */
struct prometheus_label {
    const char *name, *value;
};

/* The HELP and TYPE lines. */
void prometheus_family(struct buf *out, const char *name, enum prometheus_type type,
                       const char *help);

/* One sample of a counter or gauge. */
void prometheus_uint(struct buf *out, const char *name, const struct prometheus_label *labels,
                     uint64_t value);

/* As prometheus_uint(); the shortest text that reads back as `value`, also NaN, +Inf and -Inf. */
void prometheus_double(struct buf *out, const char *name, const struct prometheus_label *labels,
                       double value);

/*
 * What was observed, each observation in one bucket only: counts[i] had a value up to and including
 * bounds[i] and above the bound before; counts[n_bounds] was above all of them.
 */
struct prometheus_histogram {
    const double *bounds; /* finite and rising */
    const uint64_t *counts;
    size_t n_bounds;
    double sum; /* of all observed values */
};

/* The samples NAME_bucket (cumulative, the last with le="+Inf"), NAME_sum and NAME_count. */
void prometheus_histogram(struct buf *out, const char *name, const struct prometheus_label *labels,
                          const struct prometheus_histogram *h);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"

/*
 * A table of text: columns as wide as their widest cell, three blanks between, as kubectl prints
 * them. What cells hold is muted: control characters become '?'. `widths` stays between two
 * prints, so that the rows of a watch stand below each other.
 */
#define TABLE_COLUMNS 16

struct table {
    size_t n_columns;
    struct strv cells; /* row by row */
    size_t widths[TABLE_COLUMNS];
};

void table_add(struct table *t, const char *cell); /* "" for NULL */
void table_addf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends all rows and forgets them. n_columns divides the number of cells (BUG). */
void table_print(struct table *t, struct buf *out);
void table_done(struct table *t);
#define autotable __attribute__((cleanup(table_done))) struct table

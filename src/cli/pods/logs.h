/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/json_value.h"
#include "base/strv.h"
#include "base/util.h"

/* Where the lines of a container's log go: to standard output, one write each. */
struct log_printer {
    char *prefix; /* NULL: none; heap */
    bool is_terminal;
};

/* "[pod/web/app] " as kubectl has it. */
void log_printer_init(struct log_printer *p, const char *prefix);
void log_printer_done(struct log_printer *p);
/* A line without its newline; 0, or -EIO when standard output takes no more. */
int log_printer_line(const struct log_printer *p, char *text, size_t len);

/* For a terminal: '?' in place of control characters, but for tabs, newlines and colours. */
void log_mute(char *text, size_t len, bool has_colours);

/* Names of a pod's containers: init containers first, when they are asked for. */
void log_containers_add(const struct json_value *pod, bool has_init, struct strv *ret);

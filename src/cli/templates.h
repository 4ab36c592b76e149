/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* The files of src/cli/templates/, embedded by the build (embed_templates.py). */
struct template_file {
    const char *language;
    const char *path; /* in the new project */
    const unsigned char *data;
    size_t len;
};

/* Ends with a NULL path. */
extern const struct template_file template_files[];

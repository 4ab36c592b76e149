/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/commands_pods.h"
#include "manifest/objects.h"

#define MANIFESTS_LIMIT 4096 /* files of one command */

/*
 * Reads all that -f names, before anything is done: files, "-", and folders (their *.yaml, *.yml
 * and *.json in the order of their names; with is_recursive those of the folders within too). The
 * errors are those of objects_parse(), and "NotFound", "NoManifest" (a folder without any, or
 * nothing in them).
 *
 * `space` is of objects that name none; with is_space_fixed another is an error ("BadManifest").
 */
int manifests_read(const struct manifest_options *m, const char *space, bool is_space_fixed,
                   struct objects *ret, struct err *e);

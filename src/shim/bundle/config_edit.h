/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "container/oci/oci_config.h"

/*
 * Changes to a bundle's config.json which leave every other byte of it as it is: a native container
 * is made of what the document says, also of members that nobody here knows.
 *
 * The text has been decoded as `c` before, so it is well-formed. A member is found when its name is
 * written without escapes, as everybody writes these; of several of a name the last counts, as it
 * does for all who read the document. What cannot be found is "BadConfig".
 *
 * Each edit appends the changed text to *ret.
 */

int config_text_read(int bundle_fd, struct buf *ret, struct err *e);
int config_text_write(int bundle_fd, const struct buf *text, struct err *e);

/* Sets the path of the namespace c->linux_.namespaces[index], which has one. */
int config_edit_namespace(const struct buf *json, size_t index, const char *path, struct buf *ret,
                          struct err *e);

struct config_mount {
    const char *destination, *source; /* bound */
    bool is_replacing;                /* what is mounted there, if anything is; else that stays */
};

int config_edit_mounts(const struct buf *json, const struct oci_config *c,
                       const struct config_mount *v, size_t n, struct buf *ret, struct err *e);

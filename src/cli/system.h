/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/cache.h"
#include "store/images.h"

/*
 * What the commands of `wherry system` share, in the program wherry-image.
 */

/* Opens both; *ret_cache is NULL, with a warning, when nobody can use the compile cache. */
int system_open(const char *cache_dir, struct images **ret, struct cache **ret_cache,
                struct err *e);

int system_df(int argc, char *const *argv);
int system_prune(int argc, char *const *argv);
int system_check(int argc, char *const *argv);

/* After a pull: removes what the settings (WHERRY_GC_*) do not keep, but for the image `keep`.
 * What goes wrong is a warning. */
void system_retain(struct images *images, const char *keep);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/cache.h"
#include "store/collect.h"

/*
 * What is kept on this machine: by age and by disk marks, as kubelet's image garbage collection
 * means them (imageMinimumGCAge, imageMaximumGCAge, imageGCHighThresholdPercent,
 * imageGCLowThresholdPercent of KubeletConfiguration). Above the high mark what was not used for
 * longest goes first, images and compiled code alike, until the low mark is reached.
 */
struct retain_options {
    int64_t high, low;  /* 0: no marks */
    bool is_percent;    /* of the file system of the store; else bytes of store and compile cache */
    int64_t min_age_ms; /* what was used since then is never removed */
    int64_t max_age_ms; /* images and code that were not used for longer go; 0: none do */
};

#define RETAIN_MIN_AGE_MS 120000 /* kubelet's default */
#define RETAIN_LEFTOVERS_MS                                                                        \
    86400000 /* parts and blobs that no name leads to are kept, to go on with */

/*
 * From texts such as the environment has, NULL for what is not set: the marks are "85%" or a size,
 * both of one kind; without `low` it is 5 % or a tenth below. "BadSetting" names the variable.
 */
int retain_parse(const char *high, const char *low, const char *min_age, const char *max_age,
                 struct retain_options *ret, struct err *e);

/*
 * Removes what the options do not keep, and once a day what was left over. `cache` may be NULL.
 * The image `keep` stays. 0 when another process collects, when there is nothing to do, or with
 * *ret_bytes of what was removed.
 */
int images_retain(struct images *s, struct cache *cache, const struct retain_options *o,
                  const char *keep, int64_t *ret_bytes, struct err *e);

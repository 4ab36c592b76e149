/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"
#include "store/registries.h"

/* The places where an image may be: what its name may stand for, each at its mirrors first. */

/* Asks one place for `r`; less than 0 when it is not to be had there. */
typedef int (*place_ask_fn)(void *ctx, const struct reference *r,
                            const struct registry_source *source, bool is_last, struct err *e);

/*
 * Asks one place after the other until one has it. `names` are what registries_names() gives. When
 * several places fail, the error has what each of them said, and the reason of the last; what is
 * wrong with this machine (a full disk) ends it at once.
 */
int places_ask(const struct strv *names, const struct registries *registries, place_ask_fn ask,
               void *ctx, struct err *e);

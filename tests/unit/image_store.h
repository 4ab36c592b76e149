/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "unit.h"

#include "store/images.h"

/* An image store of its own for each test. */
static char *root;
static struct images *store;

static inline int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    root = unit_temp_dir();
    return images_open(root, &store, &e);
}

static inline int tear_down(void **state)
{
    (void)state;
    if (store) /* it could be opened */
        images_free(store);
    unit_remove(root);
    return 0;
}

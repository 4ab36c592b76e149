/* SPDX-License-Identifier: Apache-2.0 */

/* Leaves marks all over the linear memory, and looks for marks that somebody else left. */

#pragma once

#include <stddef.h>

/* Writes "wherry-secret-", then `what`, over the stack, static memory and 4 MiB that are grown. */
void secret_plant(const char *what);

/* How many marks are in the whole memory, after it was grown to 8 MiB. */
size_t secret_look(void);

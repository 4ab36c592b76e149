/* SPDX-License-Identifier: Apache-2.0 */

/* The path `/fetch?URL`: asks another server and passes its answer on. */

#pragma once

#include "exchange.h"

/*
 * Answers with "status N" and the body that came, or "error NAME", where NAME is the error code as
 * the WIT of wasi:http spells it.
 */
void fetch(struct exchange *x);

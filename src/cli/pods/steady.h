/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"

/*
 * From when on a pod that is Ready may be called so. Without a readiness or startup probe that
 * condition begins with the first instruction, and so holds for a moment of a program that fails at
 * once, too. Such a pod has to stay ready for a while.
 */
#define STEADY_MS 1000

/* Of a pod that is ready: the moment of clock_monotonic_ns(), unless it changes before; 0 when that
 * is now. */
uint64_t pod_steady_ns(const struct json_value *pod);

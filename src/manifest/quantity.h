/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * Amounts as Kubernetes writes them (apimachinery, api/resource): a decimal number with a suffix of
 * n u m k M G T P E, of Ki Mi Gi Ti Pi Ei, or with an exponent: "100m", "1.5", "64Mi", "1e3".
 * *ret is in units of 1/scale (1: whole bytes, 1000: thousandths of a core), rounded up.
 * "BadQuantity": -EINVAL, or -ERANGE for what is negative or too large.
 */
int quantity_parse(const char *text, int64_t scale, int64_t *ret, struct err *e);

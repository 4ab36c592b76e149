/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json_value.h"

/*
 * Appends the value as one YAML document in block style, in the order of the text, for people and
 * for document.h to read back to the same: strings that YAML 1.1 (or kubectl's 1.1) would take for
 * something else are quoted, those with several lines are blocks.
 */
void yaml_write(const struct json_value *v, struct buf *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "base/json.h"

/*
 * For the files of base/ that read JSON: the library's tree of a checked text, to be freed by
 * json_decref(). Errors as those of json_decode(); with may_quote false a syntax error repeats
 * nothing of the text.
 */
int json_text_load(const char *text, size_t len, struct json_limits limits, bool may_quote,
                   json_t **ret, struct err *e);

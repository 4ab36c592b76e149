/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "pod/spec.h"

/*
 * Selectors of labels and fields, as Kubernetes writes them (apimachinery, pkg/labels/selector.go
 * and pkg/fields/selector.go): "a=b,c!=d,e,!f,g in (h,i),j notin (k),l>1" and
 * "metadata.name=x,status.phase!=Running". All of their terms have to hold.
 */
#define SELECTOR_LIMIT_BYTES 8192
#define SELECTOR_LIMIT_TERMS 64

struct selector;

/* NULL and "" select everything. "BadSelector" (-EINVAL). */
int selector_labels_parse(const char *text, struct selector **ret, struct err *e);
/* `known` (NULL-terminated) are the fields that the kind has. */
int selector_fields_parse(const char *text, const char *const *known, struct selector **ret,
                          struct err *e);
void selector_free(struct selector *s);
DEFINE_AUTO(selector);

bool selector_is_met(const struct selector *s, const struct pod_pairs *pairs);

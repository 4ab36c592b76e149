/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "manifest/document.h"

/* What an unquoted word of YAML means: sets type and text of *n, the latter in `a` or the word
 * itself. -EINVAL for what JSON cannot say: infinities and "not a number". As goyaml.v2/resolve.go
 * of sigs.k8s.io/yaml does it. */
int document_word_resolve(struct arena *a, const char *word, struct document_node *n);

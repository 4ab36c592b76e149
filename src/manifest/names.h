/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/util.h"

/* The forms of names in Kubernetes (apimachinery, util/validation). */

/* RFC 1123: a-z, 0-9 and '-', neither first nor last; at most 63. */
bool name_is_label(const char *s);
#define NAME_LABEL_RULE                                                                            \
    "at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"

/* Labels with dots between; at most 253. */
bool name_is_subdomain(const char *s);
#define NAME_SUBDOMAIN_RULE                                                                        \
    "at most 253 of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit"

/* RFC 6335: at most 15 of a-z, 0-9 and '-', with a letter. */
bool name_is_port(const char *s);
#define NAME_PORT_RULE "at most 15 of a-z, 0-9 and '-', with a letter in it"

/* [SUBDOMAIN/]NAME, of labels and annotations. */
bool name_is_qualified(const char *s);
#define NAME_QUALIFIED_RULE                                                                        \
    "at most 63 of A-Za-z0-9, '-', '_' and '.', with a domain and a slash before it or not"

/* Of a label: empty or like the name above. */
bool name_is_label_value(const char *s);
#define NAME_LABEL_VALUE_RULE                                                                      \
    "at most 63 of A-Za-z0-9, '-', '_' and '.', beginning and ending with a letter or digit"

/* Of ConfigMaps and Secrets: a file name of at most 253 of A-Za-z0-9._- */
bool name_is_key(const char *s);
#define NAME_KEY_RULE "at most 253 of A-Za-z0-9, '-', '_' and '.'"

/* Of an environment variable: printable ASCII without '='. */
bool name_is_variable(const char *s);
#define NAME_VARIABLE_RULE "printable ASCII without '='"

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"

/*
 * Inside of oci_config*.c: rows of their tables, and the tables that one has of the other. A list
 * has a limit of its own, since an entry of few bytes of text may be a large struct.
 */

#define OCI_LIST_LIMIT 65536
#define OCI_ID_MAX     4294967294 /* 2^32 - 1 means "as it is" to the kernel */

#define OCI_NUMBER(name_, struct_, member_, min_, max_)                                            \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct_, member_), .min = (min_), \
        .max = (max_)                                                                              \
    }
/* With `bool has_<member>` beside the member. */
#define OCI_NUMBER_HAS(name_, struct_, member_, min_, max_)                                        \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct_, member_), .min = (min_), \
        .max = (max_), .has_flag = true, .has_offset = offsetof(struct_, has_##member_)            \
    }
#define OCI_STRINGS(name_, struct_, member_)                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRINGS, .offset = offsetof(struct_, member_),              \
        .limit = OCI_LIST_LIMIT                                                                    \
    }
#define OCI_PAIRS(name_, struct_, member_)                                                         \
    {                                                                                              \
        .name = (name_), .type = FIELD_PAIRS, .offset = offsetof(struct_, member_),                \
        .limit = OCI_LIST_LIMIT                                                                    \
    }
#define OCI_OBJECT(name_, struct_, member_, fields_)                                               \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECT, .offset = offsetof(struct_, member_),               \
        .fields = (fields_)                                                                        \
    }
/* An object whose members are of the struct around it. */
#define OCI_INSIDE(name_, fields_)                                                                 \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECT, .offset = 0, .fields = (fields_)                    \
    }
#define OCI_OBJECTS(name_, struct_, member_, count_, fields_)                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct_, member_),              \
        .count_offset = offsetof(struct_, count_), .limit = OCI_LIST_LIMIT, .fields = (fields_),   \
        .elem_size = sizeof(*((struct_ *)NULL)->member_)                                           \
    }

extern const struct json_field oci_linux_fields[], oci_resources_fields[];

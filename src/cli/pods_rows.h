/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/options.h"

/* Rows that several commands for pods have. `struct_` is the struct of the command's options,
 * without the word. */
#define PODS_NAMESPACE_ROW(struct_)                                                                \
    {                                                                                              \
        .name = "namespace", .short_name = 'n', .type = OPTION_STRING, .arg_name = "NAME",         \
        .help = "In this namespace (default: WHERRY_NAMESPACE, or 'default')",                     \
        .offset = offsetof(struct struct_, common.space)                                           \
    }
#define PODS_SOCKET_ROW(struct_)                                                                   \
    {                                                                                              \
        .name = "socket", .type = OPTION_STRING, .arg_name = "PATH",                               \
        .help =                                                                                    \
            "Speak to the agent at this socket (default: WHERRY_SOCKET, or wherry.sock in the "    \
            "run folder)",                                                                         \
        .complete = COMPLETE_FILE, .offset = offsetof(struct struct_, common.socket)               \
    }
#define PODS_SELECTOR_ROW(struct_)                                                                 \
    {                                                                                              \
        .name = "selector", .short_name = 'l', .type = OPTION_STRING, .arg_name = "LABELS",        \
        .help = "Only what has these labels: a=b, a!=b, a, !a, 'a in (b,c)', 'a notin (b,c)', "    \
                "with commas between",                                                             \
        .offset = offsetof(struct struct_, selector)                                               \
    }
#define PODS_EVERYWHERE_ROW(struct_)                                                               \
    {                                                                                              \
        .name = "all-namespaces", .short_name = 'A', .type = OPTION_FLAG,                          \
        .help = "In all namespaces", .offset = offsetof(struct struct_, is_everywhere)             \
    }
#define PODS_HEADLESS_ROW(struct_)                                                                 \
    {                                                                                              \
        .name = "no-headers", .type = OPTION_FLAG, .help = "Leave out the names of the columns",   \
        .offset = offsetof(struct struct_, is_headless)                                            \
    }
#define PODS_FILE_ROW(struct_)                                                                     \
    {                                                                                              \
        .name = "filename", .short_name = 'f', .type = OPTION_STRINGS, .arg_name = "PATH",         \
        .help = "A manifest in YAML or JSON, a folder of them (*.yaml, *.yml, *.json), or - for "  \
                "standard input",                                                                  \
        .complete = COMPLETE_FILE, .offset = offsetof(struct struct_, manifest.files)              \
    }
#define PODS_RECURSIVE_ROW(struct_)                                                                \
    {                                                                                              \
        .name = "recursive", .short_name = 'R', .type = OPTION_FLAG,                               \
        .help = "Read the folders within a folder too",                                            \
        .offset = offsetof(struct struct_, manifest.is_recursive)                                  \
    }
#define PODS_GRACE_ROW(struct_)                                                                    \
    {                                                                                              \
        .name = "grace-period", .type = OPTION_INT, .arg_name = "SECONDS",                         \
        .help = "Give containers so long to end by themselves (default: the pod's "                \
                "terminationGracePeriodSeconds)",                                                  \
        .max = 86400 * 365, .offset = offsetof(struct struct_, grace_s)                            \
    }
#define PODS_TIMEOUT_ROW(struct_, default_, help_)                                                 \
    {                                                                                              \
        .name = "timeout", .type = OPTION_DURATION_MS, .arg_name = "TIME", .help = (help_),        \
        .default_text = (default_), .offset = offsetof(struct struct_, timeout_ms)                 \
    }
#define PODS_HELP_ROW(struct_) OPTION_HELP_ROW(struct struct_, common.is_help)

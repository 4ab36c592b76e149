/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/options.h"

/*
 * Rows that several commands have. `struct_` is the struct of the command's options, without the
 * word.
 */
#define OPTION_ENV_ROW(struct_)                                                                    \
    {                                                                                              \
        .name = "env", .short_name = 'e', .type = OPTION_STRINGS, .arg_name = "NAME[=VALUE]",      \
        .help = "Set an environment variable of the guest; without a value it is taken from the "  \
                "environment of wherry, if it is there",                                           \
        .complete = COMPLETE_ENV, .offset = offsetof(struct struct_, env)                          \
    }
#define OPTION_ENV_FILE_ROW(struct_)                                                               \
    {                                                                                              \
        .name = "env-file", .type = OPTION_STRINGS, .arg_name = "PATH",                            \
        .help = "Read environment variables from a file, one NAME=VALUE or NAME a line; lines "    \
                "that begin with # are comments",                                                  \
        .complete = COMPLETE_FILE, .offset = offsetof(struct struct_, env_files)                   \
    }
#define OPTION_DIR_ROW(struct_)                                                                    \
    {                                                                                              \
        .name = "dir", .type = OPTION_STRINGS, .arg_name = "HOST[::GUEST][:ro]",                   \
        .help = "Give the guest the folder HOST under the name GUEST (default: the same name), "   \
                "with :ro only for reading",                                                       \
        .complete = COMPLETE_DIR, .offset = offsetof(struct struct_, dirs)                         \
    }
#define OPTION_ALLOW_NET_ROW(struct_)                                                              \
    {                                                                                              \
        .name = "allow-net", .type = OPTION_STRINGS, .arg_name = "HOST:PORT",                      \
        .help = "Let the guest use the network: HOST is a name, an address, [IPv6], a CIDR block " \
                "or *, PORT a number, a range FROM-TO or *",                                       \
        .offset = offsetof(struct struct_, allow_net)                                              \
    }
#define OPTION_OUTPUT_ROW(struct_)                                                                 \
    {                                                                                              \
        .name = "output", .short_name = 'o', .type = OPTION_STRING, .arg_name = "FORMAT",          \
        .help = "Write this format", .default_text = "text", .complete = COMPLETE_WORDS,           \
        .words = commands_output_words, .offset = offsetof(struct struct_, output)                 \
    }
#define OPTION_PULL_ROW(struct_)                                                                   \
    {                                                                                              \
        .name = "pull", .type = OPTION_STRING, .arg_name = "POLICY",                               \
        .help = "Fetch an image of a registry when it is missing, always, or never",               \
        .default_text = "missing", .complete = COMPLETE_WORDS, .words = commands_pull_words,       \
        .offset = offsetof(struct struct_, pull)                                                   \
    }
#define OPTION_POLICY_ROW(struct_)                                                                 \
    {                                                                                              \
        .name = "policy", .type = OPTION_STRING, .arg_name = "POLICY",                             \
        .help = "Ask the registry always, only for an image that is missing here, or never",       \
        .default_text = "always", .complete = COMPLETE_WORDS, .words = commands_pull_words,        \
        .offset = offsetof(struct struct_, policy)                                                 \
    }
#define OPTION_CACHE_DIR_ROW(struct_)                                                              \
    {                                                                                              \
        .name = "cache-dir", .type = OPTION_STRING, .arg_name = "DIR",                             \
        .help = "Keep compiled code in this folder (default: wherry in the XDG cache folder)",     \
        .complete = COMPLETE_DIR, .offset = offsetof(struct struct_, cache_dir)                    \
    }
#define OPTION_NO_CACHE_ROW(struct_)                                                               \
    {                                                                                              \
        .name = "no-cache", .type = OPTION_FLAG, .help = "Compile anew and keep nothing",          \
        .offset = offsetof(struct struct_, is_uncached)                                            \
    }
#define OPTION_VERBOSE_ROW(struct_)                                                                \
    {                                                                                              \
        .name = "verbose", .short_name = 'v', .type = OPTION_COUNT,                                \
        .help = "Say what is done; twice for more", .offset = offsetof(struct struct_, verbosity)  \
    }
#define OPTION_QUIET_ROW(struct_)                                                                  \
    {                                                                                              \
        .name = "quiet", .short_name = 'q', .type = OPTION_FLAG,                                   \
        .help = "Show no progress and no warnings", .offset = offsetof(struct struct_, is_quiet)   \
    }
#define OPTION_AUTHFILE_ROW(struct_)                                                               \
    {                                                                                              \
        .name = "authfile", .type = OPTION_STRING, .arg_name = "PATH",                             \
        .help = "Use the credentials in this file (default: those of podman and docker)",          \
        .complete = COMPLETE_FILE, .offset = offsetof(struct struct_, authfile)                    \
    }
#define OPTION_PLAIN_HTTP_ROW(struct_)                                                             \
    {                                                                                              \
        .name = "plain-http", .type = OPTION_FLAG,                                                 \
        .help = "Speak HTTP without encryption; a registry on this machine is spoken to so by "    \
                "itself when it knows no TLS",                                                     \
        .offset = offsetof(struct struct_, is_plain_http)                                          \
    }
#define OPTION_INSECURE_ROW(struct_)                                                               \
    {                                                                                              \
        .name = "insecure", .type = OPTION_FLAG, .help = "Accept any certificate of the registry", \
        .offset = offsetof(struct struct_, is_insecure)                                            \
    }
#define OPTION_STALL_TIMEOUT_ROW(struct_)                                                          \
    {                                                                                              \
        .name = "stall-timeout", .type = OPTION_DURATION_MS, .arg_name = "TIME",                   \
        .help = "Try again, and at last give up, when nothing has moved for that long",            \
        .default_text = "30s", .min = 100, .max = 3600000,                                         \
        .offset = offsetof(struct struct_, stall_ms)                                               \
    }
#define OPTION_NO_COMPILE_ROW(struct_)                                                             \
    {                                                                                              \
        .name = "no-compile", .type = OPTION_FLAG,                                                 \
        .help = "Leave the compilation to the first run",                                          \
        .offset = offsetof(struct struct_, is_uncompiled)                                          \
    }
#define OPTION_CONTAINER_ROW(struct_)                                                              \
    {                                                                                              \
        .name = "container", .short_name = 'c', .type = OPTION_STRING, .arg_name = "NAME",         \
        .help = "The container of the pod (default: its first)",                                   \
        .offset = offsetof(struct struct_, container)                                              \
    }

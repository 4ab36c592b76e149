/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * The command line of a shim as containerd writes it (runtime v2, README.md "Commands"; pkg/shim,
 * parseFlags): flags as Go's package flag takes them, and then an action. All strings are those of
 * argv.
 */
enum shim_action {
    SHIM_NONE,
    SHIM_START,
    SHIM_DELETE,
    SHIM_VERSION, /* -v */
    SHIM_INFO,    /* -info */
    SHIM_HELP,    /* -h */
};

struct shim_flags {
    enum shim_action action;
    const char *namespace, *id, *bundle, *address, *publish_binary, *socket;
    bool is_debug;
};

/* "BadUsage" */
int shim_flags_parse(int argc, char **argv, struct shim_flags *ret, struct err *e);

/* What -h prints. */
extern const char shim_usage[];

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"

/*
 * The configuration files of containerd as far as one who adds a runtime has to know them: which
 * files are read and in what order, and which of their tables are those of CRI. Source:
 * cmd/containerd/server/config/config.go of 2.4 and services/server/config/config.go of 1.7.
 *
 * Files are kept as text that is cut at the headers of tables, not as a tree: tables are copied
 * with their comments, and what we do not need to understand cannot be in the way.
 */
struct containerd_version {
    int major, minor;
};

/* Of the output of `containerd --version`, or of a bare "1.7". "BadVersion" (-EINVAL). */
int containerd_version_parse(const char *text, struct containerd_version *ret, struct err *e);

/*
 * containerd 1.x takes the settings of a plugin from the last file that has any of them, 2.x merges
 * table by table. Their files are of version 2 and 3 (2.3 and later also read 4).
 */
static inline bool containerd_has_merge(struct containerd_version v)
{
    return v.major >= 2;
}

#define CRI_PLUGIN_1 "io.containerd.grpc.v1.cri"    /* files of version 2 */
#define CRI_PLUGIN_2 "io.containerd.cri.v1.runtime" /* files of version 3 and later */

#define CONTAINERD_CONFIG_LIMIT_BYTES (1u << 20) /* of one file */
#define CONTAINERD_FILES_LIMIT        1000

/* A table: its header, and what follows until the next one. */
struct containerd_table {
    struct strv name;  /* the words of its name */
    size_t start, end; /* of the header and behind the last line, in the text */
    size_t body;       /* where the line behind the header begins */
    unsigned line;     /* of the header, from 1 */
};

struct containerd_file {
    char *path;
    struct buf text;
    struct containerd_table *tables;
    size_t n;
    int version;           /* 0 when it says none */
    struct strv imports;   /* as written */
    unsigned imports_line; /* 0 without */
    bool is_cri_disabled;  /* by disabled_plugins */
};

/* All of them in the order in which containerd reads them; the first is the one it was given. */
struct containerd_config {
    struct containerd_file *files;
    size_t n;
    bool is_imported; /* the file `own` is, or would be if it were there */
    size_t own_at;    /* it is read before files[own_at] */
};

/* Of one text. "BadContainerdConfig" (-EINVAL) begins with the path and, where there is one, the
 * line. */
int containerd_file_parse(const char *path, const char *text, size_t len,
                          struct containerd_file *ret, struct err *e);
void containerd_file_done(struct containerd_file *f);
#define autocontainerd_file __attribute__((cleanup(containerd_file_done))) struct containerd_file

/* Reads the file and what it imports, but not `own`, an absolute path. -ENOENT when `path` is not
 * there. */
int containerd_config_load(const char *path, const char *own, struct containerd_config *ret,
                           struct err *e);
void containerd_config_done(struct containerd_config *c);
#define autocontainerd_config                                                                      \
    __attribute__((cleanup(containerd_config_done))) struct containerd_config

/* Whether it is a table of CRI: of the plugin `plugin`, or of either when that is NULL. */
bool containerd_is_cri(const struct containerd_table *t, const char *plugin);

/* The table of that runtime or, with `has_options`, of its options; of either plugin. The last of
 * all files; NULL without one. *ret_file (may be NULL) is where it is. */
const struct containerd_table *containerd_runtime_find(const struct containerd_config *c,
                                                       const char *runtime, bool has_options,
                                                       const struct containerd_file **ret_file);

/* The file whose settings of CRI containerd 1.x uses when ours is not there; NULL without any. */
const struct containerd_file *containerd_cri_file(const struct containerd_config *c);

/* Whether runtimes have their control groups made by systemd, as the default runtime says. */
bool containerd_has_systemd_cgroup(const struct containerd_config *c);

/* The folder of the first import that is "FOLDER/" and "*.toml"; without one "conf.d" beside the
 * configuration `path`. Heap. */
char *containerd_drop_in_dir(const struct containerd_config *c, const char *path);

/* Whether the output of `containerd config dump` has the runtime with this runtime_type, or a path
 * of the program `shim` as that. */
bool containerd_dump_has(const char *dump, size_t len, const char *runtime, const char *type,
                         const char *shim);

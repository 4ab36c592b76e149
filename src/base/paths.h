/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * Names of files and folders.
 *
 *             uid 0              others
 *   state     /var/lib/wherry    ${XDG_STATE_HOME:-$HOME/.local/state}/wherry
 *   run       /run/wherry        ${XDG_RUNTIME_DIR}/wherry, without it /tmp/wherry-<uid>
 *   cache     ${XDG_CACHE_HOME:-$HOME/.cache}/wherry for both; root without HOME has
 *             /var/cache/wherry
 *
 * WHERRY_STATE_DIR names another state folder. A relative path in one of these variables is
 * ignored, as the XDG specification says. The functions only name; nothing is created. They fail
 * ("NoHome") when a folder cannot be named. *ret is a heap string.
 */
int paths_state_dir(char **ret, struct err *e);
int paths_run_dir(char **ret, struct err *e);
int paths_cache_dir(char **ret, struct err *e);

/* A configuration file: /etc/wherry/NAME, for others than root
 * ${XDG_CONFIG_HOME:-$HOME/.config}/wherry/NAME. */
int paths_config_file(const char *name, char **ret, struct err *e);

/* The image store (store/images.h), below the state folder. */
int paths_images_dir(char **ret, struct err *e);

/* The value of a variable that names a path: NULL for a relative one, and for none. */
const char *paths_env(const char *name);

/* Where the distributions keep the certificates (PEM) that they trust; ends with NULL. */
extern const char *const paths_ca_files[];

/* The certificates (PEM) that this machine trusts, where the distributions keep them; NULL without
 * any. Static. */
const char *paths_system_ca(void);

/* The folder that holds the running executable, symbolic links resolved. */
int paths_exe_dir(char **ret, struct err *e);

/*
 * The helper program `name` ("wherry-worker", "wherry-doctor"): the first that is executable of
 * $WHERRY_EXEC_PATH/name (then nothing else), <exe dir>/libexec/wherry/name, <exe dir>/name and
 * <exe dir>/../libexec/wherry/name. -ENOENT ("ProgramMissing") names the folders tried.
 */
int paths_program_find(const char *name, char **ret, struct err *e);

/* The folders that paths_program_find() searches, in order. */
struct strv;
int paths_program_dirs(struct strv *ret, struct err *e);

/* "a/b" with exactly one slash between; an absolute `b` still goes below `a`. Heap. */
char *path_join(const char *a, const char *b);

/* The same file as seen from the root: for whoever has another working folder. Heap. */
int path_absolute(const char *path, char **ret, struct err *e);

/* Everything before the last slash ("." without one, "/" for the root). Heap. */
char *path_dir(const char *path);

/* What follows the last slash; points into `path`. */
const char *path_base(const char *path);

/* Creates `path` and its missing parents; an existing folder is success. */
int path_mkdir_p(const char *path, mode_t mode, struct err *e);

/*
 * Opens the folder `path`, creating it (0700) with its parents when it is missing, and refuses it
 * ("UntrustedFolder", -EPERM) unless it belongs to the caller's uid (or root) and neither group nor
 * others may write to it: for folders whose content is trusted, such as compiled code.
 */
int path_open_private(const char *path, int *ret_dirfd, struct err *e);

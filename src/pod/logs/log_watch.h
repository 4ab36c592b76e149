/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * Tells that a log may have changed: NAME or NAME.* in its folder was written to, made, renamed or
 * removed. A folder that is not there yet is waited for. All watches of a loop share one inotify
 * instance, since a user may have 128 of them only (fs.inotify.max_user_instances).
 */
struct log_watch;

/* `changed` with NULL, or once, and nothing after it, with the "LogFailed" for which the folder
 * cannot be watched any more. It must not free a watch. "LogFailed", with the setting to raise when
 * the user has no more watches. */
int log_watch_new(struct loop *l, const char *path,
                  void (*changed)(void *ctx, const struct err *failure), void *ctx,
                  struct log_watch **ret, struct err *e);
void log_watch_free(struct log_watch *w);
DEFINE_AUTO(log_watch);

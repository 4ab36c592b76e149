/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/pull.h"

/*
 * The program wherry-image: the commands that deal with registries and the image store. It links
 * what `wherry` does not, and ends when its command does.
 */

/* The exit status for an error: 1 for what the registry or the store says, else 125. */
int image_exit_for(const struct err *e);

int image_push_command(int argc, char *const *argv);
int image_login(int argc, char *const *argv);
int image_logout(int argc, char *const *argv);

/*
 * Compiles the program of an image of the store into the cache, by a child with limits, so that its
 * first run starts at once. What goes wrong there is told to the user and is no failure: the first
 * run tries again. With WHERRY_NO_COMPILE in the environment it does nothing.
 */
struct image_compile_options {
    const char *cache_dir; /* NULL: the usual one */
    bool is_quiet;         /* no progress */
    int verbosity;
};
void image_compile(const char *name, const struct image_compile_options *o);

/* ---- Progress ---- */

/* Tells on standard error how a pull goes on: on a terminal a line that changes, and for each blob
 * one when it is complete. */
struct image_progress;

struct image_progress *image_progress_new(bool is_quiet);
void image_progress_free(struct image_progress *p); /* ends the line */
DEFINE_AUTO(image_progress);

/* For struct pull_options. */
void image_progress_tell(void *ctx, const struct image_descriptor *d, int64_t have);

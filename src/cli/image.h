/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/pull.h"

/*
 * The program wherry-image: the commands that deal with registries and the image store. It links
 * what `wherry` does not, and ends when its command does.
 */

/* The exit status for an error: 1 for what the registry or the store says, else 125. */
int image_exit_for(const struct err *e);

/* The image store of this machine. */
int image_store_open(struct images **ret, struct err *e);

/* "2026-11-26T20:00:00Z". */
#define IMAGE_TIME_SIZE 32
void image_time_format(int64_t ns, char ret[static IMAGE_TIME_SIZE]);

/* `wherry system`, whose commands are in system.h. */
int image_system(int argc, char *const *argv);

int image_push_command(int argc, char *const *argv);
int image_login(int argc, char *const *argv);
int image_logout(int argc, char *const *argv);

/* ---- Progress ---- */

/* Tells on standard error how a pull goes on: on a terminal a line that changes, and for each blob
 * one when it is complete. */
struct image_progress;

struct image_progress *image_progress_new(bool is_quiet);
void image_progress_free(struct image_progress *p); /* ends the line */
DEFINE_AUTO(image_progress);

/* For struct pull_options. */
void image_progress_tell(void *ctx, const struct image_descriptor *d, int64_t have);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "image/pull.h"

/*
 * The program wherry-image: the commands that deal with registries and the image store. It links
 * what `wherry` does not, and ends when its command does.
 */

/* The exit status for an error: 1 for what the registry or the store says, else 125. */
int image_exit_for(const struct err *e);

/* Opens the store of this machine. */
int image_store_open(struct images **ret, struct err *e);

/* What registries.conf says; what of it is not known is told as a warning. */
int image_registries_read(struct registries *ret, struct err *e);

/* Finds an image of this machine by what people call it, short names too. "NotFound". */
int image_stored_find(struct images *images, const struct registries *registries, const char *text,
                      struct image *ret, struct err *e);

/* `wherry system`, whose commands are in system.h. */
int image_system(int argc, char *const *argv);

int image_push_command(int argc, char *const *argv);
int image_save_command(int argc, char *const *argv);
int image_load_command(int argc, char *const *argv);
int image_describe_command(int argc, char *const *argv);
int image_login(int argc, char *const *argv);
int image_logout(int argc, char *const *argv);

/* ---- What a program is: `wherry inspect` knows ---- */

struct image_program {
    bool is_component;
    char *contract, *reason;
    struct strv imports, exports; /* names */
    char *command;                /* JSON of a guest_command; NULL: none */
    bool is_compiled_known, is_compiled_for_run, is_compiled_for_serve;
};

/* Of a file or an image of this machine, as people name it. It says itself what is wrong with the
 * program ("NotRunnable"). */
int image_program_inspect(const char *name, struct image_program *ret, struct err *e);
void image_program_done(struct image_program *p);

/* IMAGE_UNPACK_LAYOUT and IMAGE_UNPACK_ARCHIVE (cli/launch.h). */
int image_unpack_command(int argc, char *const *argv);

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

/* `what` is going on: "pulling". */
struct image_progress *image_progress_new(const char *what, bool is_quiet);
void image_progress_free(struct image_progress *p); /* ends the line */
DEFINE_AUTO(image_progress);

/* For struct pull_options. */
void image_progress_tell(void *ctx, const struct image_descriptor *d, int64_t have);
void image_progress_unpacking(void *ctx, uint64_t elapsed_ms);

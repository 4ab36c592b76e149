/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/run_options.h"
#include "guest/job.h"

/*
 * From parsed options to a worker: what is opened here, by the rights of the caller, is inherited
 * by the worker, which needs no path of the host any more.
 */

/*
 * A program as people name it:
 *   a path;
 *   "oci:DIR[:TAG][@sha256:HEX]", an image in the OCI image layout DIR (containers-transports(5));
 *   "oci-archive:FILE[:TAG][@sha256:HEX]", the same in a tar archive;
 *   "docker://REFERENCE", an image of a registry (store/reference.h), or REFERENCE alone when it
 * has a host, a tag or a digest and no such file is there.
 */
#define OCI_PREFIX         "oci:"
#define OCI_ARCHIVE_PREFIX "oci-archive:"
struct program_name {
    char *path;            /* of the file or of the folder that the image is in; heap */
    char *image;           /* which one (guest/spec.h); heap; NULL: `path` is the program */
    bool is_archive;       /* `path` is an archive that the image is in, for launch_unpack() */
    const char *reference; /* in full, in `image`; NULL: it is of no registry */
    char *record;          /* of that: the file in the store that is there with it; heap */
    const char *typed;     /* of that: the name as it was written, in the text that was parsed */
};
/* A short name (store/registries.h) is the first of its names that the store has, or else the first
 * of them. "BadReference", "NoHome", and what is wrong with registries.conf. */
int program_name_parse(const char *text, struct program_name *ret, struct err *e);
void program_name_done(struct program_name *p);

/* Opens the program for reading, or the folder that its image is in (close-on-exec). "NotFound", or
 * "NotRunnable" for what is there and is no readable regular file (or folder). */
int launch_program_open(const struct program_name *p, int *ret_fd, struct err *e);

/* Whether and how an image of a registry is fetched before it is opened. */
struct launch_pull {
    const char *policy; /* one of commands_pull_words; NULL: the first */
    bool is_quiet;
};

/* Parses the name and opens the program, inheritable, for the worker; its name is the text.
 * *ret_path, unless NULL, is its path as seen from the root (heap). "PullFailed" when it had to be
 * fetched and could not be. */
int launch_program(const char *text, const struct launch_pull *pull, struct guest_file *ret,
                   char **ret_path, struct err *e);

/*
 * Lets wherry-image store and open a program that is in an archive, or in the layers of a
 * container's image: 1 with its descriptor (close-on-exec), its file in the image store (heap) and
 * how it is started (heap, guest/spec.h); 0 for another program of a layout. "NotFound",
 * "NotRunnable", or whatever else it was: "UnpackFailed".
 */
int launch_unpack(const struct program_name *p, int *ret_fd, char **ret_path, char **ret_command,
                  struct err *e);

/* The commands of wherry-image for that: DIR or FILE, and the image as in store/layout.h. They send
 * the path and the descriptor, which no collection of the store can take away, or what is wrong, to
 * the socket that is their standard output; a second descriptor is a file with the command of a
 * container's image. Nothing is sent for 0. */
#define IMAGE_UNPACK_LAYOUT  "unpack-layout"
#define IMAGE_UNPACK_ARCHIVE "unpack-archive"
#define IMAGE_UNPACK_FDS     2

/* Opens the host folder of a --dir (close-on-exec). */
int launch_dir_open(const struct dir_grant *d, int *ret_fd, struct err *e);

/* What each --dir grants, added to the spec; opened folders are inheritable. */
int launch_dirs_add(const struct strv *texts, struct guest_spec *s, struct err *e);

/* What each --allow-net grants, and what a guest with a network needs: the texts of the resolver's
 * files, and the certificates in the file `ca` or (NULL) those that this machine trusts. */
int launch_network_add(const struct strv *grants, const char *ca, struct guest_spec *s,
                       struct err *e);

/* Opens the PEM file of an option (close-on-exec): "TlsFailed" for what is no readable regular
 * file. */
int launch_pem_open(const char *option, const char *path, int *ret_fd, struct err *e);

/* Opens every operand for the worker, with its name as it was typed. */
int launch_files_add(const struct strv *paths, const struct launch_pull *pull, struct guest_job *j,
                     struct err *e);

/* The cache folder: `dir` made absolute, or (NULL) the usual one; without a home folder there is
 * none, and NULL. */
int launch_cache_dir(const char *dir, char **ret, struct err *e);

/* Becomes wherry-worker with this job, by exec: the descriptors that it names are inheritable. The
 * limits of the compiler are taken from the environment ("BadUsage"). Returns only on failure. */
int launch_job(struct guest_job *j, struct err *e);

/* Clears close-on-exec. */
int launch_inherit(int fd, struct err *e);

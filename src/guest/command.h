/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "base/strv.h"

/*
 * How the image of a container says that its program is started: the words of its config's
 * Entrypoint and Cmd, the variables of Env, and the function of an entry point `FILE#FUNCTION`, as
 * runwasi reads it (containerd-shim-wasm, RuntimeContext::entrypoint). Programs that come in no
 * such image have none: `entrypoint` is empty.
 */
struct guest_command {
    struct strv entrypoint; /* the program's word, which is argv[0], and what always follows it */
    struct strv cmd;        /* what follows unless the caller has arguments */
    struct strv env;        /* NAME=VALUE, each name once */
    char *function;         /* the export to call; NULL: the command's entry point */
};

/* What a stranger's config may have of them: strings in each list, and bytes of all together. */
#define GUEST_COMMAND_LIST_LIMIT  1000
#define GUEST_COMMAND_BYTES_LIMIT (256u << 10)

/* Enough for the JSON text of one, with every character escaped. */
#define GUEST_COMMAND_TEXT_LIMIT (2u << 20)

void guest_command_done(struct guest_command *c);

/* One JSON object. */
void guest_command_encode(const struct guest_command *c, struct json_writer *w);

/* The member "command" of an object: the text of one, or NULL for none. */
void guest_command_text_encode(const char *text, struct json_writer *w);

/* Decodes into a zeroed *ret; "BadSpec". */
int guest_command_decode(const char *json, size_t len, struct guest_command *ret, struct err *e);

/* For people: a line for each thing that it has, its name in a column of `width`, the words as
 * JSON, so that none of them speaks to the terminal. */
void guest_command_describe(const struct guest_command *c, int width, struct buf *out);

/* Its variables with those of `own`, which are stronger. */
void guest_command_env(const struct guest_command *c, const struct strv *own, struct strv *ret);

/*
 * Completes what a spec with `has_image_defaults` leaves open. argv becomes `entrypoint`, and then
 * what followed the name in `args`, or `cmd` if nothing did. With a function those words but the
 * first are its arguments. A spec that names an export itself keeps its arguments.
 */
struct guest_spec;
void guest_command_apply(const struct guest_command *c, struct guest_spec *s);

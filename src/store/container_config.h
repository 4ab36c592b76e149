/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "guest/command.h"

/*
 * What of a container's config (image-spec 1.1, config.md) tells which file is the program, and how
 * it is started. It may come from anywhere: number and size of everything in it are limited, and a
 * string with a NUL character is an error.
 */
struct container_config {
    char *architecture, *os;
    struct strv entrypoint, cmd, env, diff_ids;
    char *working_dir;
    char *exposed_ports; /* JSON: container_tcp_port() */
};

#define CONTAINER_LAYER_LIMIT 256

/* "BadImage" (-EINVAL). */
int container_config_decode(const struct buf *text, struct container_config *ret, struct err *e);
void container_config_done(struct container_config *c);

/* The program's word: the first of Entrypoint, or else of Cmd; "" without any. */
const char *container_program_word(const struct container_config *c);

/* The lowest TCP port of ExposedPorts, whose members have no order; 0: none. */
uint16_t container_tcp_port(const struct container_config *c);

/* The file in it, heap: `FILE#FUNCTION` names a function, as runwasi has it. */
char *container_program_file(const struct container_config *c);

/*
 * How it is started. Without Entrypoint the first word of Cmd counts as one, so that the arguments
 * of a caller do not replace the program. Variables without a name or '=' are left out, as docker
 * does; of several with one name the last counts.
 */
void container_command(const struct container_config *c, struct guest_command *ret);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/socket.h>

#include "base/options.h"

/* What http_load is asked for. */

struct load_options {
    bool is_help;
    struct option_number connections, duration_ms, requests, rate, body_bytes, status, pipeline,
        timeout_ms;
    const char *path, *host, *expect_body;
    bool is_close, is_json, is_echo;

    struct sockaddr_storage address; /* of the target: loopback or a unix socket */
    socklen_t address_len;
};

/* Returns 1 when only help is wanted. *o was zeroed; it points into argv. */
int load_options_parse(int argc, char **argv, struct load_options *o, struct err *e);
void load_options_done(struct load_options *o);

void load_options_help(void); /* on standard output */

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine/serve.h"

/*
 * A stand-in for the serving part of the engine: it listens to nothing. Tests make requests out of
 * a list of headers, and see what a CGI head was made of.
 */
struct fake_header {
    const char *name, *value; /* a NULL name ends the list */
};

/* What engine_request.headers points to is such a list. */

struct engine_cgi_head {
    unsigned status;
    char lines[4096]; /* "name: value\n" each */
};

/* References to a service that were given and not given back. */
int fake_service_refs(void);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/text.h"
#include "base/util.h"
#include "guest/serve_spec.h"

/*
 * Which program answers a request. The longest path that begins the request's path, at a '/', wins;
 * among equal paths the one that names the request's host. A lookup takes time in proportion to the
 * path's length, however many routes there are.
 */
struct routes;

/* What the apps point to must live as long as the routes. "BadSpec" for two equal ones. */
int routes_new(const struct serve_app *apps, size_t n_apps, struct routes **ret, struct err *e);
void routes_free(struct routes *r);
DEFINE_AUTO(routes);

/* The app's place in the list, or -1. `path` is without the query, `host` may have a port. Safe in
 * many threads. */
ssize_t routes_find(const struct routes *r, struct text host, struct text path);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/util.h"
#include "engine/serve.h"

/*
 * What is counted of requests, for each program. Every thread counts for itself, without a lock;
 * whoever asks adds up.
 */
struct figures;

/* For `n_apps` programs and, behind them, requests that no program got. */
struct figures *figures_new(unsigned n_threads, size_t n_apps);
void figures_free(struct figures *f);
DEFINE_AUTO(figures);

/* By the thread of that number only. `app` may be n_apps. */
void figures_add(struct figures *f, unsigned thread, size_t app, const struct engine_record *r);

/* How many were added, of all programs and of none. */
uint64_t figures_requests(const struct figures *f);

/*
 * The page of a Prometheus scrape: requests by status class, failures by reason, a histogram of
 * durations, guest time and bytes for each of `names` (n_apps of them), and the server's own.
 */
void figures_page(const struct figures *f, const char *const *names,
                  const struct engine_server_figures *server, uint64_t log_lines_lost,
                  struct buf *out);

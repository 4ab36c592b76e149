/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "toolbox/wasi.h"

/*
 * A connection by TCP, in the WebAssembly program only: wasi-libc of WASI 0.1 has no sockets, so
 * this speaks to WASI 0.2's. Which addresses and names may be had, the host decides for each.
 */

struct net_connection {
    wasi_handle socket, input, output;
    wasi_handle input_ready, output_ready; /* to wait for */
};

/* Tries all addresses that the host's name has, each for `timeout_ns` at most (0: no limit). False
 * with words for people in *ret_why when none answers. */
bool net_connect(const char *host, uint16_t port, uint64_t timeout_ns, struct net_connection *ret,
                 const char **ret_why);
void net_close(struct net_connection *c);

/* Waits for the first of at most 4, or until `timeout_ns` (0: no limit) has passed: then it returns
 * false. */
bool net_wait(const wasi_handle *pollables, size_t n, uint64_t timeout_ns, bool *ret_ready);

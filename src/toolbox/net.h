/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
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

/* Adds what is there: how many bytes; 0 at the end; -EAGAIN, -ECONNRESET. */
ssize_t net_take(struct net_connection *c, struct buf *into);
/* Waits for more, which is added to `into`: how many bytes; 0 at the end; -ECONNRESET, -ETIMEDOUT.
 */
ssize_t net_receive(struct net_connection *c, uint64_t timeout_ns, struct buf *into);
/* Hands what it can of the first bytes over, at once: how many; -EPIPE. */
ssize_t net_send(struct net_connection *c, const char *data, size_t len);
/* All before is on its way; or nothing will be any more. */
bool net_has_sent(struct net_connection *c);

/* Waits for the first of at most 4, or until `timeout_ns` (0: no limit) has passed: then it returns
 * false. */
bool net_wait(const wasi_handle *pollables, size_t n, uint64_t timeout_ns, bool *ret_ready);

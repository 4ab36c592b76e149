/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

/*
 * The texts of WebSocket's opening handshake (RFC 6455, section 4): pure functions for
 * websocket.c.
 */

#define WEBSOCKET_KEY_SIZE    25 /* base 64 of 16 bytes, and a NUL */
#define WEBSOCKET_ACCEPT_SIZE 29 /* base 64 of 20 bytes, and a NUL */

void websocket_key_new(char ret[static WEBSOCKET_KEY_SIZE]);
bool websocket_key_is_good(const char *key);
void websocket_accept_value(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE]);

/* Whether a list as of the Connection header has the token, in any case of letters. */
bool websocket_list_has(struct text list, const char *token);

/* The first of `protocols` that is in the list of the client; NULL without one. */
const char *websocket_protocol_choose(const char *const *protocols, const char *offered);

/*
 * Checks the head of the server's answer, to its empty line, against the key and the protocols that
 * were sent. *ret_protocol is of `protocols`, or NULL. "BadHandshake" (-EPROTO), with the status
 * when the server refused.
 */
int websocket_answer_check(struct text head, const char *key, const char *const *protocols,
                           const char **ret_protocol, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "image/credentials.h"

/*
 * Programs that keep credentials: docker-credential-NAME in PATH, asked by an argument and standard
 * input, answering on standard output (docker-credential-helpers, "Development"). Their standard
 * error is the caller's, as with docker and podman; some ask for a passphrase there.
 *
 * The calls wait for the program, which is ended after `timeout_ms`. What it says may be at most
 * CREDENTIAL_HELPER_LIMIT_BYTES. Errors name program, registry and what to do:
 *
 * "BadHelper" (-EINVAL): a name with a slash in it, or an answer that is not of the protocol.
 * "HelperMissing" (-ENOENT). "HelperFailed" (-EIO): it could not start, failed, or said too much.
 * "HelperTimeout" (-ETIMEDOUT).
 */
#define CREDENTIAL_HELPER_LIMIT_BYTES (64 << 10)
#define CREDENTIAL_HELPER_TIMEOUT_MS  30000

struct credential_helper {
    const char *name;   /* NAME */
    const char *server; /* the registry as the helper knows it (ServerURL) */
    const char *file;   /* the file that named the helper, for messages */
    int64_t timeout_ms;
};

/* 1 with *ret filled, which the caller releases; 0 when the helper has none. */
int credential_helper_get(const struct credential_helper *h, struct credential *ret, struct err *e);

int credential_helper_store(const struct credential_helper *h, const struct credential *c,
                            struct err *e);

/* 1 when the helper forgot them, 0 when it had none. */
int credential_helper_erase(const struct credential_helper *h, struct err *e);

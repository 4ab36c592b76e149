/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "image/registry.h"
#include "wire/http.h"

/* How a client of one repository shows who it is. Its functions may be called by several threads.
 */
struct registry_auth;

/* Of the options the credentials count, which are in `authfile` and `registries`. */
struct registry_auth *registry_auth_new(const struct reference *r,
                                        const struct registry_options *o);
void registry_auth_free(struct registry_auth *a);

/* Uses these credentials, which have to outlive it, instead of those that are kept. */
struct credential;
void registry_auth_offer(struct registry_auth *a, const struct credential *c);

/* The value of the Authorization header to send; NULL for none. Heap, a secret. */
char *registry_auth_header(struct registry_auth *a);

/*
 * Answers a 401 to a request that was sent with `sent` (NULL: without): gets what it asks for, from
 * the credentials of this user, or anonymously, unless another thread has already. "Unauthorized"
 * when that is no use. `is_plain`: the registry is spoken to without TLS; only then may a token be
 * fetched without.
 */
int registry_auth_answer(struct registry_auth *a, struct http *h,
                         const struct http_response *response, const char *sent, bool is_plain,
                         struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/text.h"

/*
 * What a registry asks for when it answers 401: the header field WWW-Authenticate (RFC 9110,
 * sections 11.6.1, 11.2 and 5.6), with the parameters that the token authentication of registries
 * uses (distribution, "Token Authentication Specification"). The field comes from a stranger.
 */
#define CHALLENGE_LIMIT_BYTES 8192 /* of one field value */
#define CHALLENGE_LIMIT       16   /* challenges in one list */
#define CHALLENGE_PARAM_LIMIT 32   /* parameters of one challenge */

/* Each string is NULL when the challenge does not have it, and may be empty when it does. Quotes
 * and escapes are gone; other parameters, and a token68, are checked and left out. */
struct challenge {
    char *scheme; /* as it was written; compare without regard to case */
    char *realm, *service, *scope, *error;
};

struct challenges {
    struct challenge *v;
    size_t n;
};

/*
 * Appends the challenges of one field value to *list, which begins as {0}. The field may be there
 * several times, and one value may hold several challenges or none.
 *
 * "BadChallenge" (-EINVAL), with the column in the value: what is no challenge, a parameter given
 * twice, or more than the limits above. *list is left as it was then.
 */
int challenges_parse(struct text value, struct challenges *list, struct err *e);

void challenges_done(struct challenges *list);

/* Without regard to case: challenge_is(c, "Bearer"). */
bool challenge_is(const struct challenge *c, const char *scheme);

/* The one to answer: the first Bearer that says where tokens are (its realm), otherwise the first
 * Basic, otherwise NULL. Points into the list. */
const struct challenge *challenges_best(const struct challenges *list);

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as WWW-Authenticate: an error, or challenges that read back the same when they are
 * written with every value quoted. */
#include "base/err.h"
#include "base/util.h"
#include "image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void param_add(struct buf *out, const char *name, const char *value, const char **separator)
{
    if (!value)
        return;
    buf_addf(out, "%s%s=\"", *separator, name);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *value);
    }
    buf_addc(out, '"');
    *separator = ", ";
}

static void challenge_add(struct buf *out, const struct challenge *c)
{
    const char *separator = " ";

    buf_addf(out, "%s%s", out->len ? ", " : "", c->scheme);
    param_add(out, "realm", c->realm, &separator);
    param_add(out, "service", c->service, &separator);
    param_add(out, "scope", c->scope, &separator);
    param_add(out, "error", c->error, &separator);
}

static void assert_same(const char *a, const char *b)
{
    BUG_ON(!a != !b || (a && !str_eq(a, b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct challenges list = {0}, again = {0};
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    if (challenges_parse((struct text){(const char *)data, size}, &list, &e) < 0) {
        BUG_ON(e.code != -EINVAL || !*e.msg || list.n);
        challenges_done(&list);
        return 0;
    }
    BUG_ON(list.n > CHALLENGE_LIMIT);
    for (size_t i = 0; i < list.n; i++)
        challenge_add(&out, &list.v[i]);
    /* Quotes may make it longer than is allowed. */
    if (out.len <= CHALLENGE_LIMIT_BYTES) {
        BUG_ON(challenges_parse((struct text){out.data, out.len}, &again, &e) < 0);
        BUG_ON(again.n != list.n);
        for (size_t i = 0; i < list.n; i++) {
            assert_same(list.v[i].scheme, again.v[i].scheme);
            assert_same(list.v[i].realm, again.v[i].realm);
            assert_same(list.v[i].service, again.v[i].service);
            assert_same(list.v[i].scope, again.v[i].scope);
            assert_same(list.v[i].error, again.v[i].error);
        }
        BUG_ON(!challenges_best(&list) != !challenges_best(&again));
    }
    challenges_done(&list);
    challenges_done(&again);
    return 0;
}

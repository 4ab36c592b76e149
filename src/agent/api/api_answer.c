/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "agent/api/api_parts.h"
#include "agent/api/api_status.h"

/* Our reasons, and what Kubernetes calls them and by which code (apimachinery, pkg/api/errors). */
static const struct {
    const char *ours, *theirs;
    unsigned code;
} codes[] = {
    {"BadRequest",           "BadRequest",            400},
    {"BadYaml",              "BadRequest",            400},
    {"BadSelector",          "BadRequest",            400},
    {"Forbidden",            "Forbidden",             403},
    {"NotFound",             "NotFound",              404},
    {"MethodNotAllowed",     "MethodNotAllowed",      405},
    {"AlreadyExists",        "AlreadyExists",         409},
    {"Conflict",             "Conflict",              409},
    {"Expired",              "Expired",               410},
    {"TooLarge",             "RequestEntityTooLarge", 413},
    {"UnsupportedMediaType", "UnsupportedMediaType",  415},
    {"Invalid",              "Invalid",               422},
    {"BadManifest",          "Invalid",               422},
    {"Duplicate",            "Invalid",               422},
    {"NotSupported",         "Invalid",               422},
    {"UnknownKind",          "Invalid",               422},
    {"StateBusy",            "TooManyRequests",       429},
    {"NotImplemented",       "NotImplemented",        501},
    {"StateFull",            "StateFull",             507},
};

static size_t code_find(const char *reason)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(codes) && !str_eq(codes[i].ours, reason))
        i++;
    return i;
}

static unsigned code_of(const char *reason)
{
    size_t i = code_find(reason);

    return i < ARRAY_SIZE(codes) ? codes[i].code : 500;
}

void api_status_write(const struct err *e, struct buf *out)
{
    size_t i = code_find(e->reason);

    api_status_failure(e->msg, i < ARRAY_SIZE(codes) ? codes[i].theirs : e->reason,
                       code_of(e->reason), out);
}

void api_count(struct api *a, unsigned status)
{
    if (status < ARRAY_SIZE(a->answers))
        a->answers[status]++;
}

void api_answer(struct api_call *c, unsigned status, const char *type, const void *body, size_t len)
{
    api_count(c->api, status);
    http_exchange_respond(take_ptr(c->x), status, type, body, len);
}

void api_answer_error(struct api_call *c, const struct err *e)
{
    autobuf body = BUF_INIT;

    api_status_write(e, &body);
    api_answer(c, code_of(e->reason), API_JSON, body.data, body.len);
}

void api_answer_fail(struct api_call *c, const char *reason, const char *fmt, ...)
{
    struct err e = {.code = -EINVAL, .reason = reason};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
    va_end(ap);
    api_answer_error(c, &e);
}

void api_answer_success(struct api_call *c)
{
    static const char text[] =
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\"}";

    api_answer(c, 200, API_JSON, text, sizeof(text) - 1);
}

int api_query_int(const struct http_exchange *x, const char *key, int64_t otherwise, int64_t min,
                  int64_t *ret, struct err *e)
{
    const char *text = http_exchange_query(x, key);
    long long n;
    char *end;

    if (!text || !*text) {
        *ret = otherwise;
        return 0;
    }
    errno = 0;
    n = strtoll(text, &end, 10);
    if (*end || errno || n < min)
        return err_set(e, -EINVAL, "BadRequest",
                       "'%.60s' of %s is no whole number of at least %lld", text, key,
                       (long long)min);
    *ret = n;
    return 0;
}

bool api_query_bool(const struct http_exchange *x, const char *key)
{
    const char *text = http_exchange_query(x, key);

    return text &&
           (str_eq(text, "1") || str_eq(text, "true") || str_eq(text, "True") || str_eq(text, ""));
}

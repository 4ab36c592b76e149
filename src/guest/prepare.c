/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/prepare.h"

#include "base/digest.h"
#include "base/json.h"
#include "guest/contract.h"

static const struct json_field fields[] = {
    JSON_FIELD("contract", FIELD_STRING, struct prepare_answer, contract),
    JSON_FIELD("code", FIELD_STRING, struct prepare_answer, code),
    JSON_FIELD("reason", FIELD_STRING, struct prepare_answer, reason),
    JSON_FIELD("message", FIELD_STRING, struct prepare_answer, message),
    JSON_FIELD("worker", FIELD_STRING, struct prepare_answer, worker),
    {0},
};

void prepare_answer_done(struct prepare_answer *a)
{
    json_fields_done(fields, a);
}

void prepare_answer_encode(const struct prepare_answer *a, struct buf *ret)
{
    const struct {
        const char *key, *value;
    } rows[] = {
        {"contract", a->contract},
        {"code",     a->code    },
        {"reason",   a->reason  },
        {"message",  a->message },
        {"worker",   a->worker  },
    };
    struct err ignored = ERR_INIT; /* of a text that is not UTF-8, which is left out */
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].value)
            json_key_str(&w, rows[i].key, rows[i].value);
    json_end_object(&w);
    json_writer_finish(&w, &ignored);
    buf_addstr(ret, "\n");
}

static bool is_key(const char *s)
{
    return strlen(s) == DIGEST_HEX_SIZE - 1 && s[strspn(s, "0123456789abcdef")] == '\0';
}

static bool is_whole(const struct prepare_answer *a)
{
    if (a->reason)
        return a->message && !a->contract && !a->code;
    return a->contract && a->code && is_key(a->code) &&
           contract_parse(a->contract) != CONTRACT_UNKNOWN;
}

int prepare_answer_decode(const char *json, size_t len, struct prepare_answer *a, struct err *e)
{
    struct json_limits limits = {.bytes = PREPARE_ANSWER_LIMIT_BYTES, .depth = 2};
    struct prepare_answer decoded = {0};

    TRY(json_decode(json, len, limits, fields, 0, &decoded, e));
    if (!is_whole(&decoded)) {
        prepare_answer_done(&decoded);
        return err_set(e, -EINVAL, "BadAnswer",
                       "it names neither a program's contract and code nor what went wrong");
    }
    *a = decoded;
    return 0;
}

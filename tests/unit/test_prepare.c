/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker answers about a program, and the words that programs tell each other. */
#include "unit.h"

#include "guest/contract.h"
#include "guest/prepare.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void an_answer_is_the_same_behind_its_line(void **state)
{
    const struct prepare_answer answers[] = {
        {.contract = (char *)"p2-http", .code = (char *)KEY, .worker = (char *)"w"},
        {.reason = (char *)"NotWasm",                             .message = (char *)"it is \"text\"\n"                     },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        autobuf line = BUF_INIT, again = BUF_INIT;
        struct prepare_answer back = {0};
        struct err e = ERR_INIT;

        prepare_answer_encode(&answers[i], &line);
        assert_ptr_equal(strchr(buf_str(&line), '\n'), buf_str(&line) + line.len - 1);
        assert_ok(prepare_answer_decode(buf_str(&line), line.len, &back, &e));
        prepare_answer_encode(&back, &again);
        assert_string_equal(buf_str(&line), buf_str(&again));
        prepare_answer_done(&back);
    }
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"contract\":\"p1-command\"}",
        "{\"code\":\"" KEY "\"}",
        "{\"contract\":\"p1-command\",\"code\":\"../../../../../../../../../../../etc/passwd\"}",
        "{\"contract\":\"p1-command\",\"code\":\"" KEY "0\"}",
        "{\"contract\":\"p1-command\",\"code\":\"\"}",
        "{\"contract\":\"unknown\",\"code\":\"" KEY "\"}",
        "{\"contract\":\"p9-future\",\"code\":\"" KEY "\"}",
        "{\"reason\":\"NotWasm\"}",
        "{\"reason\":\"NotWasm\",\"message\":\"a\",\"code\":\"" KEY "\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct prepare_answer a = {0};
        struct err e = ERR_INIT;

        if (prepare_answer_decode(texts[i], strlen(texts[i]), &a, &e) >= 0)
            fail_msg("accepted: %s", texts[i]);
        assert_null(a.code);
    }
}

static void every_contract_has_a_word_that_stands_for_it(void **state)
{
    (void)state;
    for (int c = CONTRACT_UNKNOWN; c <= CONTRACT_P3_HTTP; c++)
        assert_int_equal(contract_parse(contract_word((enum contract)c)), c);
    assert_int_equal(contract_parse("no such"), CONTRACT_UNKNOWN);
    assert_string_equal(contract_word(CONTRACT_P3_HTTP), "p3-http");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_the_same_behind_its_line),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(every_contract_has_a_word_that_stands_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

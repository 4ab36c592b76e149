/* SPDX-License-Identifier: Apache-2.0 */
/* Texts from the W3C specification and its test suite. */
#include "unit.h"

#include <pthread.h>

#include "base/util.h"
#include "worker/http/trace_context.h"

#define IDS "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static void test_reads_and_writes(void **state)
{
    static const uint8_t parent[] = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
    static const char text[] = "00-" IDS "-01";
    char again[TRACE_CONTEXT_SIZE];
    struct trace_context t;

    (void)state;
    assert_true(trace_context_parse(text, strlen(text), &t));
    assert_int_equal(t.trace_id[0], 0x4b);
    assert_int_equal(t.trace_id[15], 0x36);
    assert_memory_equal(t.parent_id, parent, sizeof(parent));
    assert_int_equal(t.flags, TRACE_SAMPLED);
    trace_context_format(&t, again);
    assert_string_equal(again, text);
    assert_int_equal(strlen(again), TRACE_CONTEXT_SIZE - 1);
    assert_memory_equal(again + TRACE_ID_OFFSET, IDS, TRACE_ID_LENGTH);
}

static void test_flags_that_are_known_pass(void **state)
{
    static const struct {
        const char *text;
        unsigned flags;
    } cases[] = {
        {"00-" IDS "-00", 0                           },
        {"00-" IDS "-03", TRACE_SAMPLED | TRACE_RANDOM},
        {"00-" IDS "-ff", TRACE_SAMPLED | TRACE_RANDOM},
        {"01-" IDS "-ff", TRACE_SAMPLED               },
        {"cc-" IDS "-02", 0                           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct trace_context t;

        assert_true(trace_context_parse(cases[i].text, strlen(cases[i].text), &t));
        assert_int_equal(t.flags, cases[i].flags);
    }
}

static void test_higher_versions_may_be_longer(void **state)
{
    struct trace_context t;

    (void)state;
    assert_true(trace_context_parse("cc-" IDS "-01-what-the-future", 73, &t));
    assert_true(trace_context_parse("cc-" IDS "-01-", 56, &t));
    assert_false(trace_context_parse("cc-" IDS "-01.what", 60, &t));
    assert_false(trace_context_parse("00-" IDS "-01-what", 60, &t));
    assert_false(trace_context_parse("00-" IDS "-01-", 56, &t));
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" IDS,
        "00-" IDS "-0",
        "00-" IDS "-01 ",
        " 0-" IDS "-01",
        "ff-" IDS "-01",
        "0x-" IDS "-01",
        "00-" IDS "-0G",
        "00-" IDS "-.0",
        "00_" IDS "-01",
        "00-" IDS "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct trace_context t = {.flags = 77};

        assert_false(trace_context_parse(bad[i], strlen(bad[i]), &t));
        assert_int_equal(t.flags, 77);
    }
}

static void test_a_child_stays_in_its_trace(void **state)
{
    struct trace_context first, second, child;
    char text[TRACE_CONTEXT_SIZE];

    (void)state;
    trace_context_start(&first);
    trace_context_start(&second);
    assert_memory_not_equal(first.trace_id, second.trace_id, sizeof(first.trace_id));
    assert_int_equal(first.flags, TRACE_SAMPLED);
    trace_context_format(&first, text);
    assert_true(trace_context_parse(text, strlen(text), &second));
    assert_memory_equal(&first, &second, sizeof(first));
    second.flags = 0;
    trace_context_child(&second, &child);
    assert_memory_equal(child.trace_id, first.trace_id, sizeof(first.trace_id));
    assert_memory_not_equal(child.parent_id, first.parent_id, sizeof(first.parent_id));
    assert_int_equal(child.flags, 0);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, REQUEST_ID_SIZE);
}

#define IDS_EACH 5000
static char ids[2][IDS_EACH][REQUEST_ID_SIZE];

static void *ids_make(void *to)
{
    char(*id)[REQUEST_ID_SIZE] = to;

    for (size_t i = 0; i < IDS_EACH; i++)
        request_id_make(id[i]);
    return NULL;
}

static void test_threads_make_different_ids(void **state)
{
    pthread_t thread;
    char *all = ids[0][0];

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, ids_make, ids[1]), 0);
    ids_make(ids[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    qsort(all, 2 * (size_t)IDS_EACH, REQUEST_ID_SIZE, compare);
    for (size_t i = 0; i < 2 * (size_t)IDS_EACH; i++) {
        const char *id = all + i * REQUEST_ID_SIZE;

        assert_int_equal(strspn(id, "0123456789abcdef"), 16);
        assert_int_equal(id[16], 0);
        if (i)
            assert_true(compare(id - REQUEST_ID_SIZE, id) < 0);
    }
}

static void test_request_ids_of_clients(void **state)
{
    static const char *const good[] = {"a", "0011223344556677", "A.b_c-9",
                                       "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"};
    static const char *const bad[] = {"",         "a b", "a\n", "a\"b", "a\\b",
                                      "\xc3\xbc", "a/b", "{a}", "a:b",  "a,b"};
    char longest[REQUEST_ID_LIMIT + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(request_id_is_sane(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(request_id_is_sane(bad[i], strlen(bad[i])));
    assert_false(request_id_is_sane("a\0b", 3));
    memset(longest, 'x', sizeof(longest));
    assert_true(request_id_is_sane(longest, REQUEST_ID_LIMIT));
    assert_false(request_id_is_sane(longest, REQUEST_ID_LIMIT + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes),
        cmocka_unit_test(test_flags_that_are_known_pass),
        cmocka_unit_test(test_higher_versions_may_be_longer),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_a_child_stays_in_its_trace),
        cmocka_unit_test(test_threads_make_different_ids),
        cmocka_unit_test(test_request_ids_of_clients),
    };
    return cmocka_run_group_tests_name("trace_context", tests, NULL, NULL);
}

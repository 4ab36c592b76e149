/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "pod/runtime/last_words.h"

static const char *tail(const char *log, bool is_cut)
{
    static struct buf out;

    buf_clear(&out);
    log_tail_text(log, strlen(log), is_cut, &out);
    return buf_str(&out);
}

static void lines_lose_what_the_log_adds(void **state)
{
    (void)state;
    assert_string_equal(tail("2026-11-27T00:00:00Z stdout F one two\n"
                             "2026-11-27T00:00:00Z stderr F \n"
                             "2026-11-27T00:00:00Z stderr F three\n",
                             false),
                        "one two\n\nthree\n");
}

static void parts_of_a_line_are_joined(void **state)
{
    (void)state;
    assert_string_equal(tail("T stdout P one\nT stdout F two\n", false), "onetwo\n");
}

static void a_first_line_that_was_cut_and_a_last_one_without_an_end_are_left_out(void **state)
{
    (void)state;
    assert_string_equal(tail("out F one\nT stdout F two\nT stdout F thr", true), "two\n");
}

static void what_is_no_line_of_a_log_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(
        tail("\nword\nT stdout X one\nT stdout FF two\nT stdout F\nT out F x\n", false), "x\n");
    assert_string_equal(tail("", false), "");
}

static void only_the_last_lines_and_bytes_count(void **state)
{
    autobuf log = BUF_INIT;
    const char *text;
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        buf_addf(&log, "T stdout F line %d\n", i);
    text = tail(buf_str(&log), false);
    assert_int_equal(strncmp(text, "line 20\n", 8), 0);
    for (const char *s = text; (s = strchr(s, '\n')); s++)
        n++;
    assert_int_equal(n, LOG_TAIL_LINES);

    buf_clear(&log);
    buf_addstr(&log, "T stdout F a");
    for (int i = 0; i < 2000; i++)
        buf_addstr(&log, "\xc3\xa4");
    buf_addstr(&log, "\n");
    text = tail(buf_str(&log), false);
    assert_true(strlen(text) <= LOG_TAIL_BYTES);
    assert_true(strlen(text) > LOG_TAIL_BYTES - 4);
    assert_int_equal((unsigned char)text[0], 0xc3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_lose_what_the_log_adds),
        cmocka_unit_test(parts_of_a_line_are_joined),
        cmocka_unit_test(a_first_line_that_was_cut_and_a_last_one_without_an_end_are_left_out),
        cmocka_unit_test(what_is_no_line_of_a_log_is_left_out),
        cmocka_unit_test(only_the_last_lines_and_bytes_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

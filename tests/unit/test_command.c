/* SPDX-License-Identifier: Apache-2.0 */
/* How the image of a container says that its program is started, and what a run makes of it. */
#include "unit.h"

#include "guest/command.h"
#include "guest/spec.h"

/* "a b c" */
static void words_add(struct strv *s, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, " ");

        strv_addn(s, text, len);
        text += len + (text[len] == ' ');
    }
}

static void assert_words(const struct strv *s, const char *wanted)
{
    autobuf joined = BUF_INIT;

    for (size_t i = 0; i < s->n; i++)
        buf_addf(&joined, "%s%s", i ? " " : "", s->v[i]);
    assert_string_equal(buf_str(&joined), wanted);
}

/* The image's, what the user gave, and what becomes of both. */
struct run {
    const char *entrypoint, *cmd, *function, *args, *invoke, *wanted_args, *wanted_invoke;
};

static void assert_run(const struct run *r)
{
    struct guest_command c = {.function = r->function ? xstrdup(r->function) : NULL};
    struct guest_spec s;

    guest_spec_init(&s);
    words_add(&c.entrypoint, r->entrypoint);
    words_add(&c.cmd, r->cmd);
    words_add(&s.args, r->args);
    s.invoke = r->invoke ? xstrdup(r->invoke) : NULL;
    guest_command_apply(&c, &s);
    assert_words(&s.args, r->wanted_args);
    assert_string_equal(s.invoke ? s.invoke : "", r->wanted_invoke ? r->wanted_invoke : "");
    guest_command_done(&c);
    guest_spec_done(&s);
}

static void test_arguments(void **state)
{
    static const struct run runs[] = {
        {"/a -v",  "b c", NULL, "name",   NULL, "/a -v b c", NULL},
        {"/a -v",  "b c", NULL, "name d", NULL, "/a -v d",   NULL},
        {"/a",     "",    NULL, "name",   NULL, "/a",        NULL},
        {"/a#f x", "1 2", "f",  "name",   NULL, "x 1 2",     "f" },
        {"/a#f",   "1 2", "f",  "name 3", NULL, "3",         "f" },
        {"/a#f",   "1 2", "f",  "5",      "g",  "5",         "g" },
    };
    static const struct run of_no_container = {"", "", NULL, "name d", NULL, "name d", NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        assert_run(&runs[i]);
    assert_run(&of_no_container);
}

static void test_variables(void **state)
{
    struct guest_command c = {0};
    struct guest_spec s;

    (void)state;
    guest_spec_init(&s);
    words_add(&c.entrypoint, "/a");
    words_add(&c.env, "A=1 B=2 C=3");
    words_add(&s.args, "name");
    words_add(&s.env, "B= D=4 AB=5");
    guest_command_apply(&c, &s);
    assert_words(&s.env, "A=1 B= C=3 D=4 AB=5");
    guest_command_done(&c);
    guest_spec_done(&s);
}

static void test_as_text(void **state)
{
    struct guest_command c = {.function = xstrdup("f")}, back = {0};
    autobuf text = BUF_INIT, again = BUF_INIT, shown = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    strv_add(&c.entrypoint, "/a b");
    strv_add(&c.cmd, "\x1b[2J\n\"");
    strv_add(&c.env, "A=\xc3\xa4");
    json_writer_init(&w, &text, false);
    guest_command_encode(&c, &w);
    assert_ok(json_writer_finish(&w, &e));
    assert_ok(guest_command_decode(text.data, text.len, &back, &e));
    json_writer_init(&w, &again, false);
    guest_command_encode(&back, &w);
    assert_ok(json_writer_finish(&w, &e));
    assert_string_equal(text.data, again.data);
    guest_command_describe(&back, 10, &shown);
    assert_string_equal(shown.data, "Command:   [\"/a b\"]\n"
                                    "Arguments: [\"\\u001b[2J\\n\\\"\"]\n"
                                    "Variables: [\"A=\xc3\xa4\"]\n"
                                    "Function:  [\"f\"]\n");
    guest_command_done(&back);
    assert_fails(guest_command_decode("{}", 2, &back, &e), -EINVAL, "BadSpec");
    assert_contains(e.msg, "entrypoint");
    guest_command_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

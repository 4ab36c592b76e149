/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/options.h"

struct target {
    bool is_help, is_flag;
    int verbosity;
    const char *name, *output;
    struct strv list;
    struct option_number count, size, time;
};

static const char *const formats[] = {"text", "json", NULL};

#define AT(field_) .offset = offsetof(struct target, field_)
static const struct option_spec table[] = {
    {.name = "flag",        .short_name = 'f', .type = OPTION_FLAG, .help = "h", AT(is_flag)},
    {.name = "verbose",  .short_name = 'v', .type = OPTION_COUNT, .help = "h", AT(verbosity)},
    {.name = "name",
     .short_name = 'n',
     .type = OPTION_STRING,
     .arg_name = "N",
     .help = "h",
     AT(name)},
    {.name = "output",
     .type = OPTION_STRING,
     .arg_name = "F",
     .help = "h",
     .default_text = "text",
     .complete = COMPLETE_WORDS,
     .words = formats,
     AT(output)},
    {.name = "list",
     .short_name = 'l',
     .type = OPTION_STRINGS,
     .arg_name = "L",
     .help = "h",
     AT(list)},
    {.name = "count",
     .type = OPTION_INT,
     .arg_name = "C",
     .help = "h",
     .default_text = "5",
     .min = 0,
     .max = 10,
     AT(count)},
    {.name = "memory",        .type = OPTION_SIZE, .arg_name = "S", .help = "h", AT(size)},
    {.name = "time", .type = OPTION_DURATION_MS, .arg_name = "D", .help = "h", AT(time)},
    OPTION_HELP_ROW(struct target, is_help),
    {0          },
};

static const struct option_positional positionals[] = {
    {.name = "FILE", .help = "h"},
    {0             }
};

static const struct command_spec run = {
    .name = "run",
    .summary = "run",
    .usage = "[options] FILE",
    .options = table,
    .positionals = positionals,
    .positionals_min = 1,
    .positionals_max = -1,
    .is_stopped_by_positional = true,
};
static const struct command_spec anywhere = {
    .name = "any",
    .summary = "any",
    .usage = "[options] [A] [B]",
    .options = table,
    .positionals_max = 2,
};

/* Parses a line split at spaces ("_" stands for an empty argument). */
static int parse(const struct command_spec *c, const char *line, struct target *t,
                 struct strv *operands, struct err *e)
{
    char copy[512], *argv[32] = {(char *)"cmd"}, *save = NULL;
    int argc = 1;

    memset(t, 0, sizeof(*t));
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        /* Strings point into argv, so they are kept until the process ends. */
        static char kept[512][64];
        static size_t used;

        snprintf(kept[used % 512], 64, "%s", str_eq(word, "_") ? "" : word);
        argv[argc++] = kept[used++ % 512];
    }
    return options_parse(c, argc, argv, t, operands, e);
}

static void test_forms(void **state)
{
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    struct target t;

    (void)state;
    assert_ok(parse(&run,
                    "-fvv --name=x --list a -lb --list=c --memory 64Mi --time 1.5s --count 0 "
                    "--output json FILE --flag -x",
                    &t, &operands, &e));
    assert_true(t.is_flag);
    assert_int_equal(t.verbosity, 2);
    assert_string_equal(t.name, "x");
    assert_int_equal(t.list.n, 3);
    assert_string_equal(t.list.v[1], "b");
    assert_int_equal(t.size.value, 64 << 20);
    assert_int_equal(t.time.value, 1500);
    assert_true(t.count.is_set);
    assert_int_equal(t.count.value, 0);
    assert_string_equal(t.output, "json");
    assert_int_equal(operands.n, 3);
    assert_string_equal(operands.v[0], "FILE");
    assert_string_equal(operands.v[1], "--flag");
    options_done(&run, &t);
}

static void test_absent_and_zero(void **state)
{
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    struct target t;

    (void)state;
    assert_ok(parse(&run, "--time 0 FILE", &t, &operands, &e));
    assert_true(t.time.is_set);
    assert_int_equal(t.time.value, 0);
    assert_false(t.size.is_set);
    assert_false(t.count.is_set);
    assert_int_equal(t.count.value, 5);
    assert_string_equal(t.output, "text");
    assert_null(t.name);
    options_done(&run, &t);
}

static void test_ends_of_options(void **state)
{
    autostrv operands = STRV_INIT;
    autostrv other = STRV_INIT;
    autostrv third = STRV_INIT;
    struct err e = ERR_INIT;
    struct target t;

    (void)state;
    assert_ok(parse(&run, "-- -f", &t, &operands, &e));
    assert_false(t.is_flag);
    assert_string_equal(operands.v[0], "-f");
    options_done(&run, &t);
    assert_ok(parse(&anywhere, "a -f -", &t, &other, &e));
    assert_true(t.is_flag);
    assert_int_equal(other.n, 2);
    assert_string_equal(other.v[1], "-");
    options_done(&run, &t);
    assert_ok(parse(&run, "--name _ FILE -- x", &t, &third, &e));
    assert_string_equal(t.name, "");
    /* Behind FILE everything is the guest's, "--" too. */
    assert_int_equal(third.n, 3);
    assert_string_equal(third.v[1], "--");
    options_done(&run, &t);
}

static void test_complaints(void **state)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"--memroy 5 F",
         "run: unknown option '--memroy'; did you mean '--memory'? See 'wherry run --help'."         },
        {"--zzzzzz F",                     "run: unknown option '--zzzzzz'. See 'wherry run --help'."},
        {"-z F",                           "run: unknown option '-z'."                               },
        {"--memory",                       "option '--memory' needs a value: --memory S"             },
        {"-n",                             "option '--name' needs a value"                           },
        {"--flag=1 F",                     "option '--flag' takes no value"                          },
        {"--memory 5x F",                  "option '--memory': '5x' is not a size"                   },
        {"--time x F",                     "option '--time': 'x' is not a duration"                  },
        {"--count 11 F",                   "'11' is not between 0 and 10"                            },
        {"--count -1 F",                   "'-1' is not between"                                     },
        {"--count 1x F",                   "'1x' is not a whole number"                              },
        {"--count 99999999999999999999 F", "out of range"                                            },
        {"--output xml F",                 "'xml' is not one of text, json"                          },
        {"-f",                             "run: FILE is missing; usage: wherry run [options] FILE"  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autostrv operands = STRV_INIT;
        struct err e = ERR_INIT;
        struct target t;

        assert_fails(parse(&run, rows[i].line, &t, &operands, &e), -EINVAL, "BadUsage");
        assert_contains(e.msg, rows[i].message);
        options_done(&run, &t);
    }
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    struct target t;
    assert_fails(parse(&anywhere, "1 2 3", &t, &operands, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "unexpected argument '3'");
}

static void test_help_wins(void **state)
{
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    struct target t;

    (void)state;
    assert_ok(parse(&run, "-f --help --nonsense", &t, &operands, &e));
    assert_true(t.is_help);
}

static void test_suggestions(void **state)
{
    static const char *const words[] = {"run", "compile", "inspect", "version", NULL};

    (void)state;
    assert_string_equal(options_suggest("rnu", words), "run");
    assert_string_equal(options_suggest("complie", words), "compile");
    assert_string_equal(options_suggest("insp", words), "inspect");
    assert_null(options_suggest("zebra", words));
    assert_null(options_suggest("", words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),           cmocka_unit_test(test_absent_and_zero),
        cmocka_unit_test(test_ends_of_options), cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_help_wins),       cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}

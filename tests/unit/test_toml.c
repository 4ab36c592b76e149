/* SPDX-License-Identifier: Apache-2.0 */
/* TOML as far as it is read. */
#include "unit.h"

#include "base/buf.h"
#include "base/toml.h"

/* The tree as one line: what it holds, in its order. */
static void show(const struct toml *t, struct buf *out)
{
    if (t->key)
        buf_addf(out, "%s=", t->key);
    if (t->type == TOML_STRING)
        buf_addf(out, "'%s'", t->string);
    else if (t->type == TOML_BOOL)
        buf_addstr(out, t->is_true ? "true" : "false");
    else if (t->type == TOML_INTEGER)
        buf_addf(out, "#%s", t->string);
    if (t->type != TOML_ARRAY && t->type != TOML_TABLE)
        return;
    buf_addc(out, t->type == TOML_ARRAY ? '[' : '{');
    for (size_t i = 0; i < t->n; i++) {
        buf_addstr(out, i ? " " : "");
        show(&t->items[i], out);
    }
    buf_addc(out, t->type == TOML_ARRAY ? ']' : '}');
}

static void test_texts(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"",                                                        "{}"                             },
        {"# nothing\n\n  # more\r\n",                               "{}"                             },
        {"a = \"x\"",                                               "{a='x'}"                        },
        {"a='x' # behind\nb=true\r\n c = false",                    "{a='x' b=true c=false}"         },
        {"a = \"\\t\\\"\\\\\\u00e9\\U0001F600\"",                   "{a='\t\"\\\u00e9\U0001F600'}"   },
        {"a = 'c:\\x' # '",                                         "{a='c:\\x'}"                    },
        {"'a b' = ''\n\"c\\u0064\"='e'",                            "{a b='' cd='e'}"                },
        {"a.b.c = 'x'\na.b.d = 'y'\na . e='z'",                     "{a={b={c='x' d='y'} e='z'}}"    },
        {"a = [ 'x', # one\n\n 'y' ,\n]",                           "{a=['x' 'y']}"                  },
        {"a = 1\nb = -1_000 # x\nc = [0, +7]\nd = -0",              "{a=#1 b=#-1000 c=[#0 #7] d=#-0}"},
        {"a = 999_999_999_999_999_999",                             "{a=#999999999999999999}"        },
        {"a = []\nb = [[], ['x']]",                                 "{a=[] b=[[] ['x']]}"            },
        {"a = { b = 'x', c.d = [true] }\ne={}",                     "{a={b='x' c={d=[true]}} e={}}"  },
        {"[a]\nb='x'\n[c.d]\n[c]\ne='y'",                           "{a={b='x'} c={d={} e='y'}}"     },
        {"[[a]]\nb='x'\n[[a.c]]\nd='y'\n[[a.c]]\n[[a]]\n[ a . e ]",
         "{a=[{b='x' c=[{d='y'} {}]} {e={}}]}"                                                       },
        {"[a]\nb.c='x'\n[a.b.d]\ne='y'",                            "{a={b={c='x' d={e='y'}}}}"      },
        {"\xef\xbb\xbf"
         "a='x'",                                          "{a='x'}"                        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = ERR_INIT;
        autobuf out = BUF_INIT;
        autotoml t = {0};

        assert_ok(toml_parse(text_of(cases[i].text), "f", &t, &e));
        show(&t, &out);
        assert_string_equal(buf_str(&out), cases[i].shown);
    }
}

static const struct {
    const char *text, *said;
} refused[] = {
    {"\n\na = x",                "f:3: the value is neither"              },
    {"a = 1979-05-27",           "f:1: of numbers only whole decimal ones"},
    {"a = 1.5",                  "f:1: of numbers only whole decimal ones"},
    {"a = 0x1f",                 "f:1: of numbers only whole decimal ones"},
    {"a = 1e5",                  "f:1: of numbers only whole decimal ones"},
    {"a = 07:32:00",             "f:1: of numbers only whole decimal ones"},
    {"a = +",                    "f:1: of numbers only whole decimal ones"},
    {"a = -inf",                 "f:1: of numbers only whole decimal ones"},
    {"a = 07",                   "f:1: a number must not begin with 0"    },
    {"a = 1__0",                 "f:1: in a number '_'"                   },
    {"a = 1_",                   "f:1: in a number '_'"                   },
    {"a = 1000000000000000000",  "f:1: a number of more than 18 digits"   },
    {"a = truex",                "f:1: the value is neither"              },
    {"a = true.5",               "f:1: the value is neither"              },
    {"a =",                      "f:1: the value is neither"              },
    {"a = \"\"\"x\"\"\"",        "several lines"                          },
    {"a = '''x'''",              "several lines"                          },
    {"a = \"x\nb = \"y\"",       "f:1: a string without its closing quote"},
    {"a = \"x",                  "f:1: a string without its closing quote"},
    {"a = \"\\x\"",              "unknown escape"                         },
    {"a = \"\\u00\"",            "four hexadecimal"                       },
    {"a = \"\\ud800\"",          "cannot have"                            },
    {"a = \"\\u0000\"",          "cannot have"                            },
    {"a = \"\\U00110000\"",      "cannot have"                            },
    {"a = \"\x01\"",             "control character"                      },
    {"# \x01",                   "control character"                      },
    {"a\n",                      "'a' is followed by no '='"              },
    {"= 'x'",                    "a key is expected"                      },
    {"a. = 'x'",                 "a key is expected"                      },
    {"a = 'x' b = 'y'",          "same line"                              },
    {"a = 'x'\na = 'y'",         "f:2: 'a' is there twice"                },
    {"a.b = 'x'\na = 'y'",       "f:2: 'a' is there twice"                },
    {"a = 'x'\na.b = 'y'",       "f:2: 'a' is there already"              },
    {"a = {b = 'x'}\na.c = 'y'", "f:2: 'a' is there already"              },
    {"a = {b = 'x',\nc = 'y'}",  "f:1"                                    },
    {"a = {b = 'x', }",          "a key is expected"                      },
    {"a = ['x' 'y']",            "',' or ']'"                             },
    {"a = ['x'",                 "',' or ']'"                             },
    {"[a]\n[a]",                 "f:2: 'a' is there already"              },
    {"[a]\n[[a]]",               "f:2: 'a' is there already"              },
    {"[[a]]\n[a]",               "f:2: 'a' is there already"              },
    {"a = []\n[[a]]",            "f:2: 'a' is there already"              },
    {"a = {}\n[a.b]",            "f:2: 'a' is there already"              },
    {"a = 'x'\n[a.b]",           "f:2: 'a' is there already"              },
    {"[a.b]\n[a]\nb.c = 'x'",    "f:3: 'b' is there already"              },
    {"[a]\nb.c = 'x'\n[a.b]",    "f:3: 'b' is there already"              },
    {"[a",                       "without ']'"                            },
    {"[[a]",                     "without ']]'"                           },
    {"[]",                       "a key is expected"                      },
    {"[a] b = 'x'",              "same line"                              },
    {"a = \"\xff\"",             "UTF-8"                                  },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct err e = ERR_INIT;
        struct toml t = {0};

        assert_fails(toml_parse(text_of(refused[i].text), "f", &t, &e), -EINVAL, "BadToml");
        assert_contains(e.msg, refused[i].said);
    }
}

static void test_limits(void **state)
{
    autobuf deep = BUF_INIT, dotted = BUF_INIT, many = BUF_INIT, large = BUF_INIT;
    struct buf *all[] = {&deep, &dotted, &many, &large};

    (void)state;
    buf_addstr(&deep, "a = ");
    for (int i = 0; i < 100000; i++) {
        buf_addc(&deep, '[');
        buf_addstr(&dotted, "a.");
    }
    buf_addstr(&dotted, "a = 'x'");
    buf_addstr(&many, "a = [");
    for (int i = 0; i <= TOML_ITEMS_LIMIT; i++)
        buf_addstr(&many, "'',");
    for (unsigned i = 0; i <= TOML_LIMIT_BYTES; i++)
        buf_addc(&large, '#');
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct err e = ERR_INIT;
        struct toml t = {0};

        assert_fails(toml_parse((struct text){all[i]->data, all[i]->len}, "f", &t, &e), -EINVAL,
                     "BadToml");
    }
}

static void test_lines(void **state)
{
    struct err e = ERR_INIT;
    autotoml t = {0};
    const struct toml *a;

    (void)state;
    assert_ok(toml_parse(text_of("\n[[a]]\nb = 'x'\n\n[[a]]\nb =\t['y',\n'z']\n"), "f", &t, &e));
    a = toml_find(&t, "a");
    assert_non_null(a);
    assert_int_equal(a->items[0].line, 2);
    assert_int_equal(toml_find(&a->items[0], "b")->line, 3);
    assert_int_equal(a->items[1].line, 5);
    assert_int_equal(a->items[1].items[0].items[1].line, 7);
    assert_null(toml_find(&t, "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}

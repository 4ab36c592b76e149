/* SPDX-License-Identifier: Apache-2.0 */
/* One table for the command line, the environment and a file. */
#include "unit.h"

#include "base/config.h"
#include "base/fds.h"
#include "base/paths.h"

struct target {
    bool is_help, is_quiet;
    int verbose;
    const char *file, *listen, *mode;
    struct strv labels;
    struct option_number pods, memory, grace, retries;
};

static const char *const modes[] = {"pod", "tenant", NULL};
#define ROW(name_, type_, field_)                                                                  \
    .name = (name_), .type = (type_), .help = "x", .offset = offsetof(struct target, field_)
static const struct option_spec rows[] = {
    OPTION_HELP_ROW(struct target, is_help),
    {ROW("config",                OPTION_STRING, file)},
    {ROW("listen",                      OPTION_STRING, listen), .default_text = "localhost:80"},
    {ROW("isolation",                OPTION_STRING, mode), .complete = COMPLETE_WORDS, .words = modes},
    {ROW("label",                    OPTION_STRINGS, labels)},
    {ROW("max-pods",                           OPTION_INT, pods), .default_text = "110", .min = 1, .max = 500},
    {ROW("memory",OPTION_SIZE, memory)},
    {ROW("grace", OPTION_DURATION_MS, grace), .default_text = "30s"},
    {ROW("quiet",                           OPTION_FLAG, is_quiet)},
    {ROW("verbose",OPTION_COUNT, verbose), .short_name = 'v'},
    {0                          },
};
static const struct command_spec spec = {.name = "agent", .usage = "[options]", .options = rows};
static const struct config_source source = {"WHERRY_AGENT_", "agent.toml", "config"};

/* Parsed from one text of words, with a file of this text if there is one. */
struct parsed {
    struct config config;
    struct target t;
    struct strv operands, words;
    char *dir, *path;
};

static int parse(struct parsed *p, const char *file, const char *words, struct err *e)
{
    *p = (struct parsed){.dir = unit_temp_dir()};
    p->path = path_join(p->dir, "a.toml");
    strv_add(&p->words, "agent");
    if (file) {
        assert_int_equal(file_write(p->path, file, strlen(file), 0600, 0, e), 0);
        strv_addf(&p->words, "--config=%s", p->path);
    }
    while (*words) {
        size_t len = strcspn(words, " ");

        strv_addn(&p->words, words, len);
        words += len + (words[len] == ' ');
    }
    return config_parse(&spec, &source, (int)p->words.n, p->words.v, &p->t, &p->config,
                        &p->operands, e);
}

static void parsed_done(struct parsed *p)
{
    options_done(&spec, &p->t);
    config_done(&p->config);
    strv_done(&p->operands);
    strv_done(&p->words);
    free(p->path);
    unit_remove(p->dir);
}
#define autoparsed __attribute__((cleanup(parsed_done))) struct parsed

static const char *origin(const struct parsed *p, const char *name)
{
    for (size_t i = 0; i < p->config.n; i++)
        if (str_eq(rows[i].name, name))
            return p->config.rows[i].origin;
    return NULL;
}

static void assert_from_file(const struct parsed *p, const char *name, unsigned line)
{
    autofree char *where = xasprintf("%s:%u", p->path, line);

    assert_string_equal(origin(p, name), where);
}

static int environment_clear(void **state)
{
    (void)state;
    for (size_t i = 0; rows[i].name; i++) {
        autofree char *name = xasprintf("WHERRY_AGENT_%s", rows[i].name);

        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        unsetenv(name);
    }
    return 0;
}

static void without_anything_the_defaults_are_in_force(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(parse(&p, NULL, "", &e));
    assert_string_equal(p.t.listen, "localhost:80");
    assert_int_equal(p.t.pods.value, 110);
    assert_false(p.t.pods.is_set);
    assert_int_equal(p.t.labels.n, 0);
    assert_string_equal(origin(&p, "listen"), "default");
    assert_string_equal(origin(&p, "memory"), "default");
}

static void the_flag_beats_the_environment_beats_the_file(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_AGENT_LISTEN", "env:1", 1);
    setenv("WHERRY_AGENT_MAX_PODS", "20", 1);
    assert_ok(parse(&p, "# mine\nlisten = 'file:1'\nmax-pods = 30\nmemory = '1Mi'\n",
                    "--listen flag:1", &e));
    assert_string_equal(p.t.listen, "flag:1");
    assert_string_equal(origin(&p, "listen"), "flag");
    assert_int_equal(p.t.pods.value, 20);
    assert_true(p.t.pods.is_set);
    assert_string_equal(origin(&p, "max-pods"), "environment WHERRY_AGENT_MAX_PODS");
    assert_int_equal(p.t.memory.value, 1 << 20);
    assert_from_file(&p, "memory", 4);
    assert_string_equal(origin(&p, "grace"), "default");
    assert_string_equal(origin(&p, "config"), "flag");
}

static void the_file_has_every_type(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(parse(&p,
                    "listen = 'a'\nisolation = \"tenant\"\nlabel = ['a=b',\n 'c,d']\nmax-pods = '7'"
                    "\nmemory = 65_536\ngrace = '1m'\nquiet = true\nverbose = 2\n",
                    "", &e));
    assert_string_equal(p.t.mode, "tenant");
    assert_int_equal(p.t.labels.n, 2);
    assert_string_equal(p.t.labels.v[1], "c,d");
    assert_int_equal(p.t.pods.value, 7);
    assert_int_equal(p.t.memory.value, 65536);
    assert_int_equal(p.t.grace.value, 60000);
    assert_true(p.t.is_quiet);
    assert_int_equal(p.t.verbose, 2);
    assert_from_file(&p, "label", 3);
    assert_from_file(&p, "quiet", 8);
}

static void the_environment_has_every_type(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_AGENT_LABEL", "a=b,c=d", 1);
    setenv("WHERRY_AGENT_QUIET", "false", 1);
    setenv("WHERRY_AGENT_VERBOSE", "1", 1);
    setenv("WHERRY_AGENT_GRACE", "90s", 1);
    setenv("WHERRY_AGENT_LISTEN", "", 1);
    assert_ok(parse(&p, "quiet = true\nlabel = ['x']", "", &e));
    assert_int_equal(p.t.labels.n, 2);
    assert_string_equal(p.t.labels.v[1], "c=d");
    assert_false(p.t.is_quiet);
    assert_string_equal(origin(&p, "quiet"), "environment WHERRY_AGENT_QUIET");
    assert_int_equal(p.t.verbose, 1);
    assert_int_equal(p.t.grace.value, 90000);
    assert_string_equal(origin(&p, "listen"), "default");
}

static void the_environment_can_name_the_file(void **state)
{
    autoparsed p, named;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(parse(&named, "listen = 'file:1'", "", &e));
    setenv("WHERRY_AGENT_CONFIG", named.path, 1);
    assert_ok(parse(&p, NULL, "", &e));
    assert_string_equal(p.t.listen, "file:1");
    assert_string_equal(origin(&p, "config"), "environment WHERRY_AGENT_CONFIG");
}

static void what_is_wrong_in_the_file_is_said_with_its_line(void **state)
{
    static const struct {
        const char *file, *said;
    } cases[] = {
        {"\nlisen = 'x'",           ":2: unknown key 'lisen'; did you mean 'listen'?"  },
        {"nothing-like-it = 'x'",   ":1: unknown key 'nothing-like-it'"                },
        {"[listen]",                ":1: 'listen' has to be a string"                  },
        {"[section]\nlisten = 'x'", ":1: unknown key 'section'"                        },
        {"listen = 1",              ":1: 'listen' has to be a string"                  },
        {"label = 'x'",             ":1: 'label' has to be an array of strings"        },
        {"label = ['x', true]",     ":1: 'label' has to be an array of strings"        },
        {"quiet = 'true'",          ":1: 'quiet' has to be true or false"              },
        {"max-pods = true",         ":1: 'max-pods' has to be a whole number"          },
        {"memory = []",             ":1: 'memory' has to be a string or a whole number"},
        {"max-pods = 501",          ":1: 'max-pods': '501' is not between 1 and 500"   },
        {"\n\nmax-pods = 'x'",      ":3: 'max-pods': 'x' is not a whole number"        },
        {"isolation = 'x'",         ":1: 'isolation': 'x' is not one of pod, tenant"   },
        {"verbose = 10",            ":1: 'verbose': '10' is not a number from 0 to 9"  },
        {"config = 'x'",            ":1: 'config' cannot be set in a file"             },
        {"help = true",             ":1: 'help' cannot be set in a file"               },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autoparsed p;
        autofree char *said = NULL;
        struct err e = ERR_INIT;

        assert_fails(parse(&p, cases[i].file, "", &e), -EINVAL, "BadConfig");
        said = xasprintf("%s%s", p.path, cases[i].said);
        assert_string_equal(e.msg, said);
    }
}

static void what_is_no_toml_is_said_with_its_line(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(parse(&p, "listen = 'x'\nlisten = 'y'", "", &e), -EINVAL, "BadToml");
    assert_contains(e.msg, "a.toml:2: 'listen' is there twice");
}

/* A mistake is said, whatever wins. */
static void a_key_is_checked_by_name_even_if_a_flag_wins(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(parse(&p, "listn = 'x'", "--listen a", &e), -EINVAL, "BadConfig");
}

static void what_is_wrong_in_the_environment_names_the_variable(void **state)
{
    autoparsed p, q, r;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_AGENT_MAX_PODS", "many", 1);
    assert_fails(parse(&p, NULL, "", &e), -EINVAL, "BadConfig");
    assert_string_equal(e.msg, "environment WHERRY_AGENT_MAX_PODS: 'many' is not a whole number");
    assert_ok(parse(&q, NULL, "--max-pods 3", &e));
    unsetenv("WHERRY_AGENT_MAX_PODS");
    setenv("WHERRY_AGENT_QUIET", "yes", 1);
    assert_fails(parse(&r, NULL, "", &e), -EINVAL, "BadConfig");
    assert_string_equal(e.msg, "environment WHERRY_AGENT_QUIET: 'yes' is neither true nor false");
}

static void a_named_file_has_to_be_there(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(parse(&p, NULL, "--config /nowhere/agent.toml", &e), -ENOENT);
    assert_contains(e.msg, "/nowhere/agent.toml");
}

static void help_looks_at_nothing_else(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_AGENT_MAX_PODS", "many", 1);
    assert_ok(parse(&p, "lisen = 'x'", "--help", &e));
    assert_true(p.t.is_help);
}

static void the_command_line_fails_as_ever(void **state)
{
    autoparsed p;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(parse(&p, NULL, "--lisen x", &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "did you mean '--listen'?");
}

static void it_is_shown_as_a_table(void **state)
{
    autoparsed p;
    autobuf out = BUF_INIT;
    autofree char *expected = NULL;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_AGENT_LABEL", "a=b,c\033=d", 1);
    assert_ok(parse(&p, "memory = '64Mi'", "--listen x -vv", &e));
    config_show(&p.config, &p.t, false, &out);
    expected = xasprintf(
        "NAME       %-*s  ORIGIN\nconfig     %s  flag\nlisten     %-*s  flag\nisolation  %-*s  "
        "default\nlabel      %-*s  environment WHERRY_AGENT_LABEL\nmax-pods   %-*s  default\n"
        "memory     %-*s  %s:1\ngrace      %-*s  default\nquiet      %-*s  default\n"
        "verbose    %-*s  flag\n",
        (int)strlen(p.path), "VALUE", p.path, (int)strlen(p.path), "x", (int)strlen(p.path), "-",
        (int)strlen(p.path), "a=b,c?=d", (int)strlen(p.path), "110", (int)strlen(p.path),
        "67108864", p.path, (int)strlen(p.path), "30s", (int)strlen(p.path), "false",
        (int)strlen(p.path), "2");
    assert_string_equal(buf_str(&out), expected);
}

static void it_is_shown_as_json(void **state)
{
    autoparsed p;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(parse(&p, NULL, "--label a --label b\xff --quiet", &e));
    config_show(&p.config, &p.t, true, &out);
    assert_contains(buf_str(&out), "\"name\": \"listen\",\n    \"value\": \"localhost:80\",\n    "
                                   "\"origin\": \"default\"");
    assert_contains(buf_str(&out), "\"value\": null");
    assert_contains(buf_str(&out), "\"value\": [\n      \"a\",\n      \"b\xef\xbf\xbd\"\n    ]");
    assert_contains(buf_str(&out), "\"value\": 110");
    assert_contains(buf_str(&out), "\"value\": true");
    assert_contains(buf_str(&out), "\"value\": \"30s\"");
    assert_null(strstr(buf_str(&out), "help"));
}

static void the_file_of_others_than_root_is_in_their_home(void **state)
{
    autofree char *path = NULL, *xdg = NULL, *root = NULL;
    struct err e = ERR_INIT;

    (void)state;
    if (geteuid() == 0) {
        assert_ok(paths_config_file("agent.toml", &root, &e));
        assert_string_equal(root, "/etc/wherry/agent.toml");
        assert_int_equal(seteuid(65534), 0);
    }
    setenv("HOME", "/home/x", 1);
    unsetenv("XDG_CONFIG_HOME");
    assert_ok(paths_config_file("agent.toml", &path, &e));
    setenv("XDG_CONFIG_HOME", "/c", 1);
    assert_ok(paths_config_file("agent.toml", &xdg, &e));
    (void)!seteuid(getuid());
    assert_string_equal(path, "/home/x/.config/wherry/agent.toml");
    assert_string_equal(xdg, "/c/wherry/agent.toml");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, environment_clear)
    const struct CMUnitTest tests[] = {
        TEST(without_anything_the_defaults_are_in_force),
        TEST(the_flag_beats_the_environment_beats_the_file),
        TEST(the_file_has_every_type),
        TEST(the_environment_has_every_type),
        TEST(the_environment_can_name_the_file),
        TEST(what_is_wrong_in_the_file_is_said_with_its_line),
        TEST(what_is_no_toml_is_said_with_its_line),
        TEST(a_key_is_checked_by_name_even_if_a_flag_wins),
        TEST(what_is_wrong_in_the_environment_names_the_variable),
        TEST(a_named_file_has_to_be_there),
        TEST(help_looks_at_nothing_else),
        TEST(the_command_line_fails_as_ever),
        TEST(it_is_shown_as_a_table),
        TEST(it_is_shown_as_json),
        TEST(the_file_of_others_than_root_is_in_their_home),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

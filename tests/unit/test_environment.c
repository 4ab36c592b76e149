/* SPDX-License-Identifier: Apache-2.0 */
/* The variables that a container gets, and what it is told of its pod. */
#include "unit.h"

#include "pod/environment.h"
#include "pod_objects.h"

static struct pod_spec spec;
static struct pod_fields fields;
static struct pod_container container;

static int setup(void **state)
{
    (void)state;
    spec = spec_default;
    fields = (struct pod_fields){.spec = &spec,
                                 .node_cpu_milli = 8000,
                                 .node_memory_bytes = 1000,
                                 .node_ephemeral_bytes = 7};
    container = containers[0];
    return 0;
}

static int teardown(void **state)
{
    strv_done(&fields.host_ips);
    strv_done(&fields.pod_ips);
    return objects_teardown(state);
}

static int make(struct pod_variable *v, size_t n, struct strv *env, struct strv *notes,
                struct err *e)
{
    container.variables = v;
    container.n_variables = n;
    return environment_make(&fields, &container, &lookup, env, notes, e);
}

/* The variables, one in a line, HOSTNAME last. */
static char *made(struct pod_variable *v, size_t n)
{
    autostrv env = STRV_INIT, notes = STRV_INIT;
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;

    assert_ok(make(v, n, &env, &notes, &e));
    assert_int_equal(notes.n, 0);
    for (size_t i = 0; i < env.n; i++)
        buf_addf(&out, "%s\n", env.v[i]);
    return buf_take(&out);
}

#define assert_made(v, text)                                                                       \
    do {                                                                                           \
        autofree char *made_ = made((v), ARRAY_SIZE(v));                                           \
        assert_string_equal(made_, (text));                                                        \
    } while (0)

#define assert_refused(v, code_, text)                                                             \
    do {                                                                                           \
        autostrv env_ = STRV_INIT, notes_ = STRV_INIT;                                             \
        struct err e = ERR_INIT;                                                                   \
        assert_fails(make((v), ARRAY_SIZE(v), &env_, &notes_, &e), (code_),                        \
                     "CreateContainerConfigError");                                                \
        assert_contains(e.msg, (text));                                                            \
        assert_int_equal(env_.n, 0);                                                               \
    } while (0)

static void whole_objects_come_first_and_later_values_win(void **state)
{
    struct pod_variable v[] = {
        {.name = "A",                       .value = "own"},
        {.source = POD_VARIABLE_ALL_CONFIG, .object = "c" },
        {.source = POD_VARIABLE_ALL_SECRET, .object = "s",  .name = "P_"},
        {.name = "B",                                 .value = "$(P_X)-$(A)"                                    },
    };

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "A", "config");
    text_set(POD_OBJECT_CONFIG, "c", "C", "$(A)");
    text_set(POD_OBJECT_SECRET, "s", "X", "secret");
    assert_made(v, "A=own\nC=$(A)\nP_X=secret\nB=secret-own\nHOSTNAME=pod\n");
}

static void keys_that_are_no_names_are_skipped_and_told(void **state)
{
    struct pod_variable v[] = {
        {.source = POD_VARIABLE_ALL_CONFIG, .object = "c"}
    };
    autostrv env = STRV_INIT, notes = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "1a", "x");
    text_set(POD_OBJECT_CONFIG, "c", "good", "x");
    text_set(POD_OBJECT_CONFIG, "c", "..", "x");
    assert_ok(make(v, 1, &env, &notes, &e));
    assert_int_equal(env.n, 2);
    assert_string_equal(env.v[0], "good=x");
    assert_int_equal(notes.n, 1);
    assert_string_equal(notes.v[0],
                        "Keys [1a, ..] from the EnvFrom configMap space/c were skipped since they "
                        "are considered invalid environment variable names.");
}

static void names_that_cannot_be_are_refused(void **state)
{
    static const char *const names[] = {"", "A=B", "A\n", "\xc3\xa4", NULL};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct pod_variable v[] = {
            {.name = names[i], .value = "x"}
        };

        assert_refused(v, -EINVAL, "a name has to be");
    }
    assert_made(((struct pod_variable[]){
                    {.name = "1-a.b c", .value = "x"}
    }),
                "1-a.b c=x\nHOSTNAME=pod\n");
}

static void what_is_missing_is_named(void **state)
{
    struct pod_variable key[] = {
        {.source = POD_VARIABLE_CONFIG_KEY, .name = "A", .object = "c", .key = "k"}
    };
    struct pod_variable secret[] = {
        {.source = POD_VARIABLE_SECRET_KEY, .name = "A", .object = "c", .key = "k"}
    };
    struct pod_variable all[] = {
        {.source = POD_VARIABLE_ALL_SECRET, .object = "none"}
    };
    struct pod_variable forbidden[] = {
        {.source = POD_VARIABLE_ALL_SECRET, .object = "forbidden"}
    };

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "other", "x");
    assert_refused(key, -ENOENT, "couldn't find key k in ConfigMap space/c");
    assert_refused(secret, -ENOENT, "secret \"c\" not found");
    assert_refused(all, -ENOENT, "secret \"none\" not found");
    assert_refused(forbidden, -EACCES, "secret 'forbidden' may not be read");
}

static void what_is_optional_may_be_missing(void **state)
{
    struct pod_variable v[] = {
        {.source = POD_VARIABLE_CONFIG_KEY,
         .name = "A",
         .object = "c",
         .key = "k",
         .is_optional = 1},
        {.source = POD_VARIABLE_SECRET_KEY,
         .name = "B",
         .object = "s",
         .key = "k",
         .is_optional = 1},
        {.source = POD_VARIABLE_ALL_SECRET,                     .object = "s",         .is_optional = true                                    },
    };

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "other", "x");
    assert_made(v, "HOSTNAME=pod\n");
}

static void binary_data_is_no_variable(void **state)
{
    struct pod_variable all[] = {
        {.source = POD_VARIABLE_ALL_CONFIG, .object = "c"}
    };
    struct pod_variable key[] = {
        {.source = POD_VARIABLE_CONFIG_KEY, .name = "A", .object = "c", .key = "k"}
    };
    struct pod_variable nul[] = {
        {.source = POD_VARIABLE_SECRET_KEY, .name = "A", .object = "s", .key = "nul"}
    };
    struct pod_variable bytes[] = {
        {.source = POD_VARIABLE_SECRET_KEY, .name = "A", .object = "s", .key = "bytes"}
    };

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "k", "x");
    objects[0]->keys[0].is_binary = true;
    key_set(POD_OBJECT_SECRET, "s", "nul", "a\0b", 3);
    key_set(POD_OBJECT_SECRET, "s", "bytes", "\xff", 1);
    assert_made(all, "HOSTNAME=pod\n");
    assert_refused(key, -ENOENT, "couldn't find key k in ConfigMap space/c");
    assert_refused(nul, -EINVAL, "variable 'A'");
    assert_refused(bytes, -EINVAL, "is not text");
}

static void references_are_replaced_as_kubernetes_does(void **state)
{
    static const char *const rows[][2] = {
        {"$(A)",     "a"      },
        {"$$(A)",    "$(A)"   },
        {"$$$(A)",   "$a"     },
        {"$(NONE)",  "$(NONE)"},
        {"$(A",      "$(A"    },
        {"$A",       "$A"     },
        {"$",        "$"      },
        {"x$",       "x$"     },
        {"$$",       "$"      },
        {"$($(A))",  "$($(A))"},
        {"$(A)$(B)", "ab=c"   },
        {"",         ""       },
        {"$()",      "$()"    },
        {"$(A)$(",   "a$("    },
    };
    autostrv env = STRV_INIT;

    (void)state;
    strv_add(&env, "A=a");
    strv_add(&env, "B=b=c");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autobuf out = BUF_INIT;
        struct err e = ERR_INIT;

        assert_ok(environment_expand(rows[i][0], &env, &out, &e));
        assert_string_equal(buf_str(&out), rows[i][1]);
    }
}

static void a_command_is_expanded_word_by_word(void **state)
{
    const char *words[] = {"run", "--name=$(A)", "$(NONE)"};
    struct pod_words w = {words, 3};
    autostrv env = STRV_INIT, out = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    strv_add(&env, "A=two words");
    assert_ok(environment_words(&w, &env, &out, &e));
    assert_int_equal(out.n, 3);
    assert_string_equal(out.v[1], "--name=two words");
    assert_string_equal(out.v[2], "$(NONE)");
}

static void a_path_with_an_unknown_variable_is_refused(void **state)
{
    autostrv env = STRV_INIT;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(environment_path("a/$(NONE)", &env, &out, &e), -EINVAL,
                 "CreateContainerConfigError");
    assert_contains(e.msg, "missing value for \"NONE\"");
}

static void later_variables_are_not_known_to_earlier_ones(void **state)
{
    struct pod_variable v[] = {
        {.name = "A", .value = "$(B) $(HOSTNAME)"},
        {.name = "B", .value = "$(A)"            }
    };

    (void)state;
    assert_made(v, "A=$(B) $(HOSTNAME)\nB=$(B) $(HOSTNAME)\nHOSTNAME=pod\n");
}

/* Ten doublings of doublings: without a limit this is 16 GiB. */
static void growth_by_references_is_limited(void **state)
{
    static const char *const names[] = {"A", "B", "C", "D", "E", "F", "G", "H"};
    struct pod_variable v[8] = {
        {.name = "A", .value = "0123456789abcdef"}
    };
    char values[8][128] = {{0}};

    (void)state;
    for (size_t i = 1; i < 8; i++) {
        for (size_t k = 0; k < 16; k++)
            snprintf(values[i] + strlen(values[i]), 8, "$(%s)", names[i - 1]);
        v[i] = (struct pod_variable){.name = names[i], .value = values[i]};
    }
    assert_refused(v, -E2BIG, "more than 1048576 bytes");
}

static void more_variables_than_the_limit_are_refused(void **state)
{
    struct pod_variable v[] = {
        {.source = POD_VARIABLE_ALL_CONFIG, .object = "c"}
    };
    static char names[ENVIRONMENT_LIMIT + 1][8];

    (void)state;
    for (size_t i = 0; i <= ENVIRONMENT_LIMIT; i++) {
        snprintf(names[i], sizeof(names[i]), "v%zu", i);
        text_set(POD_OBJECT_CONFIG, "c", names[i], "x");
    }
    assert_refused(v, -E2BIG, "more than 4096 variables");
}

static void the_hostname_is_the_pods_unless_said(void **state)
{
    struct pod_variable own[] = {
        {.name = "HOSTNAME", .value = "mine"}
    };

    (void)state;
    assert_made(own, "HOSTNAME=mine\n");
    spec.hostname = "host";
    assert_made(((struct pod_variable[]){
                    {.name = "A", .value = ""}
    }),
                "A=\nHOSTNAME=host\n");
    spec.is_host_network = true;
    assert_made(((struct pod_variable[]){
                    {.name = "A", .value = ""}
    }),
                "A=\nHOSTNAME=node-1\n");
    spec = spec_default;
    spec.name = "a123456789b123456789c123456789d123456789e123456789f123456789g1-more";
    assert_made(((struct pod_variable[]){
                    {.name = "A", .value = ""}
    }),
                "A=\nHOSTNAME=a123456789b123456789c123456789d123456789e123456789f123456789g1\n");
}

static void fields_of_the_pod_are_told(void **state)
{
    static const char *const rows[][2] = {
        {"metadata.name",               "pod"             },
        {"metadata.namespace",          "space"           },
        {"metadata.uid",                "11-22"           },
        {"metadata.labels['app']",      "w\xc3\xa4rme"    },
        {"metadata.labels['none']",     ""                },
        {"metadata.annotations['a/b']", "x\x01\\"         },
        {"spec.nodeName",               "node-1"          },
        {"spec.serviceAccountName",     "default"         },
        {"status.hostIP",               "10.0.0.1"        },
        {"status.hostIPs",              "10.0.0.1,fd00::1"},
        {"status.podIP",                ""                },
    };

    (void)state;
    strv_add(&fields.host_ips, "10.0.0.1");
    strv_add(&fields.host_ips, "fd00::1");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pod_variable v[] = {
            {.source = POD_VARIABLE_FIELD, .name = "A", .key = rows[i][0]}
        };
        autofree char *text = xasprintf("A=%s\nHOSTNAME=pod\n", rows[i][1]);

        assert_made(v, text);
    }
}

static void unknown_fields_are_refused(void **state)
{
    static const char *const paths[] = {"metadata.labels", "status.phase", "metadata.labels[a]",
                                        "metadata.labels['']", "spec"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct pod_variable v[] = {
            {.source = POD_VARIABLE_FIELD, .name = "A", .key = paths[i]}
        };

        assert_refused(v, -EINVAL, "unsupported fieldPath");
    }
}

static void all_labels_of_a_volume_are_escaped_lines(void **state)
{
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(pod_field_add(&fields, "metadata.labels", POD_FIELD_FILE, &out, &e));
    assert_string_equal(buf_str(&out), "app=\"w\xc3\xa4rme\"\nb=\"two \\\"words\\\"\\n\"");
    buf_clear(&out);
    assert_ok(pod_field_add(&fields, "metadata.annotations", POD_FIELD_FILE, &out, &e));
    assert_string_equal(buf_str(&out), "a/b=\"x\\x01\\\\\"");
    assert_fails(pod_field_add(&fields, "status.podIP", POD_FIELD_FILE, &out, &e), -EINVAL,
                 "BadFieldPath");
}

static void escapes_are_those_of_go(void **state)
{
    /* strconv.Quote("\x7f\u00a0\u200b\xff\xc3é\U000e0001\a\v😀") */
    static struct pod_pair pair = {"k", "\x7f\xc2\xa0\xe2\x80\x8b\xff\xc3\xc3\xa9\xf3\xa0\x80\x81"
                                        "\a\v\xf0\x9f\x98\x80"};
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    spec.labels = (struct pod_pairs){&pair, 1};
    assert_ok(pod_field_add(&fields, "metadata.labels", POD_FIELD_FILE, &out, &e));
    assert_string_equal(buf_str(&out), "k=\"\\x7f\\u00a0\\u200b\\xff\\xc3\xc3\xa9\\U000e0001\\a\\v"
                                       "\xf0\x9f\x98\x80\"");
}

static void resources_are_whole_numbers_rounded_up(void **state)
{
    static const struct {
        const char *container, *key;
        int64_t divisor;
        const char *value;
    } rows[] = {
        {NULL,    "limits.cpu",                 0,       "2"   },
        {NULL,    "limits.cpu",                 1,       "1250"},
        {NULL,    "limits.cpu",                 100,     "13"  },
        {NULL,    "requests.cpu",               1,       "1250"},
        {NULL,    "requests.memory",            1000000, "2"   },
        {NULL,    "limits.memory",              0,       "1000"},
        {NULL,    "limits.ephemeral-storage",   0,       "7"   },
        {NULL,    "requests.ephemeral-storage", 0,       "0"   },
        {"other", "limits.memory",              1 << 20, "64"  },
        {"other", "limits.cpu",                 0,       "8"   },
        {"other", "requests.cpu",               0,       "0"   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct pod_variable v[] = {
            {.source = POD_VARIABLE_RESOURCE,
             .name = "A",
             .object = rows[i].container,
             .key = rows[i].key,
             .divisor = rows[i].divisor}
        };
        autofree char *text = xasprintf("A=%s\nHOSTNAME=pod\n", rows[i].value);

        assert_made(v, text);
    }
}

static void unknown_resources_are_refused(void **state)
{
    struct pod_variable gpu[] = {
        {.source = POD_VARIABLE_RESOURCE, .name = "A", .key = "limits.gpu"}
    };
    struct pod_variable who[] = {
        {.source = POD_VARIABLE_RESOURCE, .name = "A", .key = "limits.cpu", .object = "none"}
    };

    (void)state;
    assert_refused(gpu, -EINVAL, "unsupported resource 'limits.gpu'");
    assert_refused(who, -EINVAL, "no container 'none'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whole_objects_come_first_and_later_values_win),
        TEST(keys_that_are_no_names_are_skipped_and_told),
        TEST(names_that_cannot_be_are_refused),
        TEST(what_is_missing_is_named),
        TEST(what_is_optional_may_be_missing),
        TEST(binary_data_is_no_variable),
        TEST(references_are_replaced_as_kubernetes_does),
        TEST(a_command_is_expanded_word_by_word),
        TEST(a_path_with_an_unknown_variable_is_refused),
        TEST(later_variables_are_not_known_to_earlier_ones),
        TEST(growth_by_references_is_limited),
        TEST(more_variables_than_the_limit_are_refused),
        TEST(the_hostname_is_the_pods_unless_said),
        TEST(fields_of_the_pod_are_told),
        TEST(unknown_fields_are_refused),
        TEST(all_labels_of_a_volume_are_escaped_lines),
        TEST(escapes_are_those_of_go),
        TEST(resources_are_whole_numbers_rounded_up),
        TEST(unknown_resources_are_refused),
    };
    return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}

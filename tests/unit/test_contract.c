/* SPDX-License-Identifier: Apache-2.0 */
/* Recognising what a program was built for, and naming who would offer what it misses. */
#include "unit.h"

#include "base/buf.h"
#include "base/strv.h"
#include "base/util.h"
#include "guest/contract.h"

static void test_decide(void **state)
{
    static const struct {
        bool is_component;
        const char *exports[3];
        enum contract contract;
    } rows[] = {
        {false, {"_start"},                                   CONTRACT_P1_COMMAND},
        {false, {"memory", "_start"},                         CONTRACT_P1_COMMAND},
        {false, {"_initialize", "add"},                       CONTRACT_P1_REACTOR},
        {false, {"_initialize", "_start"},                    CONTRACT_P1_COMMAND},
        {false, {"add"},                                      CONTRACT_LIBRARY   },
        {false, {"_started"},                                 CONTRACT_LIBRARY   },
        {false, {0},                                          CONTRACT_UNKNOWN   },
        {false, {"wasi:cli/run@0.2.0"},                       CONTRACT_LIBRARY   },
        {true,  {"wasi:cli/run@0.2.0"},                       CONTRACT_P2_COMMAND},
        {true,  {"wasi:cli/run@0.2.11"},                      CONTRACT_P2_COMMAND},
        {true,  {"wasi:cli/run@0.3.0"},                       CONTRACT_P3_COMMAND},
        {true,  {"wasi:cli/run@0.2.6", "wasi:cli/run@0.3.0"}, CONTRACT_P3_COMMAND},
        {true,  {"wasi:http/incoming-handler@0.2.3"},         CONTRACT_P2_HTTP   },
        {true,  {"wasi:http/handler@0.3.0"},                  CONTRACT_P3_HTTP   },
        {true,  {"_start"},                                   CONTRACT_LIBRARY   },
        {true,  {"wasi:cli/run@0.20.0"},                      CONTRACT_LIBRARY   },
        {true,  {0},                                          CONTRACT_UNKNOWN   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct artifact a = {.is_component = rows[i].is_component};
        autobuf why = BUF_INIT;

        for (size_t x = 0; x < 3 && rows[i].exports[x]; x++)
            artifact_export_add(&a, rows[i].exports[x], a.is_component ? "instance" : "func", "");
        if (contract_decide(&a, &why) != rows[i].contract)
            fail_msg("row %zu: %s", i, why.data);
        assert_contains(why.data, a.is_component ? "a component" : "a module");
        artifact_done(&a);
    }
}

static void test_imports(void **state)
{
    static const struct {
        bool is_component;
        const char *space, *name;
        const char *who; /* NULL: the engine has it */
    } rows[] = {
        {false, "wasi_snapshot_preview1",   "fd_write",                         NULL               },
        {false, "wasi_snapshot_preview1",   "sock_open",                        "WasmEdge"         },
        {false, "wasi_unstable",            "fd_write",                         "preview 0"        },
        {false, "wasi",                     "thread-spawn",                     "threads"          },
        {false, "wasix_32v1",               "fd_dup",                           "Wasmer"           },
        {false, "gojs",                     "runtime.wasmExit",                 "GOOS=wasip1"      },
        {false, "wbg",                      "__wbg_log",                        "wasm-bindgen"     },
        {false, "__wbindgen_placeholder__", "x",                                "wasm-bindgen"     },
        {false, "a",                        "b",                                "Emscripten"       },
        {false, "abc",                      "b",                                "does not know"    },
        {false, "env",                      "emscripten_memcpy",                "embeds the module"},
        {true,  NULL,                       "wasi:cli/environment@0.2.3",       NULL               },
        {true,  NULL,                       "wasi:filesystem/types@0.3.0",      NULL               },
        {true,  NULL,                       "wasi:cli/run@0.3.0-rc-2025-09-16", "release candidate"},
        {true,  NULL,                       "wasi:clocks/types@0.9.0",          "a version of WASI"},
        {true,  NULL,                       "wasi:io/streams",                  "draft"            },
        {true,  NULL,                       "wasi:http/types@0.2.3",            NULL               },
        {true,  NULL,                       "wasi:http/client@0.3.0",           NULL               },
        {true,  NULL,                       "wasi:http/incoming-handler@0.2.3", "HTTP component"   },
        {true,  NULL,                       "wasi:keyvalue/store@0.2.0-draft",  "key-value"        },
        {true,  NULL,                       "my:own/thing@1.0.0",               "another component"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct artifact a = {.is_component = rows[i].is_component};
        struct err e = ERR_INIT;
        const char *who;

        artifact_import_add(&a, rows[i].space, rows[i].name, a.is_component ? "instance" : "func",
                            "");
        who = contract_import_missing(&a, &a.imports[0]);
        if (!rows[i].who) {
            assert_null(who);
            assert_ok(contract_check_imports(&a, &e));
        } else {
            assert_contains(who ? who : rows[i].name, rows[i].who);
            assert_fails(contract_check_imports(&a, &e), -ENOEXEC, "UnknownImport");
            assert_contains(e.msg, rows[i].name);
        }
        artifact_done(&a);
    }
}

/* A file that imports very much fills neither memory nor the message. */
static void test_many_imports(void **state)
{
    struct artifact a = {0};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARTIFACT_ITEM_LIMIT + 10; i++)
        artifact_import_add(&a, "env", "some_function", "func", "");
    assert_int_equal(a.n_imports, ARTIFACT_ITEM_LIMIT);
    assert_true(a.is_cut);
    assert_fails(contract_check_imports(&a, &e), -ENOEXEC, "UnknownImport");
    assert_contains(e.msg, "and 99997 more");
    artifact_done(&a);
}

static void test_needs(void **state)
{
    struct artifact a = {0};
    autostrv needs = STRV_INIT;

    (void)state;
    artifact_import_add(&a, "wasi_snapshot_preview1", "path_open", "func", "");
    artifact_import_add(&a, "wasi_snapshot_preview1", "path_unlink_file", "func", "");
    artifact_import_add(&a, "wasi_snapshot_preview1", "random_get", "func", "");
    contract_needs(&a, &needs);
    assert_int_equal(needs.n, 2);
    assert_contains(needs.v[0], "--dir");
    assert_contains(needs.v[1], "random");
    artifact_done(&a);
}

static void test_names(void **state)
{
    (void)state;
    for (int c = CONTRACT_UNKNOWN; c <= CONTRACT_P3_HTTP; c++)
        assert_true(*contract_name((enum contract)c));
    assert_string_equal(contract_name(CONTRACT_P2_COMMAND), "WASI 0.2 command");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide),       cmocka_unit_test(test_imports),
        cmocka_unit_test(test_many_imports), cmocka_unit_test(test_needs),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}

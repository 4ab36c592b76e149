/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/fds.h"
#include "image/container.h"
#include "image/layer_write.h"
#include "image/layers.h"

#define PROGRAM "\0asm\1\0\0\0"
#define MIB     (1 << 20)

/* A program of `size` bytes, and a layer with it as "app.wasm". */
struct made {
    int program, layer, out;
    struct digest diff_id;
};

static void make(struct made *m, size_t size)
{
    autofree char *bytes = xcalloc(1, size);
    struct err e = ERR_INIT;
    char name[LAYER_NAME_SIZE];

    memcpy(bytes, PROGRAM, size < 8 ? size : 8);
    assert_ok(memfd_from("program", bytes, size, &m->program, &e));
    m->layer = memfd_create("layer", MFD_CLOEXEC);
    m->out = memfd_create("out", MFD_CLOEXEC);
    layer_name("/somewhere/app.wasm", name);
    assert_ok(layer_write(m->program, name, m->layer, &m->diff_id, &e));
}

static void made_done(struct made *m)
{
    close(m->program);
    close(m->layer);
    close(m->out);
}

static const struct layers_limits wide = {
    .program_bytes = 64 * MIB, .content_bytes = 64 * MIB, .free_bytes = 64 * MIB, .ratio = 1000};

static int extract(const struct made *m, struct layers_limits limits, struct err *e)
{
    struct layers l = {.fds = &m->layer, .diff_ids = &m->diff_id, .n = 1, .limits = limits};
    int r;

    *e = ERR_INIT;
    strv_add(&l.paths, "/nothing.wasm");
    strv_add(&l.paths, "/app.wasm");
    r = layers_program_extract(&l, m->out, e);
    strv_done(&l.paths);
    return r;
}

static void test_round_trip(void **state)
{
    struct digest wanted, found, again;
    struct err e;
    struct made m, n;

    (void)state;
    make(&m, 3 * MIB + 17);
    assert_ok(extract(&m, wide, &e));
    assert_ok(digest_fd(m.program, &wanted, &e));
    assert_ok(digest_fd(m.out, &found, &e));
    assert_memory_equal(&wanted, &found, sizeof(found));

    make(&n, 3 * MIB + 17);
    assert_ok(digest_fd(m.layer, &found, &e));
    assert_ok(digest_fd(n.layer, &again, &e));
    assert_memory_equal(&found, &again, sizeof(again));
    made_done(&m);
    made_done(&n);
}

static void test_limits(void **state)
{
    struct layers_limits l = wide;
    struct err e;
    struct made m;

    (void)state;
    make(&m, 2 * MIB);
    l.program_bytes = 2 * MIB - 1;
    assert_fails(extract(&m, l, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "the program has more than 1 MiB");
    l = wide;
    l.content_bytes = MIB;
    assert_fails(extract(&m, l, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "layer 1 of 1: the layers have more than the 1 MiB");
    l = wide;
    l.free_bytes = MIB;
    l.ratio = 100;
    assert_fails(extract(&m, l, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "more than 100 times its size");
    l.ratio = 10000;
    assert_ok(extract(&m, l, &e));
    m.diff_id.bytes[0] ^= 1;
    assert_fails(extract(&m, wide, &e), -EBADMSG, "DigestMismatch");
    close(m.out);
    m.out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    m.diff_id.bytes[0] ^= 1;
    assert_fails(extract(&m, wide, &e), -ENOSPC, "DiskFull");
    made_done(&m);
}

/* Cut anywhere, it is an error and nothing worse. */
static void test_cut(void **state)
{
    struct err e;
    struct made m;
    off_t size;

    (void)state;
    make(&m, 5000);
    size = lseek(m.layer, 0, SEEK_END);
    while (size-- > 0) {
        assert_int_equal(ftruncate(m.layer, size), 0);
        assert_true(extract(&m, wide, &e) < 0);
        assert_true(str_eq(e.reason, "BadImage") || str_eq(e.reason, "DigestMismatch"));
    }
    made_done(&m);
}

static void test_names(void **state)
{
    static const char *const names[][2] = {
        {"hello.wasm",         "hello.wasm"      },
        {"a/b/hello",          "hello.wasm"      },
        {"x.component.wasm",   "x.component.wasm"},
        {"x.wat",              "x.wat.wasm"      },
        {"a b\n\xc3\xa4.wasm", "a_b___.wasm"     },
        {".wasm",              ".wasm"           },
    };
    char name[LAYER_NAME_SIZE], longest[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        layer_name(names[i][0], name);
        assert_string_equal(name, names[i][1]);
    }
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    layer_name(longest, name);
    assert_int_equal(strlen(name), LAYER_NAME_SIZE - 1);
    assert_string_equal(name + LAYER_NAME_SIZE - 7, "x.wasm");
}

/* ---- The config ---- */

static void assert_paths(const char *json, const char *variant, const char *wanted)
{
    struct image_wasm said = {.variant = (char *)(uintptr_t)variant};
    struct container_config c = {0};
    autobuf text = BUF_INIT, joined = BUF_INIT;
    autostrv paths = STRV_INIT;
    struct err e = ERR_INIT;

    buf_addstr(&text, json);
    assert_ok(container_config_decode(&text, &c, &e));
    if (container_paths(&c, &said, &paths, &e) < 0)
        buf_addf(&joined, "%s: %s", e.reason, e.msg);
    for (size_t i = 0; i < paths.n; i++)
        buf_addf(&joined, "%s%s", i ? " " : "", paths.v[i]);
    assert_string_equal(buf_str(&joined), wanted);
    container_config_done(&c);
}

static void test_entry_point(void **state)
{
#define WASM   "\"architecture\":\"wasm\",\"os\":\"wasi\",\"config\":"
#define NATIVE "\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":"
    struct container_config c = {0};
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    autofree char *many = NULL;

    (void)state;
    assert_paths("{" WASM "{\"Entrypoint\":[\"/a\",\"b\"],\"Cmd\":[\"/c\"]}}", NULL, "/a");
    assert_paths("{" WASM "{\"Entrypoint\":[],\"Cmd\":[\"/c\"]}}", NULL, "/c");
    assert_paths("{" WASM "{\"Cmd\":[\"./c\"],\"WorkingDir\":\"/w/\"}}", NULL, "//w//./c");
    assert_paths("{" WASM "{\"Cmd\":[\"c\"],\"Env\":[\"PATH=/x:y::/z\",\"A=\"]}}", NULL,
                 "//c /x/c /z/c");
    assert_paths("{" WASM "{\"Cmd\":[\"c\"]}}", NULL,
                 "//c /usr/local/sbin/c /usr/local/bin/c /usr/sbin/c /usr/bin/c /sbin/c /bin/c");
    assert_paths("{" WASM "{}}", NULL, "NotRunnable: its config names no entry point");
    assert_paths("{}", NULL, "NotRunnable: its config names no entry point");
    assert_paths("{" NATIVE "{\"Cmd\":[\"/a.wasm\"]}}", NULL, "/a.wasm");
    assert_paths("{" NATIVE "{\"Cmd\":[\"/a.wasm#f\"]}}", NULL, "/a.wasm");
    assert_paths("{" WASM "{\"Cmd\":[\"#init\"]}}", NULL,
                 "NotRunnable: its config names no entry point");
    assert_paths("{" NATIVE "{\"Cmd\":[\"/bin/sh\"]}}", NULL,
                 "NotRunnable: it is a container for linux/amd64: its entry point '/bin/sh' is no "
                 ".wasm");
    assert_paths("{" NATIVE "{\"Cmd\":[\"/app\"]}}", "compat", "/app");
    many = xcalloc(1, 10001);
    memset(many, ':', 10000);
    memset(many + 100, '/', 100);
    buf_addf(&text, "{" WASM "{\"Cmd\":[\"c\"],\"Env\":[\"PATH=/a%s/b\"]}}", many);
    assert_paths(text.data, NULL, "//c /a/c"); /* the first few */
    buf_clear(&text);
    memset(many, 'x', 10000);
    buf_addf(&text, "{" WASM "{\"Cmd\":[\"%s\"]}}", many);
    assert_paths(text.data, NULL, "NotRunnable: its entry point has a name that is too long");
    buf_clear(&text);
    buf_addstr(&text, "{\"config\":{\"Cmd\":\"text\"}}");
    assert_fails(container_config_decode(&text, &c, &e), -EINVAL, "BadImage");
    assert_contains(e.msg, "the image's config: $.config.Cmd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_cut),         cmocka_unit_test(test_names),
        cmocka_unit_test(test_entry_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The way from an image's target to its program, and hostile documents on it. */
#include "unit.h"

#include "shim/image/image_search.h"
#include "shim/messages/messages.h"

#define PROGRAM "application/wasm"
#define TAR     "application/vnd.oci.image.layer.v1.tar"

/* A digest that names one blob of the test. */
static char *digest_text(unsigned n)
{
    return xasprintf("sha256:%064x", n);
}

static unsigned number_of(const struct image_blob *b)
{
    return (unsigned)b->digest.bytes[31] | (unsigned)b->digest.bytes[30] << 8;
}

static void descriptor_add(struct buf *out, const char *type, unsigned n, const char *more)
{
    autofree char *digest = digest_text(n);
    buf_addf(out, "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%u%s}",
             out->len && out->data[out->len - 1] == '}' ? "," : "", type, digest, n, more);
}

/* Of numbers of layers with their types, which NULL ends. */
static void manifest(struct buf *out, unsigned config, const char *config_type, ...)
{
    va_list ap;
    const char *type;
    buf_addstr(out, "{\"schemaVersion\":2,\"config\":");
    descriptor_add(out, config_type, config, "");
    buf_addstr(out, ",\"layers\":[");
    va_start(ap, config_type);
    while ((type = va_arg(ap, const char *)))
        descriptor_add(out, type, va_arg(ap, unsigned), "");
    va_end(ap);
    buf_addstr(out, "]}");
}

static void platform_add(struct buf *out, unsigned n, const char *os, const char *architecture)
{
    autobuf more = BUF_INIT;
    if (os)
        buf_addf(&more, ",\"platform\":{\"os\":\"%s\",\"architecture\":\"%s\"}", os, architecture);
    descriptor_add(out, "application/vnd.oci.image.manifest.v1+json", n, buf_str(&more));
}

static void index_of(struct buf *out, const char *manifests)
{
    buf_addf(out, "{\"schemaVersion\":2,\"manifests\":[%s]}", manifests);
}

static void begin(struct image_search *s)
{
    struct image_blob target = {.size = 1};
    target.digest.bytes[31] = 1;
    image_search_begin(s, &target);
}

/* The number of what is wanted next; 0: nothing. */
static unsigned next(struct image_search *s)
{
    const struct image_blob *b = image_search_next(s);
    return b ? number_of(b) : 0;
}

static void take(struct image_search *s, const struct buf *text)
{
    struct err e = ERR_INIT;
    assert_ok(image_search_take(s, text, &e));
}

#define OCI "application/vnd.oci.image.config.v1+json"

static void a_layer_that_is_a_program_is_found_by_every_type(void **state)
{
    static const char *const types[] = {
        PROGRAM, "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        autobuf text = BUF_INIT;
        struct image_search s;
        manifest(&text, 7, OCI, TAR, 8u, types[i], 9u, NULL);
        begin(&s);
        assert_int_equal(next(&s), 1);
        take(&s, &text);
        assert_int_equal(next(&s), 0);
        assert_true(s.has_program && s.has_config);
        assert_int_equal(number_of(&s.program), 9);
        assert_int_equal(s.program.size, 9);
        assert_int_equal(number_of(&s.config), 7);
    }
}

static void an_image_of_files_has_a_config_and_no_program(void **state)
{
    (void)state;
    autobuf text = BUF_INIT;
    struct image_search s;
    manifest(&text, 7, "application/vnd.docker.container.image.v1+json", TAR, 8u, NULL);
    begin(&s);
    next(&s);
    take(&s, &text);
    assert_int_equal(next(&s), 0);
    assert_true(!s.has_program && s.has_config);
}

static void a_config_that_is_no_containers_is_not_read(void **state)
{
    (void)state;
    autobuf text = BUF_INIT;
    struct image_search s;
    manifest(&text, 7, "application/vnd.wasm.config.v0+json", PROGRAM, 8u, NULL);
    begin(&s);
    next(&s);
    take(&s, &text);
    assert_true(s.has_program && !s.has_config);
}

static void several_programs_are_refused_and_listed(void **state)
{
    (void)state;
    autobuf text = BUF_INIT;
    struct image_search s;
    struct err e = ERR_INIT;
    manifest(&text, 7, OCI, PROGRAM, 8u, TAR, 9u, PROGRAM, 10u, NULL);
    begin(&s);
    next(&s);
    assert_fails(image_search_take(&s, &text, &e), -ENOEXEC, "NotRunnable");
    assert_non_null(strstr(e.msg, "2 layers"));
    assert_non_null(strstr(e.msg, PROGRAM ", " TAR ", " PROGRAM));
}

static void every_spelling_of_a_platform_for_webassembly_is_preferred(void **state)
{
    static const char *const spellings[][2] = {
        {"wasi",   "wasm"  },
        {"wasi",   "wasm32"},
        {"linux",  "wasm"  },
        {"wasip1", "wasm"  },
        {"wasip2", "wasm"  },
        {"js",     "wasm"  }
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
        autobuf list = BUF_INIT, text = BUF_INIT, of_files = BUF_INIT;
        struct image_search s;
        platform_add(&list, 5, "linux", "amd64");
        platform_add(&list, 6, spellings[i][0], spellings[i][1]);
        index_of(&text, list.data);
        begin(&s);
        next(&s);
        take(&s, &text);
        assert_int_equal(next(&s), 6);
        /* It decides, also when the program is a file. */
        manifest(&of_files, 7, OCI, TAR, 8u, NULL);
        take(&s, &of_files);
        assert_int_equal(next(&s), 0);
        assert_false(s.has_program);
    }
}

static void the_newest_system_comes_first_then_this_machine_then_the_rest(void **state)
{
    (void)state;
    autobuf list = BUF_INIT, text = BUF_INIT;
    struct image_search s;
    struct err e = ERR_INIT;
    static const unsigned order[] = {9, 8, 7, 6, 5, 2, 3, 4};
    platform_add(&list, 2, "linux", "amd64");
    platform_add(&list, 3, "windows", "amd64");
    platform_add(&list, 4, NULL, NULL);
    platform_add(&list, 5, "plan9", "wasm");
    platform_add(&list, 6, "js", "wasm");
    platform_add(&list, 7, "wasi", "wasm");
    platform_add(&list, 8, "wasip1", "wasm");
    platform_add(&list, 9, "wasip2", "wasm");
    index_of(&text, list.data);
    begin(&s);
    next(&s);
    take(&s, &text);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        if (order[i] != 6 && order[i] != 5)
            assert_int_equal(next(&s), order[i]);
        else
            assert_in_range(next(&s), 5, 6); /* one rank */
        assert_ok(image_search_missing(&s, &e));
    }
    assert_int_equal(next(&s), 0);
    assert_false(s.has_manifest);
}

static void without_a_platform_the_first_with_a_program_is_taken(void **state)
{
    (void)state;
    autobuf list = BUF_INIT, text = BUF_INIT, files = BUF_INIT, program = BUF_INIT;
    struct image_search s;
    platform_add(&list, 2, NULL, NULL);
    platform_add(&list, 3, NULL, NULL);
    platform_add(&list, 4, NULL, NULL);
    index_of(&text, list.data);
    manifest(&files, 7, OCI, TAR, 8u, NULL);
    manifest(&program, 17, OCI, PROGRAM, 18u, NULL);
    begin(&s);
    next(&s);
    take(&s, &text);
    assert_int_equal(next(&s), 2);
    take(&s, &files);
    assert_int_equal(number_of(&s.config), 7);
    assert_int_equal(next(&s), 3);
    take(&s, &program);
    assert_int_equal(next(&s), 0);
    assert_int_equal(number_of(&s.program), 18);
    assert_int_equal(number_of(&s.config), 17);
}

static void the_first_config_counts_when_none_has_a_program(void **state)
{
    (void)state;
    autobuf list = BUF_INIT, text = BUF_INIT, files = BUF_INIT, others = BUF_INIT;
    struct image_search s;
    platform_add(&list, 2, NULL, NULL);
    platform_add(&list, 3, NULL, NULL);
    index_of(&text, list.data);
    manifest(&files, 7, OCI, TAR, 8u, NULL);
    manifest(&others, 9, OCI, TAR, 8u, NULL);
    begin(&s);
    next(&s);
    take(&s, &text);
    next(&s);
    take(&s, &files);
    next(&s);
    take(&s, &others);
    assert_int_equal(next(&s), 0);
    assert_int_equal(number_of(&s.config), 7);
}

static void the_images_own_manifest_must_be_there(void **state)
{
    (void)state;
    struct image_search s;
    struct err e = ERR_INIT;
    begin(&s);
    next(&s);
    assert_fails(image_search_missing(&s, &e), -ENOENT, "NotFound");
}

static void an_index_that_names_itself_comes_to_an_end(void **state)
{
    (void)state;
    autobuf list = BUF_INIT, text = BUF_INIT;
    struct image_search s;
    struct err e = ERR_INIT;
    unsigned n = 0;
    int r = 0;
    platform_add(&list, 1, "wasi", "wasm");
    index_of(&text, list.data);
    for (begin(&s); r >= 0 && next(&s); n++)
        r = image_search_take(&s, &text, &e);
    assert_string_equal(e.reason, "BadImage");
    assert_in_range(n, 2, IMAGE_SEARCH_DEPTH + 1);
}

static void an_index_of_thousands_costs_few_reads_and_the_best_is_among_them(void **state)
{
    (void)state;
    autobuf list = BUF_INIT, text = BUF_INIT;
    struct image_search s;
    struct err e = ERR_INIT;
    unsigned n = 0;
    for (unsigned i = 2; i < 9000; i++)
        platform_add(&list, i, NULL, NULL);
    platform_add(&list, 9000, "wasip1", "wasm");
    index_of(&text, list.data);
    begin(&s);
    next(&s);
    take(&s, &text);
    assert_int_equal(next(&s), 9000);
    do
        assert_ok(image_search_missing(&s, &e));
    while (++n < 100 && next(&s));
    assert_int_equal(n, IMAGE_SEARCH_LIMIT - 1);
}

static void bad_documents_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"schemaVersion\":1}",
        "{\"layers\":[{\"mediaType\":\"application/wasm\",\"digest\":\"sha256:12\",\"size\":1}]}",
        "{\"layers\":[{\"mediaType\":\"application/wasm\",\"digest\":\"../../etc\",\"size\":1}]}",
        "{\"layers\":[{\"mediaType\":\"application/wasm\",\"size\":1}]}",
        "{\"manifests\":[{\"digest\":\"md5:0\",\"size\":1}]}",
        "{\"config\":{\"digest\":\"sha256:x\",\"size\":1}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        autobuf text = BUF_INIT;
        struct image_search s;
        struct err e = ERR_INIT;
        buf_addstr(&text, bad[i]);
        begin(&s);
        next(&s);
        assert_fails(image_search_take(&s, &text, &e), -EINVAL, "BadImage");
    }
}

/* ---- Answers ---- */

static void pack(const ProtobufCMessage *m, struct buf *out)
{
    buf_clear(out);
    protobuf_add(m, out);
}

static void an_image_without_a_target_is_refused(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    autobuf packed = BUF_INIT;
    struct image_blob b;
    struct err e = ERR_INIT;
    Containerd__GetImageResponse m = CONTAINERD__GET_IMAGE_RESPONSE__INIT;
    Containerd__Image image = CONTAINERD__IMAGE__INIT;
    Containerd__Descriptor target = CONTAINERD__DESCRIPTOR__INIT;
    m.image = &image;
    pack(&m.base, &packed);
    assert_fails(image_answer_image((struct text){packed.data, packed.len}, a, &b, &e), -EINVAL,
                 "BadImage");
    image.target = &target;
    target.digest = (char *)"sha256:00";
    pack(&m.base, &packed);
    assert_fails(image_answer_image((struct text){packed.data, packed.len}, a, &b, &e), -EINVAL,
                 "BadImage");
    autofree char *digest = digest_text(3);
    target.digest = digest;
    target.size = -1;
    pack(&m.base, &packed);
    assert_fails(image_answer_image((struct text){packed.data, packed.len}, a, &b, &e), -EINVAL,
                 "BadImage");
    target.size = 3;
    pack(&m.base, &packed);
    assert_ok(image_answer_image((struct text){packed.data, packed.len}, a, &b, &e));
    assert_int_equal(number_of(&b), 3);
}

static void a_container_may_have_no_image(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    const char *name = NULL;
    struct err e = ERR_INIT;
    assert_ok(image_answer_container((struct text){"", 0}, a, &name, &e));
    assert_string_equal(name, "");
    assert_fails(image_answer_container((struct text){"\xff", 1}, a, &name, &e), -EBADMSG,
                 "BadMessage");
}

static void a_piece_of_a_blob_is_the_next_and_no_more_than_is_due(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    autobuf packed = BUF_INIT;
    struct image_blob b = {.size = 10};
    struct text piece;
    struct err e = ERR_INIT;
    Containerd__ReadContentResponse m = CONTAINERD__READ_CONTENT_RESPONSE__INIT;
    m.offset = 4;
    m.data = (ProtobufCBinaryData){6, (uint8_t *)"abcdef"};
    pack(&m.base, &packed);
    struct text answer = {packed.data, packed.len};
    assert_ok(image_answer_read(answer, 4, &b, a, &piece, &e));
    assert_int_equal(piece.len, 6);
    assert_fails(image_answer_read(answer, 3, &b, a, &piece, &e), -EINVAL, "BadImage");
    b.size = 9;
    assert_fails(image_answer_read(answer, 4, &b, a, &piece, &e), -EINVAL, "BadImage");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_that_is_a_program_is_found_by_every_type),
        cmocka_unit_test(an_image_of_files_has_a_config_and_no_program),
        cmocka_unit_test(a_config_that_is_no_containers_is_not_read),
        cmocka_unit_test(several_programs_are_refused_and_listed),
        cmocka_unit_test(every_spelling_of_a_platform_for_webassembly_is_preferred),
        cmocka_unit_test(the_newest_system_comes_first_then_this_machine_then_the_rest),
        cmocka_unit_test(without_a_platform_the_first_with_a_program_is_taken),
        cmocka_unit_test(the_first_config_counts_when_none_has_a_program),
        cmocka_unit_test(the_images_own_manifest_must_be_there),
        cmocka_unit_test(an_index_that_names_itself_comes_to_an_end),
        cmocka_unit_test(an_index_of_thousands_costs_few_reads_and_the_best_is_among_them),
        cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(an_image_without_a_target_is_refused),
        cmocka_unit_test(a_container_may_have_no_image),
        cmocka_unit_test(a_piece_of_a_blob_is_the_next_and_no_more_than_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

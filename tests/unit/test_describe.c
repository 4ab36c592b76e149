/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "image/describe.h"

#define MANIFEST                                                                                   \
    "{\"mediaType\":\"m\",\"config\":{\"digest\":\"c\",\"size\":3},\"annotations\":{\"a\":\"b\"}," \
    "\"layers\":[{\"digest\":\"x\",\"size\":1},{\"digest\":\"y\",\"size\":2}]}"

static int describe(const char *manifest, const char *config, struct image_description *ret,
                    struct err *e)
{
    autobuf m = BUF_INIT, c = BUF_INIT;

    *e = ERR_INIT;
    *ret = (struct image_description){0};
    buf_addstr(&m, manifest);
    buf_addstr(&c, config);
    TRY(image_description_decode(&m, ret, e));
    image_description_join(ret, &c);
    return 0;
}

static void test_steps_lead_to_their_layers(void **state)
{
    struct image_description d;
    struct err e;

    (void)state;
    assert_ok(describe(MANIFEST,
                       "{\"created\":\"then\",\"history\":[{\"created_by\":\"1\"},"
                       "{\"empty_layer\":true},{},{\"created_by\":\"too many\"}]}",
                       &d, &e));
    assert_int_equal(d.n_history, 4);
    assert_ptr_equal(d.history[0].layer, &d.layers[0]);
    assert_null(d.history[1].layer);
    assert_ptr_equal(d.history[2].layer, &d.layers[1]);
    assert_null(d.history[3].layer);
    assert_string_equal(d.annotations, "{\"a\":\"b\"}");
    assert_string_equal(d.created, "then");
    image_description_done(&d);
}

static void test_without_a_history_each_layer_is_a_step(void **state)
{
    static const char *const configs[] = {"", "{}", "no JSON", "[]", "{\"history\":1}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
        struct image_description d;
        struct err e;

        assert_ok(describe(MANIFEST, configs[i], &d, &e));
        assert_int_equal(d.n_history, 2);
        assert_ptr_equal(d.history[1].layer, &d.layers[1]);
        assert_null(d.history[0].created);
        assert_true(!d.config_text == !str_eq(configs[i], "{}"));
        image_description_done(&d);
    }
}

static int platforms(const char *index, struct image_platforms *ret, struct err *e)
{
    autobuf text = BUF_INIT;

    *e = ERR_INIT;
    *ret = (struct image_platforms){0};
    buf_addstr(&text, index);
    return image_platforms_decode(&text, ret, e);
}

static void test_what_an_index_lists(void **state)
{
    static const char *const bad[] = {
        "", "[]", "{\"manifests\":[{\"digest\":\"x\"}]}", "{\"annotations\":1}",
        "{\"manifests\":[{\"digest\":\"x\",\"size\":1,\"annotations\":[]}]}"};
    struct image_platforms p;
    struct err e;

    (void)state;
    assert_ok(platforms(
        "{\"annotations\":{\"a\":\"b\"},\"manifests\":[{\"digest\":\"x\",\"size\":1,\"platform\":"
        "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}},"
        "{\"digest\":\"y\",\"size\":2,\"annotations\":{\"c\":\"d\"}}]}",
        &p, &e));
    assert_int_equal(p.n, 2);
    assert_string_equal(p.annotations, "{\"a\":\"b\"}");
    assert_string_equal(p.v[0].variant, "v7");
    assert_string_equal(p.v[1].part.digest, "y");
    assert_string_equal(p.v[1].part.annotations, "{\"c\":\"d\"}");
    assert_null(p.v[1].os);
    image_platforms_done(&p);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_true(platforms(bad[i], &p, &e) < 0);
        assert_true(*e.msg && !p.v);
    }
}

static void test_what_is_wrong_with_a_manifest(void **state)
{
    static const char *const manifests[] = {
        "",
        "[]",
        "{\"layers\":[{\"digest\":\"x\"}]}",
        "{\"layers\":[{\"digest\":\"x\",\"size\":\"1\"}]}",
        "{\"annotations\":[]}",
        "{\"annotations\":{\"a\":{\"b\":{}}}}",
        "{\"layers\":[{\"digest\":\"x\",\"size\":1,\"annotations\":1}]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(manifests); i++) {
        struct image_description d;
        struct err e;

        assert_true(describe(manifests[i], "{}", &d, &e) < 0);
        assert_true(*e.msg);
        assert_null(d.layers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_lead_to_their_layers),
        cmocka_unit_test(test_without_a_history_each_layer_is_a_step),
        cmocka_unit_test(test_what_an_index_lists),
        cmocka_unit_test(test_what_is_wrong_with_a_manifest),
    };
    return cmocka_run_group_tests_name("describe", tests, NULL, NULL);
}

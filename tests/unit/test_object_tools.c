/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "agent/api/object_tools.h"

static struct object *parse(const char *text)
{
    struct objects_options o = {.file = "test"};
    struct objects all = {0};
    struct object *made;
    struct err e = ERR_INIT;

    assert_ok(objects_parse(text_of(text), &o, &all, &e));
    assert_int_equal(all.n, 1);
    made = object_ref(all.v[0]);
    objects_done(&all);
    return made;
}

#define POD(labels, annotations, spec)                                                             \
    "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {" labels                             \
    "}, annotations: {" annotations "}}, spec: {containers: [{" spec "}]}}"

static bool are_same(const char *a, const char *b, bool is_all)
{
    struct object *x = parse(a), *y = parse(b);
    bool r = is_all ? object_is_same(x, y, "but") : object_spec_is_same(x, y);

    object_unref(x);
    object_unref(y);
    return r;
}

static void the_order_of_members_makes_no_difference(void **state)
{
    (void)state;
    assert_true(are_same(POD("", "", "name: a, image: x, args: [b, c]"),
                         POD("l: m", "", "args: [b, c], image: x, name: a"), false));
    assert_false(are_same(POD("", "", "name: a, image: x, args: [b, c]"),
                          POD("", "", "name: a, image: x, args: [c, b]"), false));
    assert_false(
        are_same(POD("", "", "name: a, image: x"), POD("", "", "name: a, image: w"), false));
}

static void annotations_that_have_an_effect_belong_to_the_spec(void **state)
{
    (void)state;
    assert_false(are_same(POD("", "", "name: a, image: x"),
                          POD("", "wherry.dev/scale.a: \"2\"", "name: a, image: x"), false));
    assert_true(are_same(POD("", "", "name: a, image: x"), POD("", "other: b", "name: a, image: x"),
                         false));
}

static void labels_and_annotations_count_for_the_whole(void **state)
{
    (void)state;
    assert_true(are_same(POD("a: b, c: d", "but: e", "name: a, image: x"),
                         POD("c: d, a: b", "", "name: a, image: x"), true));
    assert_false(
        are_same(POD("a: b", "", "name: a, image: x"), POD("a: c", "", "name: a, image: x"), true));
    assert_false(
        are_same(POD("", "a: b", "name: a, image: x"), POD("", "", "name: a, image: x"), true));
}

static void a_copy_can_be_stamped_and_is_otherwise_the_same(void **state)
{
    struct object *o = parse(POD("a: b", "", "name: a, image: x")), *copy = NULL;
    struct err e = ERR_INIT;

    (void)state;
    object_stamp(o, "u-1", "5", "2026-11-24T00:31:02Z");
    object_annotate(o, "x", "1");
    assert_ok(object_copy(o, &copy, &e));
    assert_string_equal(copy->uid, "u-1");
    assert_string_equal(copy->pod->uid, "u-1");
    assert_string_equal(pod_pair_find(&copy->annotations, "x"), "1");
    assert_true(object_is_same(o, copy, NULL));
    object_stamp_deleted(copy, "2026-11-24T00:31:32Z", 30);
    object_annotate(copy, "x", NULL);
    assert_null(pod_pair_find(&copy->annotations, "x"));
    assert_null(o->deleted);
    object_unref(copy);
    object_unref(o);
}

static void a_claim_is_bound_with_what_it_asked_for(void **state)
{
    static const char *const rows[][2] = {
        {"1Gi",    "\"storage\":\"1Gi\""   },
        {"1536Mi", "\"storage\":\"1536Mi\""},
        {"1000",   "\"storage\":\"1000\""  }
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char text[300];
        struct object *o;
        struct buf b = BUF_INIT;

        snprintf(text, sizeof(text),
                 "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: "
                 "{accessModes: [ReadWriteOnce], resources: {requests: {storage: %s}}}}",
                 rows[i][0]);
        o = parse(text);
        object_claim_status_write(o, &b);
        assert_contains(b.data, "\"phase\":\"Bound\",\"accessModes\":[\"ReadWriteOnce\"]");
        assert_contains(b.data, rows[i][1]);
        buf_done(&b);
        object_unref(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_members_makes_no_difference),
        cmocka_unit_test(annotations_that_have_an_effect_belong_to_the_spec),
        cmocka_unit_test(labels_and_annotations_count_for_the_whole),
        cmocka_unit_test(a_copy_can_be_stamped_and_is_otherwise_the_same),
        cmocka_unit_test(a_claim_is_bound_with_what_it_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

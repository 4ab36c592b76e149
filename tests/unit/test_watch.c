/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "agent/api/watch.h"

static size_t n_woken;

static void on_woken(void *ctx)
{
    (void)ctx;
    n_woken++;
}

static struct watch_item *item(uint64_t version, const char *space, const char *name,
                               const char *text)
{
    struct pod_pair label = {"text", text};
    struct pod_pair fields[] = {
        {"metadata.name",      name },
        {"metadata.namespace", space}
    };
    struct pod_pairs labels = {&label, 1}, f = {fields, 2};
    struct buf json = BUF_INIT;

    buf_addstr(&json, text);
    return watch_item_new(version, &labels, &f, &json);
}

static void objects_are_in_the_order_of_their_names(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(0);

    (void)state;
    watch_feed_put(f, item(1, "b", "x", "1"));
    watch_feed_put(f, item(2, "a", "z", "2"));
    watch_feed_put(f, item(3, "a", "y", "3"));
    watch_feed_put(f, item(4, "b", "x", "4"));
    assert_int_equal(watch_feed_count(f), 3);
    assert_string_equal(watch_feed_at(f, 0)->json, "3");
    assert_string_equal(watch_feed_at(f, 1)->json, "2");
    assert_string_equal(watch_feed_at(f, 2)->json, "4");
    watch_feed_remove(f, item(5, "a", "z", "5"));
    assert_int_equal(watch_feed_count(f), 2);
    assert_null(watch_feed_find(f, "a", "z"));
    assert_string_equal(watch_feed_find(f, "b", "x")->json, "4");
    assert_string_equal(pod_pair_find(&watch_feed_find(f, "b", "x")->labels, "text"), "4");
    assert_int_equal(watch_feed_version(f), 5);
}

static void a_watcher_gets_every_change_since_its_version(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(10);
    struct watcher *w = NULL;
    struct watch_change c;

    (void)state;
    n_woken = 0;
    watch_feed_put(f, item(11, "a", "x", "1"));
    watch_feed_put(f, item(15, "a", "x", "2"));
    assert_int_equal(watcher_new(f, 12, on_woken, NULL, &w), 0);
    watch_feed_remove(f, item(16, "a", "x", "3"));
    assert_int_equal(n_woken, 1);
    assert_int_equal(watcher_next(w, &c), 1);
    assert_string_equal(c.now->json, "2");
    assert_string_equal(c.before->json, "1");
    assert_false(c.is_removal);
    assert_int_equal(watcher_next(w, &c), 1);
    assert_string_equal(c.now->json, "3");
    assert_string_equal(c.before->json, "2");
    assert_true(c.is_removal);
    assert_int_equal(watcher_next(w, &c), 0);
    watch_feed_put(f, item(17, "a", "x", "4"));
    assert_int_equal(watcher_next(w, &c), 1);
    assert_null(c.before);
    watcher_free(w);
}

static void a_version_that_is_not_remembered_or_not_yet_there_is_refused(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(100);
    struct watcher *w = NULL;

    (void)state;
    assert_int_equal(watcher_new(f, 99, on_woken, NULL, &w), -ESTALE);
    assert_int_equal(watcher_new(f, 101, on_woken, NULL, &w), -ESTALE);
    for (unsigned i = 0; i <= WATCH_LIMIT_CHANGES; i++)
        watch_feed_put(f, item(101 + i, "a", "x", "1"));
    assert_int_equal(watcher_new(f, 100, on_woken, NULL, &w), -ESTALE);
    assert_int_equal(watcher_new(f, 101, on_woken, NULL, &w), 0);
    watcher_free(w);
}

static void a_watcher_that_is_too_slow_is_told_so(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(0);
    struct watcher *slow = NULL, *quick = NULL;
    struct watch_change c;

    (void)state;
    assert_int_equal(watcher_new(f, 0, on_woken, NULL, &slow), 0);
    assert_int_equal(watcher_new(f, 0, on_woken, NULL, &quick), 0);
    for (unsigned i = 1; i <= WATCH_LIMIT_CHANGES + 1; i++) {
        watch_feed_put(f, item(i, "a", "x", "1"));
        assert_int_equal(watcher_next(quick, &c), 1);
        assert_int_equal(c.now->version, i);
    }
    assert_int_equal(watcher_next(slow, &c), -ESTALE);
    watcher_free(slow);
    watcher_free(quick);
}

static void large_objects_make_the_row_shorter(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(0);
    size_t len = WATCH_LIMIT_BYTES / 4;
    char *text = malloc(len + 1);
    struct watcher *w = NULL;

    (void)state;
    memset(text, 'x', len);
    text[len] = '\0';
    for (unsigned i = 1; i <= 6; i++)
        watch_feed_put(f, item(i, "a", "x", text));
    assert_int_equal(watcher_new(f, 1, on_woken, NULL, &w), -ESTALE);
    assert_int_equal(watcher_new(f, 2, on_woken, NULL, &w), 0);
    watcher_free(w);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_in_the_order_of_their_names),
        cmocka_unit_test(a_watcher_gets_every_change_since_its_version),
        cmocka_unit_test(a_version_that_is_not_remembered_or_not_yet_there_is_refused),
        cmocka_unit_test(a_watcher_that_is_too_slow_is_told_so),
        cmocka_unit_test(large_objects_make_the_row_shorter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

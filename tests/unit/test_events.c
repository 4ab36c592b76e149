/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include "agent/api/events.h"

static uint64_t version;

static uint64_t next_version(void *ctx)
{
    (void)ctx;
    return ++version;
}

static const struct event_subject pod = {"Pod", "default", "web", "uid-1", NULL};

static struct events *open_events(struct watch_feed *f, uint64_t age_ns)
{
    struct events_options o = {
        .loop = loop, .host = "here", .feed = f, .version = next_version, .age_ns = age_ns};

    return events_new(&o);
}

static void an_event_has_the_shape_of_kubernetes(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(version);
    AUTO(events) s = open_events(f, 0);
    struct event_subject container = pod;
    const char *json;

    (void)state;
    container.container = "main";
    events_add(s, &container, true, "BackOff", "again \"and\" again");
    json = watch_feed_at(f, 0)->json;
    assert_contains(json, "\"kind\":\"Event\",\"apiVersion\":\"v1\"");
    assert_contains(json, "\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":"
                          "\"web\",\"uid\":\"uid-1\",\"apiVersion\":\"v1\",\"fieldPath\":"
                          "\"spec.containers{main}\"}");
    assert_contains(json, "\"reason\":\"BackOff\",\"message\":\"again \\\"and\\\" again\"");
    assert_contains(json, "\"source\":{\"component\":\"wherry-agent\",\"host\":\"here\"}");
    assert_contains(json, "\"count\":1,\"type\":\"Warning\"");
    assert_string_equal(pod_pair_find(&watch_feed_at(f, 0)->fields, "involvedObject.name"), "web");
    assert_string_equal(pod_pair_find(&watch_feed_at(f, 0)->fields, "reason"), "BackOff");
}

static void the_same_again_is_counted_up(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(version);
    AUTO(events) s = open_events(f, 0);

    (void)state;
    for (int i = 0; i < 3; i++)
        events_add(s, &pod, false, "Pulled", "it is there");
    events_add(s, &pod, false, "Pulled", "another is there");
    events_add(s, &pod, true, "Pulled", "it is there");
    assert_int_equal(events_count(s), 3);
    assert_int_equal(watch_feed_count(f), 3);
    for (size_t i = 0; i < 3; i++)
        if (strstr(watch_feed_at(f, i)->json, "\"count\":3,\"type\":\"Normal\""))
            return;
    fail_msg("none was counted to three");
}

static void the_one_that_happened_longest_ago_goes_when_there_are_too_many(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(version);
    AUTO(events) s = open_events(f, 0);
    char text[32];
    bool has_0 = false, has_1 = false;

    (void)state;
    for (int i = 0; i < EVENTS_LIMIT; i++) {
        sprintf(text, "text %d.", i);
        events_add(s, &pod, false, "Reason", text);
    }
    events_add(s, &pod, false, "Reason", "text 0.");
    events_add(s, &pod, false, "Reason", "one more");
    assert_int_equal(events_count(s), EVENTS_LIMIT);
    for (size_t i = 0; i < watch_feed_count(f); i++) {
        has_0 |= strstr(watch_feed_at(f, i)->json, "text 0.") != NULL;
        has_1 |= strstr(watch_feed_at(f, i)->json, "text 1.") != NULL;
    }
    assert_true(has_0);
    assert_false(has_1);
}

static void an_event_is_forgotten_when_it_is_old(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(version);
    AUTO(events) s = open_events(f, 50000000);
    uint64_t end = clock_monotonic_ns() + 5000000000u;

    (void)state;
    events_add(s, &pod, false, "Reason", "text");
    events_add(s, &pod, false, "Other", "text");
    while (events_count(s) && clock_monotonic_ns() < end)
        run_for(20);
    assert_int_equal(events_count(s), 0);
    assert_int_equal(watch_feed_count(f), 0);
}

static void any_text_is_shown(void **state)
{
    AUTO(watch_feed) f = watch_feed_new(version);
    AUTO(events) s = open_events(f, 0);
    char text[4000];

    (void)state;
    memset(text, 0xff, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    events_add(s, &pod, false, "Reason", text);
    assert_true(watch_feed_at(f, 0)->len < 5000);
    for (size_t i = 0; i + 1 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    events_add(s, &pod, false, "Other", text);
    assert_int_equal(watch_feed_count(f), 2);
    assert_null(strstr(watch_feed_at(f, 0)->json, "\"message\":\"\""));
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(loop_open(&loop, &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_has_the_shape_of_kubernetes),
        cmocka_unit_test(the_same_again_is_counted_up),
        cmocka_unit_test(the_one_that_happened_longest_ago_goes_when_there_are_too_many),
        cmocka_unit_test(an_event_is_forgotten_when_it_is_old),
        cmocka_unit_test(any_text_is_shown),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed: kinds and names, selectors, times, conditions, manifests. */
#include "unit.h"

#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "cli/pods/ages.h"
#include "cli/pods/followers.h"
#include "cli/pods/jsonpath.h"
#include "cli/pods/logs.h"
#include "cli/pods/manifests.h"
#include "cli/pods/waiting.h"

/* ---- Ages ---- */

static void ages_are_said_as_kubectl_says_them(void **state)
{
    static const struct {
        int64_t s;
        const char *text;
    } cases[] = {
        {-5,                "<invalid>"},
        {-1,                "0s"       },
        {0,                 "0s"       },
        {119,               "119s"     },
        {120,               "2m"       },
        {200,               "3m20s"    },
        {599,               "9m59s"    },
        {600,               "10m"      },
        {179 * 60,          "179m"     },
        {180 * 60,          "3h"       },
        {7 * 3600 + 900,    "7h15m"    },
        {8 * 3600 + 900,    "8h"       },
        {47 * 3600,         "47h"      },
        {48 * 3600,         "2d"       },
        {50 * 3600,         "2d2h"     },
        {8 * 86400 + 7200,  "8d"       },
        {729 * 86400,       "729d"     },
        {731 * 86400,       "2y1d"     },
        {9 * 365LL * 86400, "9y"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[AGE_SIZE];

        age_format(cases[i].s, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void times_are_read_and_nonsense_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-27",
                                      "2026-11-27T04:05:37",
                                      "2026-13-27T04:05:37Z",
                                      "2026-11-27T04:05:37.Z",
                                      "2026-11-27T04:05:37Zx",
                                      "2026-11-27T24:05:37Z",
                                      "9999-11-27T04:05:37Z"};
    struct err e = ERR_INIT;
    int64_t a = 0, b = 0;

    (void)state;
    assert_ok(age_time_parse("1970-01-01T00:00:01.5Z", &a, &e));
    assert_int_equal(a, 1500000000);
    assert_ok(age_time_parse("2026-11-27T06:05:37+02:00", &a, &e));
    assert_ok(age_time_parse("2026-11-27T04:05:37Z", &b, &e));
    assert_int_equal(a, b);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(age_time_parse(bad[i], &a, &e), -EINVAL, "BadTime");
}

/* ---- Kinds and names ---- */

/* Words with blanks between, as "po/web pvc/data" or what the error says. */
static void refs_text(const char *words, const struct resource *usual, struct buf *out)
{
    autofree char *copy = xstrdup(words);
    autostrv operands = STRV_INIT;
    struct resource_refs refs = {0};
    struct err e = ERR_INIT;

    for (char *rest = copy, *word; (word = strsep(&rest, " "));)
        if (*word)
            strv_add(&operands, word);
    if (resource_refs_parse(&operands, usual, &refs, &e) < 0)
        buf_addf(out, "%s: %s", e.reason, e.msg);
    for (size_t i = 0; i < refs.n; i++)
        buf_addf(out, "%s%s/%s", i ? " " : "", refs.v[i].resource->singular,
                 refs.v[i].name ? refs.v[i].name : "*");
    resource_refs_done(&refs);
}

static void assert_refs(const char *words, const struct resource *usual, const char *expected)
{
    autobuf out = BUF_INIT;

    refs_text(words, usual, &out);
    if (!str_starts(buf_str(&out), expected))
        fail_msg("'%s' gives '%s', not '%s'", words, buf_str(&out), expected);
}

static void objects_are_named_in_every_way_that_kubectl_knows(void **state)
{
    const struct resource *pods = resource_of(RESOURCE_POD);

    (void)state;
    assert_refs("pods", NULL, "pod/*");
    assert_refs("PO web db", NULL, "pod/web pod/db");
    assert_refs("po,cm", NULL, "pod/* configmap/*");
    assert_refs("secret/a pvc/b ev/c", NULL, "secret/a persistentvolumeclaim/b event/c");
    assert_refs("", pods, "pod/*");
    assert_refs("web db", pods, "pod/web pod/db");
    assert_refs("pod/web", pods, "pod/web");
    assert_refs("", NULL, "BadUsage");
    assert_refs("pods web/x", NULL, "BadUsage");
    assert_refs("pod/web db", NULL, "BadUsage");
    assert_refs("pod/", NULL, "BadUsage");
    assert_refs("pod/a/b", NULL, "BadUsage");
    assert_refs("configmap,", NULL, "UnknownResource");
    assert_refs("podz", NULL, "UnknownResource: there is no kind of object 'podz'; did you mean");
    assert_refs("deployments", NULL,
                "UnknownResource: there is no kind of object 'deployments'; "
                "there are pods (po)");
}

static void what_a_url_needs_is_escaped(void **state)
{
    autobuf path = BUF_INIT;

    (void)state;
    resource_path_add(&path, resource_of(RESOURCE_POD), "a/b", "c?d");
    resource_query_add(&path, "labelSelector", "a in (b,c)");
    resource_query_add(&path, "none", NULL);
    resource_query_addf(&path, "tailLines", "%d", 3);
    assert_string_equal(buf_str(&path), "/api/v1/namespaces/a%2Fb/pods/c%3Fd?labelSelector="
                                        "a%20in%20%28b%2Cc%29&tailLines=3");
}

static void slips_in_selectors_are_told_before_anything_is_asked(void **state)
{
    static const char *const good[] = {
        "",       "a",  "!a",         "a=b",         "a==b",
        "a!=b",   "a=", "a in (b,c)", "a notin (b)", "x.io/a=b,!c , d in ( e , f ),g",
        "a in ()"};
    static const char *const bad[] = {",",       "a,",         "=b",    "a b",        "a in b",
                                      "a in (b", "a=b=c",      "a=b c", "a near (b)", "-a=b",
                                      "a=b!",    "a in (b) c", "!a=b",  "a=(b)"};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(resource_selector_check(good[i], &e));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (resource_selector_check(bad[i], &e) >= 0)
            fail_msg("'%s' was accepted", bad[i]);
}

/* ---- What is waited for ---- */

static void assert_met(const char *condition, const char *json, bool is_met)
{
    struct waiting_condition c = {0};
    AUTO(json_value) v = NULL;
    struct err e = ERR_INIT;

    assert_ok(waiting_condition_parse(condition, &c, &e));
    assert_ok(json_value_parse(json, strlen(json), (struct json_limits){4096, 10}, &v, &e));
    assert_int_equal(waiting_is_met(&c, v), is_met);
    waiting_condition_done(&c);
}

static void conditions_are_met_when_they_are(void **state)
{
    static const char pod[] = "{\"status\":{\"phase\":\"Running\",\"n\":[1,{\"a.b\":true}],"
                              "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},"
                              "{\"type\":\"Initialized\",\"status\":\"False\"}]}}";
    static const char *const bad[] = {"",
                                      "Ready",
                                      "condition=",
                                      "jsonpath=",
                                      "jsonpath={.a[*]}=b",
                                      "jsonpath={.a[x]}",
                                      "jsonpath={..a}"};
    struct waiting_condition c = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_met("condition=Ready", pod, true);
    assert_met("condition=ready=true", pod, true);
    assert_met("condition=Initialized", pod, false);
    assert_met("condition=Initialized=False", pod, true);
    assert_met("condition=Unheard", pod, false);
    assert_met("jsonpath={.status.phase}=Running", pod, true);
    assert_met("jsonpath={.status.phase}=Failed", pod, false);
    assert_met("jsonpath=status.phase=Running", pod, true);
    assert_met("jsonpath={.status.n[0]}=1", pod, true);
    assert_met("jsonpath={.status.n[1].a\\.b}=true", pod, true);
    assert_met("jsonpath={.status.podIP}", pod, false);
    assert_met("jsonpath={.status.phase}", pod, true);
    assert_met("delete", pod, false);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(waiting_condition_parse(bad[i], &c, &e), -EINVAL, "BadUsage");
}

/* ---- Lines and logs ---- */

static void line_note(void *ctx, char *text, size_t len)
{
    buf_add(ctx, text, len);
    buf_addc(ctx, '|');
}

static void pieces_become_lines(void **state)
{
    autobuf out = BUF_INIT;
    struct followed_lines l = {.line = line_note, .ctx = &out};

    (void)state;
    followed_lines_add(&l, "a", 1);
    followed_lines_add(&l, "b\n\nc\nd", 6);
    assert_string_equal(buf_str(&out), "ab||c|");
    followed_lines_end(&l);
    assert_string_equal(buf_str(&out), "ab||c|d|");
}

static void a_log_keeps_colours_and_loses_what_moves_the_cursor(void **state)
{
    char text[] = "\x1b[1;31mred\x1b[0m\tx\x1b[2Jy\x07\x1b[3";

    (void)state;
    log_mute(text, strlen(text), true);
    assert_string_equal(text, "\x1b[1;31mred\x1b[0m\tx?[2Jy??[3");
    log_mute(text, strlen(text), false);
    assert_string_equal(text, "?[1;31mred?[0m\tx?[2Jy??[3");
}

/* ---- Manifests ---- */

#define CONFIG(name_) "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " name_ "}\n"

static void file_put(const char *dir, const char *name, const char *text)
{
    autofree char *path = path_join(dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void a_folder_is_read_in_the_order_of_names(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *sub = path_join(dir, "a-sub");
    struct manifest_options m = {0};
    autoobjects flat = {0}, deep = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(mkdir(sub, 0700), 0);
    file_put(dir, "b.yml", CONFIG("two"));
    file_put(dir, "a.yaml", CONFIG("one"));
    file_put(dir, "c.json",
             "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
             "\"three\"}}");
    file_put(dir, "notes.txt", "not: a manifest");
    file_put(dir, ".hidden.yaml", "nor: this");
    file_put(sub, "x.yaml", CONFIG("four"));
    strv_add(&m.files, dir);
    assert_ok(manifests_read(&m, "default", false, &flat, &e));
    assert_int_equal(flat.n, 3);
    assert_string_equal(flat.v[0]->name, "one");
    assert_string_equal(flat.v[1]->name, "two");
    assert_string_equal(flat.v[2]->name, "three");
    m.is_recursive = true;
    assert_ok(manifests_read(&m, "default", false, &deep, &e));
    assert_int_equal(deep.n, 4);
    strv_done(&m.files);
    unit_remove(dir);
}

static void one_bad_manifest_spoils_all_with_its_place(void **state)
{
    char *dir = unit_temp_dir();
    struct manifest_options m = {0};
    struct objects none = {0};
    struct err e = ERR_INIT;

    (void)state;
    file_put(dir, "a.yaml", CONFIG("one"));
    file_put(dir, "b.yaml", CONFIG("two") "dta: {}\n");
    strv_add(&m.files, dir);
    assert_true(manifests_read(&m, "default", false, &none, &e) < 0);
    assert_contains(e.msg, "b.yaml:4");
    assert_contains(e.msg, "did you mean 'data'?");
    assert_int_equal(none.n, 0);
    strv_done(&m.files);
    unit_remove(dir);
}

static void another_namespace_than_the_one_given_is_a_mistake(void **state)
{
    char *dir = unit_temp_dir();
    struct manifest_options m = {0}, empty = {0};
    autoobjects s = {0};
    struct err e = ERR_INIT;

    (void)state;
    file_put(dir, "a.yaml",
             "apiVersion: v1\nkind: ConfigMap\n"
             "metadata: {name: one, namespace: other}\n");
    strv_add(&m.files, dir);
    assert_fails(manifests_read(&m, "mine", true, &s, &e), -EINVAL, "BadManifest");
    assert_ok(manifests_read(&m, "mine", false, &s, &e));
    assert_string_equal(s.v[0]->space, "other");
    assert_fails(manifests_read(&empty, "mine", false, &s, &e), -EINVAL, "BadUsage");
    strv_done(&m.files);
    unit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ages_are_said_as_kubectl_says_them),
        cmocka_unit_test(times_are_read_and_nonsense_is_refused),
        cmocka_unit_test(objects_are_named_in_every_way_that_kubectl_knows),
        cmocka_unit_test(what_a_url_needs_is_escaped),
        cmocka_unit_test(slips_in_selectors_are_told_before_anything_is_asked),
        cmocka_unit_test(conditions_are_met_when_they_are),
        cmocka_unit_test(pieces_become_lines),
        cmocka_unit_test(a_log_keeps_colours_and_loses_what_moves_the_cursor),
        cmocka_unit_test(a_folder_is_read_in_the_order_of_names),
        cmocka_unit_test(one_bad_manifest_spoils_all_with_its_place),
        cmocka_unit_test(another_namespace_than_the_one_given_is_a_mistake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "shim/bundle/config_edit.h"

#define HEAD                                                                                       \
    "{ \"ociVersion\": \"1.0.2\", \"x\" : [ {\"linux\": \"a\\\"]}\"}, 1e400 ],\n \"linux\": "

static void buf_of(const char *text, struct buf *ret)
{
    *ret = (struct buf)BUF_INIT;
    buf_add(ret, text, strlen(text));
}

static int namespace_set(const char *text, size_t index, const char *path, struct buf *ret,
                         struct err *e)
{
    autobuf json;

    buf_of(text, &json);
    return config_edit_namespace(&json, index, path, ret, e);
}

static void assert_namespace(const char *before, size_t index, const char *path, const char *after)
{
    autobuf said = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(namespace_set(before, index, path, &said, &e));
    assert_string_equal(buf_str(&said), after);
}

static void only_the_path_of_a_namespace_changes(void **state)
{
    (void)state;
    assert_namespace(HEAD "{\"namespaces\":[{\"type\":\"ipc\"},\t{ \"path\" : \"/old\" ,\"type\":"
                          "\"pid\"}], \"big\":18446744073709551615}, \"y\":null }\n",
                     1, "/n\"ew",
                     HEAD
                     "{\"namespaces\":[{\"type\":\"ipc\"},\t{ \"path\" : \"/n\\\"ew\" ,\"type\":"
                     "\"pid\"}], \"big\":18446744073709551615}, \"y\":null }\n");
}

static void the_last_of_two_members_is_changed_as_it_is_the_one_that_counts(void **state)
{
    (void)state;
    assert_namespace("{\"linux\":{\"namespaces\":[{\"path\":\"/a\",\"path\":\"/b\"}]}}", 0, "/c",
                     "{\"linux\":{\"namespaces\":[{\"path\":\"/a\",\"path\":\"/c\"}]}}");
}

static void what_cannot_be_found_is_an_error_and_no_change(void **state)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "",
                                        "{\"linux\":[]}",
                                        "{\"linux\":{\"namespaces\":[]}}",
                                        "{\"linux\":{\"namespaces\":[{\"p\\u0061th\":\"/a\"}]}}"};
    autobuf said = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        assert_int_equal(namespace_set(texts[i], 0, "/new", &said, &e), -EINVAL);
        assert_string_equal(e.reason, "BadConfig");
        assert_int_equal(said.len, 0);
    }
}

static void assert_mounts(const char *before, const struct config_mount *v, size_t n,
                          const char *after)
{
    autobuf json, said = BUF_INIT;
    autofree char *text = xasprintf("{\"ociVersion\":\"1.0.2\",%s,\"z\":1}", before);
    autofree char *wanted = xasprintf("{\"ociVersion\":\"1.0.2\",%s,\"z\":1}", after);
    struct oci_config c = {0};
    struct err e = ERR_INIT;

    buf_of(text, &json);
    assert_ok(oci_config_decode(text, strlen(text), &c, &e));
    assert_ok(config_edit_mounts(&json, &c, v, n, &said, &e));
    assert_string_equal(buf_str(&said), wanted);
    oci_config_done(&c);
}

#define BOUND(destination, source)                                                                 \
    "{\"destination\":\"" destination "\",\"type\":\"bind\",\"source\":\"" source                  \
    "\",\"options\":[\"rbind\",\"rprivate\",\"rw\"]}"

static void mounts_are_added_or_put_in_the_place_of_what_is_there(void **state)
{
    static const struct config_mount v[] = {
        {"/etc/hosts",       "/h", false},
        {"/dev/shm",         "/s", true },
        {"/etc/resolv.conf", "/r", false}
    };

    (void)state;
    assert_mounts("\"mounts\":[]", v, 3,
                  "\"mounts\":[" BOUND("/etc/hosts", "/h") "," BOUND("/dev/shm", "/s") "," BOUND(
                      "/etc/resolv.conf", "/r") "]");
    assert_mounts(
        "\"mounts\":[{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\"}, "
        "{\"destination\":\"/etc/hosts\",\"source\":\"/own\"} ]",
        v, 3,
        "\"mounts\":[" BOUND("/dev/shm",
                             "/s") ", "
                                   "{\"destination\":\"/etc/hosts\",\"source\":\"/own\"} ," BOUND(
                                       "/etc/resolv.conf", "/r") "]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_path_of_a_namespace_changes),
        cmocka_unit_test(the_last_of_two_members_is_changed_as_it_is_the_one_that_counts),
        cmocka_unit_test(what_cannot_be_found_is_an_error_and_no_change),
        cmocka_unit_test(mounts_are_added_or_put_in_the_place_of_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

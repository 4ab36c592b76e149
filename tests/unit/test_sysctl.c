/* SPDX-License-Identifier: Apache-2.0 */
/* Which sysctls a document may set, and which file each is. */
#include "unit.h"

#include "container/oci/sysctl.h"

static struct oci_config config;

/* A document with these namespaces. */
static void document(const char *namespaces)
{
    autofree char *json =
        xasprintf("{\"ociVersion\": \"1.0.2\", \"linux\": {\"namespaces\": [%s]}}", namespaces);
    struct err e = ERR_INIT;

    oci_config_done(&config);
    assert_ok(oci_config_decode(json, strlen(json), &config, &e));
}

#define NETWORK "{\"type\": \"network\"}"
#define IPC     "{\"type\": \"ipc\"}"

static void expect_path(const char *name, const char *path)
{
    autofree char *found = NULL;
    struct err e = ERR_INIT;

    assert_ok(oci_sysctl_path(&config, name, &found, &e));
    assert_string_equal(found, path);
}

static void expect_refused(const char *name, const char *why)
{
    char *found = NULL;
    struct err e = ERR_INIT;

    assert_fails(oci_sysctl_path(&config, name, &found, &e), -EINVAL, "BadConfig");
    assert_contains(e.msg, why);
    assert_null(found);
}

static void a_name_has_dots_or_slashes(void **state)
{
    (void)state;
    document(NETWORK ", " IPC);
    expect_path("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward");
    expect_path("net/ipv4/conf/eth0.1/forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding");
    expect_path("kernel.shmmax", "/proc/sys/kernel/shmmax");
    expect_path("fs/mqueue/msg_max", "/proc/sys/fs/mqueue/msg_max");
}

static void what_would_change_the_host_is_refused(void **state)
{
    (void)state;
    document(NETWORK ", " IPC);
    expect_refused("kernel.panic", "not one of a container's own");
    expect_refused("vm.overcommit_memory", "not one of a container's own");
    document(NETWORK);
    expect_refused("kernel.shmmax", "needs the ipc namespace");
    document(IPC);
    expect_refused("net.ipv4.ip_forward", "needs the network namespace");
}

static void no_name_leads_out_of_its_folder(void **state)
{
    static const char *const names[] = {"net/../kernel/panic",
                                        "net..kernel.panic",
                                        "/net/x",
                                        ".net",
                                        "net//x",
                                        "net.x y",
                                        "",
                                        "net\n"};

    (void)state;
    document(NETWORK);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        expect_refused(names[i], "not one of a container's own");
}

static int teardown(void **state)
{
    (void)state;
    oci_config_done(&config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_dots_or_slashes),
        cmocka_unit_test(what_would_change_the_host_is_refused),
        cmocka_unit_test(no_name_leads_out_of_its_folder),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}

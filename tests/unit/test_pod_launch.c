/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "pod/runtime/launch.h"
#include "pod/runtime/pod_internal.h"

static void a_folder_of_logs_has_a_name_that_a_folder_can_have(void **state)
{
    char name[254], space[64];
    struct pod_spec s = {
        .uid = "3dc1d942-a26e-425e-8c54-30f2e22f4bc3", .name = name, .space = space};
    autofree char *folder = NULL;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    memset(space, 's', sizeof(space) - 1);
    name[sizeof(name) - 1] = space[sizeof(space) - 1] = 0;
    folder = pod_log_folder(&s);
    assert_int_equal(strlen(folder), NAME_MAX);
    assert_string_equal(strrchr(folder, '_') + 1, s.uid);
}

static void a_message_of_its_own_gets_the_folder_that_it_is_in(void **state)
{
    struct pod_container c = {.name = "a", .message_path = "/run/app/why"};
    autofree char *folder = launch_message_folder(&c);

    (void)state;
    assert_string_equal(folder, "/run/app");
}

static void the_usual_message_gets_no_folder(void **state)
{
    struct pod_container c = {.name = "a"};

    (void)state;
    assert_null(launch_message_folder(&c));
    c.message_path = LAUNCH_MESSAGE_PATH;
    assert_null(launch_message_folder(&c));
}

static void a_message_in_a_volume_gets_no_folder_of_its_own(void **state)
{
    struct pod_mount mount = {.volume = "v", .path = "/run"};
    struct pod_container c = {
        .name = "a", .message_path = "/run/why", .mounts = &mount, .n_mounts = 1};
    autofree char *folder = NULL;

    (void)state;
    assert_null(launch_message_folder(&c));
    c.message_path = "/running/why";
    folder = launch_message_folder(&c);
    assert_string_equal(folder, "/running");
}

static void sockets_are_for_ports_of_tcp(void **state)
{
    struct pod_port ports[] = {
        {.port = 1, .protocol = POD_TCP},
        {.port = 2, .protocol = POD_UDP},
        {.port = 3, .protocol = POD_TCP}
    };
    struct pod_container c = {.name = "a", .ports = ports, .n_ports = 3};

    (void)state;
    assert_int_equal(launch_ports(&c), 2);
}

static int port_of(int fd)
{
    struct sockaddr_in6 a = {0};
    socklen_t len = sizeof(a);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin6_port); /* in the same place as that of sockaddr_in */
}

static void a_port_that_is_taken_is_named(void **state)
{
    struct pod_container c = {.name = "web"};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    autofree char *port = NULL;
    int none = -1, number;

    (void)state;
    assert_ok(launch_listen(&c, 0, &fd, &e));
    number = port_of(fd);
    port = xasprintf("port %d", number);
    assert_fails(launch_listen(&c, number, &none, &e), -EADDRINUSE, "PortInUse");
    assert_contains(e.msg, port);
    assert_contains(e.msg, "'web'");
    assert_int_equal(none, -1);
    close(fd);
    /* And can be had again at once. */
    fd = -EBADF;
    assert_ok(launch_listen(&c, number, &fd, &e));
}

static void a_port_is_reached_by_ipv4(void **state)
{
    struct pod_container c = {.name = "web"};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct err e = ERR_INIT;
    autofd fd = -EBADF, client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_ok(launch_listen(&c, 0, &fd, &e));
    a.sin_port = htons((uint16_t)port_of(fd));
    assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof(a)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_of_logs_has_a_name_that_a_folder_can_have),
        cmocka_unit_test(a_message_of_its_own_gets_the_folder_that_it_is_in),
        cmocka_unit_test(the_usual_message_gets_no_folder),
        cmocka_unit_test(a_message_in_a_volume_gets_no_folder_of_its_own),
        cmocka_unit_test(sockets_are_for_ports_of_tcp),
        cmocka_unit_test(a_port_that_is_taken_is_named),
        cmocka_unit_test(a_port_is_reached_by_ipv4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

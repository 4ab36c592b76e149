/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"
#include "cli/commands.h"
#include "cli/launch.h"

static void assert_refused(const char *path, const char *reason, int status)
{
    struct program_name program = {.path = (char *)path};
    struct err e = ERR_INIT;
    int fd = -7;

    assert_true(launch_program_open(&program, &fd, &e) < 0);
    assert_string_equal(e.reason, reason);
    assert_contains(e.msg, path);
    assert_int_equal(guest_exit_for(&e), status);
    assert_int_equal(fd, -7);
}

static void test_files(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *file = xasprintf("%s/file", dir);
    autofree char *fifo = xasprintf("%s/fifo", dir);
    autofree char *below = xasprintf("%s/below", file);
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    FILE *f = fopen(file, "w");

    (void)state;
    assert_non_null(f);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_refused("/nowhere/x.wasm", "NotFound", GUEST_EXIT_NOT_FOUND);
    assert_refused(below, "NotFound", GUEST_EXIT_NOT_FOUND);
    assert_refused(dir, "NotRunnable", GUEST_EXIT_NOT_RUNNABLE);
    assert_refused(fifo, "NotRunnable", GUEST_EXIT_NOT_RUNNABLE);
    assert_refused(file, "NotRunnable", GUEST_EXIT_NOT_RUNNABLE);
    fputs("x", f);
    fclose(f);
    assert_ok(launch_program_open(&(struct program_name){.path = file}, &fd, &e));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_ok(launch_inherit(fd, &e));
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    unlink(file);
    unlink(fifo);
    rmdir(dir);
}

/* registries.conf of a user, which the system's does not add to. */
static void settings_write(const char *home, const char *text)
{
    autofree char *folder = xasprintf("%s/.config/containers", home);
    autofree char *path = xasprintf("%s/registries.conf", folder);
    struct err e = ERR_INIT;

    setenv("HOME", home, 1);
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    assert_ok(path_mkdir_p(folder, 0700, &e));
    assert_ok(file_write(path, text, strlen(text), 0600, 0, &e));
}

static void test_program_names(void **state)
{
    char *home = unit_temp_dir();
    static const struct {
        const char *text, *path, *image;
    } cases[] = {
        {"a.wasm",                 "a.wasm",         NULL                                     },
        {"/a:b@sha256:00",         "/a:b@sha256:00", NULL                                     },
        {"./oci:x",                "./oci:x",        NULL                                     },
        {"oci:dir",                "dir",            ""                                       },
        {"oci:/a/dir:tag",         "/a/dir",         "tag"                                    },
        {"oci:dir:a/b:c",          "dir",            "a/b:c"                                  },
        {"oci:dir@sha256:00",      "dir",            "@sha256:00"                             },
        {"oci:dir:tag@sha256:00",  "dir",            "@sha256:00"                             },
        {"oci:",                   "",               ""                                       },
        {"oci-archive:a.tar",      "a.tar",          ""                                       },
        {"oci-archive:/a.tar:b",   "/a.tar",         "b"                                      },
        {"oci-archive:a@sha256:0", "a",              "@sha256:0"                              },
        {"hello",                  "hello",          NULL                                     },
        {"build/hello",            "build/hello",    NULL                                     },
        {"hello:1",                "/s/images",      "docker://docker.io/library/hello:1"     },
        {"quay.io/a/b",            "/s/images",      "docker://quay.io/a/b:latest"            },
        {"docker://hello",         "/s/images",      "docker://docker.io/library/hello:latest"},
    };

    (void)state;
    settings_write(home, "");
    setenv("WHERRY_STATE_DIR", "/s", 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct program_name p;
        struct err e = ERR_INIT;

        assert_ok(program_name_parse(cases[i].text, &p, &e));
        assert_string_equal(p.path, cases[i].path);
        assert_int_equal(p.is_archive, !strncmp(cases[i].text, "oci-archive:", 12));
        if (cases[i].image)
            assert_string_equal(p.image, cases[i].image);
        else
            assert_null(p.image);
        program_name_done(&p);
    }
    unit_remove(home);
}

static void check_short_name(const char *text, const char *reference)
{
    struct program_name p;
    struct err e = ERR_INIT;

    assert_ok(program_name_parse(text, &p, &e));
    assert_string_equal(p.reference, reference);
    assert_string_equal(p.typed, "app:1");
    program_name_done(&p);
}

static void test_short_names(void **state)
{
    char *home = unit_temp_dir();
    autofree char *record = xasprintf("%s/images/names/docker.io/library/app/:1", home);
    autofree char *folder = path_dir(record);
    struct program_name p;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_STATE_DIR", home, 1);
    settings_write(home, "unqualified-search-registries = ['a.example', 'b.example']");
    check_short_name("app:1", "a.example/app:1");
    check_short_name("docker://app:1", "a.example/app:1");
    assert_ok(path_mkdir_p(folder, 0700, &e));
    assert_ok(file_write(record, "", 0, 0600, 0, &e));
    check_short_name("app:1", "docker.io/library/app:1");
    settings_write(home, "[[registry]]\n");
    assert_fails(program_name_parse("app:1", &p, &e), -EINVAL, "BadRegistriesConf");
    unit_remove(home);
}

static void test_image_folders(void **state)
{
    struct program_name p = {.path = (char *)"/", .image = (char *)""};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    (void)state;
    assert_ok(launch_program_open(&p, &fd, &e));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    p.path = (char *)"/nowhere";
    assert_fails(launch_program_open(&p, &fd, &e), -ENOENT, "NotFound");
    p.path = (char *)"/proc/self/status";
    assert_fails(launch_program_open(&p, &fd, &e), -ENOTDIR, "NotRunnable");
}

static void test_dirs(void **state)
{
    struct dir_grant good = {.host = (char *)"/", .guest = (char *)"/"};
    struct dir_grant docker = {.host = (char *)"/nowhere:/b", .guest = (char *)"/nowhere:/b"};
    struct dir_grant file = {.host = (char *)"/proc/self/status", .guest = (char *)"x"};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    (void)state;
    assert_fails(launch_dir_open(&docker, &fd, &e), -ENOENT, "DirFailed");
    assert_contains(e.msg, "did you mean '/nowhere::/b'?");
    assert_int_equal(guest_exit_for(&e), GUEST_EXIT_WHERRY);
    assert_fails(launch_dir_open(&file, &fd, &e), -ENOTDIR, "DirFailed");
    assert_ok(launch_dir_open(&good, &fd, &e));
}

/* Names and certificates come with a network, and without one there is nothing to look up. */
static void test_network(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *file = xasprintf("%s/ca.pem", dir);
    autostrv none = STRV_INIT;
    autostrv grants = STRV_INIT;
    struct guest_spec s;
    struct err e = ERR_INIT;
    FILE *f = fopen(file, "w");

    (void)state;
    assert_non_null(f);
    fputs("-----BEGIN CERTIFICATE-----\n", f);
    fclose(f);
    guest_spec_init(&s);
    assert_ok(launch_network_add(&none, NULL, &s, &e));
    assert_int_equal(s.ca_fd, -1);
    assert_null(s.hosts);
    assert_fails(launch_network_add(&none, dir, &s, &e), -EINVAL, "TlsFailed");
    assert_fails(launch_network_add(&none, "/nowhere/ca.pem", &s, &e), -ENOENT, "TlsFailed");
    assert_contains(e.msg, "--ca: cannot open '/nowhere/ca.pem'");
    assert_int_equal(guest_exit_for(&e), GUEST_EXIT_WHERRY);
    strv_add(&grants, "10.0.0.0/8:443");
    assert_ok(launch_network_add(&grants, file, &s, &e));
    assert_int_equal(s.allow_net.n, 1);
    assert_int_equal(fcntl((int)s.ca_fd, F_GETFD), 0);
    close((int)s.ca_fd);
    strv_add(&grants, "nonsense");
    assert_fails(launch_network_add(&grants, file, &s, &e), -EINVAL, "BadUsage");
    guest_spec_done(&s);
    unit_remove(dir);
}

static void test_compile_limits(void **state)
{
    struct guest_job job = {.command = (char *)"compile", .status_fd = -1};
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_EXEC_PATH", "/nowhere", 1);
    setenv("WHERRY_COMPILE_MEMORY", "4Gi", 1);
    setenv("WHERRY_COMPILE_CPU_TIME", "10m", 1);
    setenv("WHERRY_COMPILE_TIME", "", 1); /* as if it were not set */
    assert_fails(launch_job(&job, &e), -ENOENT, "ProgramMissing");
    assert_int_equal(job.compile.memory_bytes, INT64_C(4) << 30);
    assert_int_equal(job.compile.cpu_ms, 600000);
    assert_int_equal(job.compile.time_ms, 0);
    for (const char *const *bad = (const char *const[]){"much", "0", "-1", NULL}; *bad; bad++) {
        e = ERR_INIT;
        setenv("WHERRY_COMPILE_TIME", *bad, 1);
        assert_fails(launch_job(&job, &e), -EINVAL, "BadUsage");
        assert_contains(e.msg, "WHERRY_COMPILE_TIME");
    }
    unsetenv("WHERRY_COMPILE_TIME");
    unsetenv("WHERRY_COMPILE_CPU_TIME");
    unsetenv("WHERRY_COMPILE_MEMORY");
}

static void test_worker_is_missing(void **state)
{
    struct guest_job job = {.command = (char *)"inspect", .status_fd = -1};
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_EXEC_PATH", "/nowhere", 1);
    assert_fails(launch_job(&job, &e), -ENOENT, "ProgramMissing");
    assert_contains(e.msg, "/nowhere");
    assert_int_equal(guest_exit_for(&e), GUEST_EXIT_WHERRY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_program_names),
        cmocka_unit_test(test_short_names),
        cmocka_unit_test(test_image_folders),
        cmocka_unit_test(test_dirs),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_worker_is_missing),
        cmocka_unit_test(test_compile_limits),
    };
    return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}

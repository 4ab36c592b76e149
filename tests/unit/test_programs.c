/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>

#include "base/fds.h"
#include "base/paths.h"
#include "store/images.h"

static void put(int fd, const char *text)
{
    struct err e = ERR_INIT;

    assert_ok(fd_write_all(fd, text, strlen(text), &e));
}

static void test_known_program(void **state)
{
    autofree char *dir = unit_temp_dir(), *blobs = path_join(dir, "blobs/sha256"), *blob = NULL;
    struct digest manifest, wanted, program = {0}, found = {0};
    struct images *images = NULL;
    char hex[DIGEST_HEX_SIZE];
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    int64_t size = 0;

    (void)state;
    assert_ok(images_open(dir, &images, &e));
    assert_ok(images_file_open(images, &fd, &e));
    put(fd, "a program");
    assert_ok(images_file_add(images, fd, &program, &size, &e));
    digest_bytes("a program", 9, &wanted);
    assert_memory_equal(&program, &wanted, sizeof(wanted));
    assert_int_equal(size, 9);
    digest_hex_format(&program, hex);
    blob = path_join(blobs, hex);
    assert_int_equal(access(blob, R_OK), 0);

    digest_bytes("a manifest", 10, &manifest);
    assert_int_equal(images_program_find(images, &manifest, &found, &size), 0);
    assert_ok(images_program_note(images, &manifest, &manifest, &e));
    assert_int_equal(images_program_find(images, &manifest, &found, &size), 0); /* no such blob */
    assert_ok(images_program_note(images, &manifest, &program, &e));
    assert_int_equal(images_program_find(images, &manifest, &found, &size), 1);
    assert_memory_equal(&found, &program, sizeof(found));
    assert_int_equal(size, 9);
    assert_int_equal(unlink(blob), 0);
    assert_int_equal(images_program_find(images, &manifest, &found, &size), 0);

    /* It comes back, and the same content is stored once. */
    assert_ok(images_file_add(images, fd, &program, &size, &e));
    assert_ok(images_file_add(images, fd, &program, &size, &e));
    assert_int_equal(images_program_find(images, &manifest, &found, &size), 1);
    images_free(images);
    unit_remove(take_ptr(dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

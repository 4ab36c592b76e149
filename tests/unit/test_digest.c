/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/digest.h"
#include "base/fds.h"

/* FIPS 180-4's example. */
#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_known_value(void **state)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest d, back;
    struct err e = ERR_INIT;

    (void)state;
    digest_bytes("abc", 3, &d);
    digest_format(&d, text);
    assert_string_equal(text, ABC);
    assert_ok(digest_parse(text, &back, &e));
    assert_memory_equal(&d, &back, sizeof(d));
}

static void test_descriptors(void **state)
{
    autofree char *data = xcalloc(3 << 20, 1);
    struct digest whole, of_file, of_pipe, abc;
    struct err e = ERR_INIT;
    autofd file = -EBADF;
    int fds[2];

    (void)state;
    for (size_t i = 0; i < 3 << 20; i++)
        data[i] = (char)(i * 7);
    digest_bytes(data, 3 << 20, &whole);
    assert_ok(memfd_from("test", data, 3 << 20, &file, &e));
    assert_int_equal(lseek(file, 100, SEEK_SET), 100);
    assert_ok(digest_fd(file, &of_file, &e));
    assert_memory_equal(&whole, &of_file, sizeof(whole));
    assert_int_equal(lseek(file, 0, SEEK_CUR), 100);

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    close(fds[1]);
    assert_ok(digest_fd(fds[0], &of_pipe, &e));
    close(fds[0]);
    digest_bytes("abc", 3, &abc);
    assert_memory_equal(&abc, &of_pipe, sizeof(abc));
}

static void test_refused(void **state)
{
    struct err e = ERR_INIT;
    struct digest d;

    (void)state;
    assert_fails(digest_parse("", &d, &e), -EINVAL, "BadDigest");
    assert_fails(digest_parse("sha256:00", &d, &e), -EINVAL, "BadDigest");
    assert_fails(digest_parse("sha512:"
                              "ba7816bf",
                              &d, &e),
                 -EINVAL, "BadDigest");
    char upper[] = ABC;
    upper[7] = 'B';
    assert_fails(digest_parse(upper, &d, &e), -EINVAL, "BadDigest");
    assert_true(digest_fd(-1, &d, &e) < 0);
}

/* FIPS 180-4's example. */
static void test_sha1(void **state)
{
    static const uint8_t expected[] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
                                       0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
    uint8_t hash[20];

    (void)state;
    sha1_bytes("abc", 3, hash);
    assert_memory_equal(hash, expected, sizeof(hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_value),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sha1),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

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
    struct stat st;
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
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_nlink, 1); /* it is the file, and no copy */
    assert_int_equal(st.st_mode & 07777, 0444);
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

/* ---- How it is started ---- */

#define LAYER "{\"mediaType\":\"%s\",\"size\":1,\"digest\":\"sha256:%064d\"}"
#define TAR   "application/vnd.oci.image.layer.v1.tar"

static void text_store(struct images *s, const char *text, char ret[static DIGEST_TEXT_SIZE])
{
    struct digest d;
    struct err e = ERR_INIT;

    assert_ok(images_blob_add(s, text, strlen(text), &d, &e));
    digest_format(&d, ret);
}

/* With `said` as what the record says of the config: 1 when it has a command. */
static int command_find(struct images *s, const char *manifest, const char *said)
{
    struct image i = {.config = (char *)(uintptr_t)said};
    struct guest_command c = {0};
    struct err e = ERR_INIT;
    int found;

    assert_ok(digest_parse(manifest, &i.manifest, &e));
    assert_ok(images_command_read_at(images_folder(s), &i, &c, &e));
    found = c.entrypoint.n > 0;
    if (found) {
        assert_string_equal(c.entrypoint.v[0], "/a.wasm");
        assert_string_equal(c.env.v[0], "A=1");
    }
    strv_done(&c.entrypoint);
    strv_done(&c.env);
    return found;
}

static void test_command(void **state)
{
    autofree char *dir = unit_temp_dir(), *path = NULL, *files = NULL, *artifact = NULL;
    char config[DIGEST_TEXT_SIZE], container[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    struct image i = {.config = config};
    struct guest_command c = {0};
    struct images *s = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(images_open(dir, &s, &e));
    text_store(s, "{\"config\":{\"Entrypoint\":[\"/a.wasm\"],\"Env\":[\"A=1\"]}}", config);
    files = xasprintf("{\"config\":{\"digest\":\"%s\",\"size\":1},\"layers\":[" LAYER "]}", config,
                      TAR, 0);
    artifact = xasprintf("{\"config\":{\"digest\":\"%s\",\"size\":1},\"layers\":[" LAYER "]}",
                         config, "application/wasm", 0);
    text_store(s, files, container);
    text_store(s, artifact, other);
    assert_int_equal(command_find(s, container, config), 1);
    assert_int_equal(command_find(s, other, ""), 0);
    assert_int_equal(command_find(s, container, NULL), 1); /* an older record */
    assert_int_equal(command_find(s, other, NULL), 0);

    path = xasprintf("%s/blobs/sha256/%s", dir, config + strlen("sha256:"));
    assert_int_equal(unlink(path), 0);
    assert_fails(images_command_read_at(images_folder(s), &i, &c, &e), -ENOENT, "BadImage");
    assert_ok(file_write(path, "{}", 2, 0444, 0, &e));
    assert_fails(images_command_read_at(images_folder(s), &i, &c, &e), -EINVAL, "BadImage");
    assert_contains(e.msg, "is damaged");
    assert_null(c.entrypoint.v);
    images_free(s);
    unit_remove(take_ptr(dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_program),
        cmocka_unit_test(test_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The image store: names, blobs on their way in, and processes that meet there. */
#include "image_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "store/images.h"

static bool is_there(const char *name)
{
    autofree char *path = path_join(root, name);

    return access(path, F_OK) == 0;
}

static struct reference name(const char *text)
{
    struct reference r;
    struct err e = ERR_INIT;

    assert_ok(reference_parse(text, &r, &e));
    return r;
}

static void give(const char *text, const char *program)
{
    struct reference r = name(text);
    struct image i = {.manifest_size = 7, .program_size = (int64_t)strlen(program)};
    char digest[DIGEST_TEXT_SIZE];
    struct digest d;
    struct err e = ERR_INIT;

    assert_ok(images_blob_add(store, program, strlen(program), &d, &e));
    digest_format(&d, digest);
    i.manifest = d;
    i.program = digest;
    assert_ok(images_name(store, &r, &i, &e));
    reference_done(&r);
}

static int find(const char *text, struct image *ret)
{
    struct reference r = name(text);
    struct err e = ERR_INIT;
    int found = images_find(store, &r, ret, &e);

    reference_done(&r);
    return found;
}

static void test_a_name_leads_to_its_program(void **state)
{
    struct image i = {0};
    struct err e = ERR_INIT;
    struct digest digest;
    autobuf text = BUF_INIT;
    autofd dir = open(root, O_RDONLY | O_DIRECTORY), fd = -EBADF;

    (void)state;
    give("quay.io/a/b:1", "program");
    assert_int_equal(find("quay.io/a/b:2", &i), 0);
    assert_int_equal(find("quay.io/a:1", &i), 0);
    assert_int_equal(find("quay.io/a/b:1", &i), 1);
    assert_string_equal(i.name, "quay.io/a/b:1");
    assert_ok(images_program_open_at(dir, &i, &fd, &digest, &e));
    assert_ok(fd_read_all(fd, 100, &text, &e));
    assert_string_equal(text.data, "program");
    image_done(&i);
}

static void test_a_damaged_record_is_said(void **state)
{
    struct reference r = name("a:1");
    struct image i;
    struct err e = ERR_INIT;
    autofree char *path = NULL;

    (void)state;
    give("a:1", "x");
    path = path_join(root, "names/docker.io/library/a/:1");
    assert_ok(file_write(path, "{\"name\":", 8, 0644, 0, &e));
    assert_fails(images_find(store, &r, &i, &e), -EINVAL, "BadImage");
    assert_non_null(strstr(e.msg, "names/docker.io/library/a/:1"));
    reference_done(&r);
}

static int count(void *ctx, const struct image *i, struct err *e)
{
    struct buf *all = ctx;

    (void)e;
    buf_addf(all, "%s ", i->name);
    return 0;
}

static void test_names_are_listed_in_order_and_go(void **state)
{
    struct reference r = name("b:1");
    struct err e = ERR_INIT;
    autobuf all = BUF_INIT;

    (void)state;
    give("b:1", "x");
    give("a/b/c:2", "x");
    give("b:0", "y");
    assert_ok(images_list(store, count, &all, &e));
    assert_string_equal(all.data, "docker.io/a/b/c:2 docker.io/library/b:0 docker.io/library/b:1 ");
    assert_int_equal(images_unname(store, &r, &e), 1);
    assert_int_equal(images_unname(store, &r, &e), 0);
    reference_done(&r);
    assert_true(is_there("names/docker.io/library/b/:0"));
    r = name("b:0");
    assert_int_equal(images_unname(store, &r, &e), 1);
    assert_false(is_there("names/docker.io/library"));
    assert_true(is_there("names/docker.io/a/b/c/:2"));
    reference_done(&r);
}

/* ---- Blobs ---- */

static void digest_of(const char *text, struct digest *d, char *partial, char *complete)
{
    char hex[DIGEST_HEX_SIZE];

    digest_bytes(text, strlen(text), d);
    digest_hex_format(d, hex);
    sprintf(partial, "partial/%s", hex);
    sprintf(complete, "blobs/sha256/%s", hex);
}

static void test_a_blob_goes_on_where_it_was(void **state)
{
    char partial[128], complete[128];
    struct blob_writer *w;
    struct digest d;
    struct err e = ERR_INIT;
    int64_t at = -1;

    (void)state;
    digest_of("hello, world", &d, partial, complete);
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 0);
    assert_int_equal(at, 0);
    assert_ok(blob_writer_add(w, "hello,", 6, &e));
    blob_writer_free(w);
    assert_true(is_there(partial));
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 0);
    assert_int_equal(at, 6);
    assert_ok(blob_writer_add(w, " world", 6, &e));
    assert_ok(blob_writer_commit(w, &e));
    assert_false(is_there(partial));
    assert_true(is_there(complete));
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 1);
}

static void test_another_content_never_appears(void **state)
{
    char partial[128], complete[128];
    struct blob_writer *w;
    struct digest d;
    struct err e = ERR_INIT;
    int64_t at;

    (void)state;
    digest_of("good", &d, partial, complete);
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 0);
    assert_ok(blob_writer_add(w, "evil", 4, &e));
    assert_fails(blob_writer_commit(w, &e), -EBADMSG, "DigestMismatch");
    assert_false(is_there(partial));
    assert_false(is_there(complete));
}

static void test_who_is_killed_leaves_a_part(void **state)
{
    char partial[128], complete[128];
    int ready[2];
    struct blob_writer *w;
    struct digest d;
    struct err e = ERR_INIT;
    int64_t at = 0;
    char byte;
    pid_t pid;

    (void)state;
    digest_of("0123456789", &d, partial, complete);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (!pid) {
        images_blob_begin(store, &d, &w, &at, &e);
        blob_writer_add(w, "01234", 5, &e);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    /* Waits for the lock, which goes with the process. */
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 0);
    assert_int_equal(at, 5);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_ok(blob_writer_add(w, "56789", 5, &e));
    assert_ok(blob_writer_commit(w, &e));
    assert_true(is_there(complete));
    close(ready[0]);
    close(ready[1]);
}

#define PROCESSES 20

/* Each takes the blob that another has made, or makes it; one does. */
static void test_one_of_many_makes_a_blob(void **state)
{
    char partial[128], complete[128];
    struct digest d;
    int n_made = 0;

    (void)state;
    digest_of("shared", &d, partial, complete);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork())
            continue;
        struct blob_writer *w;
        struct err e = ERR_INIT;
        int64_t at;
        int r = images_blob_begin(store, &d, &w, &at, &e);

        if (r)
            _exit(r == 1 ? 0 : 2);
        _exit(at || blob_writer_add(w, "shared", 6, &e) < 0 || blob_writer_commit(w, &e) < 0 ? 2
                                                                                             : 1);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;

        assert_true(wait(&status) > 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        n_made += WEXITSTATUS(status);
    }
    assert_int_equal(n_made, 1);
    assert_false(is_there(partial));
    assert_true(is_there(complete));
}

int main(void)
{
#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_a_name_leads_to_its_program),
        STORE_TEST(test_a_damaged_record_is_said),
        STORE_TEST(test_names_are_listed_in_order_and_go),
        STORE_TEST(test_a_blob_goes_on_where_it_was),
        STORE_TEST(test_another_content_never_appears),
        STORE_TEST(test_who_is_killed_leaves_a_part),
        STORE_TEST(test_one_of_many_makes_a_blob),
    };
    return cmocka_run_group_tests_name("images", tests, NULL, NULL);
}

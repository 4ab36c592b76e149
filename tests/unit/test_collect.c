/* SPDX-License-Identifier: Apache-2.0 */
/* Collection: what nothing needs goes, what is named, leased, young or being fetched stays. */
#include "image_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "store/collect.h"

/* Another process's view, with no lease of ours. */
static void reopen(void)
{
    struct err e = ERR_INIT;

    images_free(store);
    assert_ok(images_open(root, &store, &e));
}

static void blob_path(const struct digest *d, const char *folder, char ret[static 128])
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex_format(d, hex);
    snprintf(ret, 128, "%s/%s/%s", root, folder, hex);
}

static bool has_blob(const struct digest *d)
{
    char path[128];

    blob_path(d, "blobs/sha256", path);
    return access(path, F_OK) == 0;
}

static struct digest add(const char *text)
{
    struct digest d;
    struct err e = ERR_INIT;

    assert_ok(images_blob_add(store, text, strlen(text), &d, &e));
    return d;
}

static struct reference name(const char *text)
{
    struct reference r;
    struct err e = ERR_INIT;

    assert_ok(reference_parse(text, &r, &e));
    return r;
}

#define MANIFEST_BYTES 137 /* of one whose layer has less than 10 */

/* An image of a manifest with one layer; its manifest. */
static struct digest give(const char *text, const char *program)
{
    struct reference r = name(text);
    struct digest layer = add(program);
    struct image i = {.program_size = (int64_t)strlen(program)};
    char digest[DIGEST_TEXT_SIZE];
    autobuf manifest = BUF_INIT;
    struct err e = ERR_INIT;

    digest_format(&layer, digest);
    buf_addf(&manifest,
             "{\"layers\":[{\"mediaType\":\"application/wasm\",\"digest\":\"%s\",\"size\":%zu}]}",
             digest, strlen(program));
    i.manifest = add(manifest.data);
    i.program = digest;
    assert_ok(images_name(store, &r, &i, &e));
    reference_done(&r);
    return i.manifest;
}

static void told(void *ctx, enum collected what, const char *said, int64_t bytes)
{
    static const char *const words[] = {"name", "blob", "part", "temporary"};

    (void)said;
    buf_addf(ctx, "%s %lld ", words[what], (long long)bytes);
}

static struct collector *collector(struct buf *said, bool is_dry_run)
{
    struct collect_options o = {.is_dry_run = is_dry_run, .removed = told, .ctx = said};
    struct collector *c;
    struct err e = ERR_INIT;

    assert_int_equal(collector_open(store, &o, true, &c, &e), 1);
    return c;
}

/* Of all ages. */
static void collect(struct buf *said)
{
    AUTO(collector) c = collector(said, false);
    struct err e = ERR_INIT;

    assert_ok(collector_leftovers(c, INT64_MAX, &e));
    assert_ok(collector_sweep(c, &e));
}

static void test_what_no_name_leads_to_goes(void **state)
{
    struct digest left = add("left over"), kept = give("a:1", "program");
    autobuf said = BUF_INIT;

    (void)state;
    reopen();
    collect(&said);
    assert_string_equal(buf_str(&said), "blob 9 ");
    assert_false(has_blob(&left));
    assert_true(has_blob(&kept));
    assert_true(images_collected_at_ns(store) > 0);
}

static void test_what_is_young_stays(void **state)
{
    struct digest young = add("young"), old = add("old");
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;
    char path[128];

    (void)state;
    blob_path(&old, "blobs/sha256", path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    reopen();
    {
        AUTO(collector) c = collector(&said, false);

        assert_ok(collector_leftovers(c, (int64_t)2000 * 1000000000, &e));
        assert_ok(collector_sweep(c, &e));
    }
    assert_true(has_blob(&young));
    assert_false(has_blob(&old));
}

static void test_a_lease_ends_with_its_process(void **state)
{
    struct digest d = add("leased");
    autobuf said = BUF_INIT;
    int ready[2];
    char byte;
    pid_t pid;

    (void)state;
    reopen();
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (!pid) {
        struct images *other;
        struct err e = ERR_INIT;

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when an assertion fails */
        if (images_open(root, &other, &e) < 0 || images_blob_lease(other, &d, &e) != 1)
            _exit(1);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    collect(&said);
    assert_string_equal(buf_str(&said), "");
    assert_true(has_blob(&d));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    collect(&said);
    assert_string_equal(buf_str(&said), "blob 6 ");
    assert_false(has_blob(&d));
    close(ready[0]);
    close(ready[1]);
}

static void test_a_name_takes_only_what_no_other_needs(void **state)
{
    struct digest a = give("a:1", "shared"), b = give("b:1", "shared"), c_ = give("c:1", "own");
    struct reference r = name("a:1"), own = name("c:1");
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;
    AUTO(collector) c = NULL;

    (void)state;
    assert_memory_equal(&a, &b, sizeof(a));
    reopen();
    c = collector(&said, false);
    assert_int_equal(collector_unname(c, &r, &e), 1);
    assert_int_equal(collector_unname(c, &r, &e), 0);
    assert_ok(collector_sweep(c, &e));
    assert_string_equal(buf_str(&said), "name 0 ");
    assert_true(has_blob(&b));
    buf_clear(&said);
    assert_int_equal(collector_unname(c, &own, &e), 1);
    assert_ok(collector_sweep(c, &e));
    assert_false(has_blob(&c_));
    assert_int_equal(collector_bytes(c), 3 + MANIFEST_BYTES);
    reference_done(&r);
    reference_done(&own);
}

static void test_a_dry_run_removes_nothing(void **state)
{
    struct digest manifest = give("a:1", "program"), left = add("left over");
    struct reference r = name("a:1");
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;
    AUTO(collector) c = NULL;

    (void)state;
    reopen();
    c = collector(&said, true);
    assert_ok(collector_leftovers(c, INT64_MAX, &e));
    assert_int_equal(collector_unname(c, &r, &e), 1);
    assert_ok(collector_sweep(c, &e));
    assert_int_equal(collector_bytes(c), 7 + MANIFEST_BYTES + 9);
    assert_true(has_blob(&manifest) && has_blob(&left));
    reference_done(&r);
}

static void test_nothing_goes_while_an_image_is_unknown(void **state)
{
    struct digest left = add("left over");
    autofree char *path = path_join(root, "names/docker.io/library/a/:1");
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;
    AUTO(collector) c = NULL;

    (void)state;
    give("a:1", "program");
    assert_ok(file_write(path, "{\"name\":", 8, 0644, 0, &e));
    reopen();
    c = collector(&said, false);
    assert_ok(collector_leftovers(c, INT64_MAX, &e));
    assert_fails(collector_sweep(c, &e), -EINVAL, "BadImage");
    assert_contains(e.msg, "names/docker.io/library/a/:1");
    assert_true(has_blob(&left));
}

static void test_a_program_of_another_size_is_a_problem(void **state)
{
    autofree char *path = path_join(root, "names/docker.io/library/a/:1");
    autoinventory v = {0};
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    char *size;

    (void)state;
    give("a:1", "program");
    assert_ok(file_read(path, 4096, &text, &e));
    size = strstr(text.data, "\"program_size\": 7");
    assert_non_null(size);
    size[strlen("\"program_size\": ")] = '8';
    assert_ok(file_write(path, text.data, text.len, 0644, 0, &e));
    assert_ok(inventory_read(store, &v, &e));
    assert_int_equal(v.n_images, 1);
    assert_contains(v.images[0].problem, "another size");
    assert_ok(inventory_check(&v, &e)); /* what it needs is known all the same */
}

static void test_parts_stay_while_they_are_fetched(void **state)
{
    struct blob_writer *w;
    struct digest d;
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;
    char path[128];
    int64_t at;

    (void)state;
    digest_bytes("0123456789", 10, &d);
    blob_path(&d, "partial", path);
    assert_int_equal(images_blob_begin(store, &d, &w, &at, &e), 0);
    assert_ok(blob_writer_add(w, "01234", 5, &e));
    collect(&said);
    assert_string_equal(buf_str(&said), "");
    assert_int_equal(access(path, F_OK), 0);
    blob_writer_free(w);
    collect(&said);
    assert_string_equal(buf_str(&said), "part 5 ");
    assert_int_equal(access(path, F_OK), -1);
}

static void test_one_collects_at_a_time(void **state)
{
    autobuf said = BUF_INIT;
    AUTO(collector) first = collector(&said, false);
    struct collector *second = NULL;
    struct err e = ERR_INIT;

    (void)state;
    (void)first;
    assert_int_equal(collector_open(store, &(struct collect_options){0}, false, &second, &e), 0);
    assert_null(second);
}

/* Others store and name images, and remove them, while one collects all the time: what has a name
 * is always there. */
#define ROUNDS 100

static int name_and_remove(unsigned seed)
{
    /* A failure ends this process, not its test. */
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < ROUNDS; i++) {
        autofree char *text = xasprintf("a:%u", (seed + (unsigned)i) % 3),
                      *program = xasprintf("program %u", (seed * 7 + (unsigned)i) % 5);
        struct reference r = name(text);
        autofd fd = -EBADF, dir = open(root, O_RDONLY | O_DIRECTORY);
        struct guest_command command = {0};
        struct digest d;
        struct err e = ERR_INIT;

        reopen();
        give(text, program);
        if (images_program_find_at(dir, &r, &fd, &d, &command, &e) < 0)
            return 1;
        reopen();
        if (i % 4 == 0 && images_unname(store, &r, &e) < 0)
            return 1;
        reference_done(&r);
    }
    return 0;
}

static void test_names_and_collection_at_once(void **state)
{
    autobuf said = BUF_INIT;
    autoinventory v = {0};
    struct err e = ERR_INIT;
    int n_running = 3, status;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        if (!fork())
            _exit(name_and_remove(i));
    while (n_running) {
        collect(&said);
        if (waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            n_running--;
        }
    }
    assert_ok(inventory_read(store, &v, &e));
    for (size_t i = 0; i < v.n_images; i++)
        assert_null(v.images[i].problem);
    assert_int_equal(v.foreign.n, 0);
    assert_non_null(strstr(buf_str(&said), "blob"));
}

int main(void)
{
#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_what_no_name_leads_to_goes),
        STORE_TEST(test_what_is_young_stays),
        STORE_TEST(test_a_lease_ends_with_its_process),
        STORE_TEST(test_a_name_takes_only_what_no_other_needs),
        STORE_TEST(test_a_dry_run_removes_nothing),
        STORE_TEST(test_nothing_goes_while_an_image_is_unknown),
        STORE_TEST(test_a_program_of_another_size_is_a_problem),
        STORE_TEST(test_parts_stay_while_they_are_fetched),
        STORE_TEST(test_one_collects_at_a_time),
        STORE_TEST(test_names_and_collection_at_once),
    };
    return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}

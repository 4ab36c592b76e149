/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/fds.h"
#include "image/tarball.h"

#define BIG (3 << 20)

/* What a visitor was told. */
struct seen {
    struct buf text; /* a line for each entry */
    size_t bytes, ends;
    const char *unwanted;
    int fail_at; /* the call to fail at, from 1; 0: none */
    int calls;
};

static int fails_now(struct seen *s, struct err *e)
{
    return ++s->calls == s->fail_at ? err_set(e, -EEXIST, "Mine", "enough") : 0;
}

static int on_entry(void *ctx, const struct tarball_entry *t, struct err *e)
{
    struct seen *s = ctx;

    TRY(fails_now(s, e));
    buf_addf(&s->text, "%s %d %lld\n", t->name, t->kind, (long long)t->size);
    return t->kind == TARBALL_FILE && !(s->unwanted && str_eq(t->name, s->unwanted));
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
    struct seen *s = ctx;

    (void)data;
    s->bytes += len;
    return fails_now(s, e);
}

static int on_end(void *ctx, struct err *e)
{
    struct seen *s = ctx;

    s->ends++;
    return fails_now(s, e);
}

static int visit(int fd, struct seen *s, struct err *e)
{
    struct tarball_visitor v = {.entry = on_entry, .data = on_data, .end = on_end, .ctx = s};

    *e = ERR_INIT;
    return tarball_visit(fd, &v, e);
}

static void seen_done(struct seen *s)
{
    buf_done(&s->text);
    *s = (struct seen){0};
}

static int archive_make(void)
{
    AUTO(tarball_writer) w = NULL;
    autofree char *big = xcalloc(BIG, 1);
    autofd file = -EBADF;
    struct err e = ERR_INIT;
    int fd = memfd_create("archive", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_ok(memfd_from("big", big, BIG, &file, &e));
    w = tarball_writer_new(fd);
    assert_ok(tarball_writer_folder(w, "a", &e));
    assert_ok(tarball_writer_file(w, "a/big", file, BIG, &e));
    assert_ok(tarball_writer_text(w, "small", "abc", 3, &e));
    assert_ok(tarball_writer_finish(w, &e));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void test_what_is_written_is_read(void **state)
{
    autofd fd = archive_make();
    struct seen s = {0};
    struct err e;

    (void)state;
    assert_ok(visit(fd, &s, &e));
    assert_string_equal(buf_str(&s.text), "a 1 0\na/big 0 3145728\nsmall 0 3\n");
    assert_int_equal(s.bytes, BIG + 3);
    assert_int_equal(s.ends, 2);
    seen_done(&s);
    lseek(fd, 0, SEEK_SET);
    s.unwanted = "a/big";
    assert_ok(visit(fd, &s, &e));
    assert_int_equal(s.bytes, 3);
    seen_done(&s);
}

static void test_the_same_entries_make_the_same_archive(void **state)
{
    autobuf a = BUF_INIT, b = BUF_INIT;
    autofd one = archive_make(), other = archive_make();
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(fd_read_all(one, 2 * BIG, &a, &e));
    assert_ok(fd_read_all(other, 2 * BIG, &b, &e));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

/* An archive that was not finished does not look as if it had been. */
static void test_an_unfinished_archive_is_seen(void **state)
{
    autofd fd = memfd_create("archive", MFD_CLOEXEC);
    struct tarball_writer *w = tarball_writer_new(fd);
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(tarball_writer_folder(w, "a", &e));
    tarball_writer_free(w);
    assert_true(lseek(fd, 0, SEEK_END) < 512 + 1024); /* a header, but no two blocks of zeros */
}

static void test_every_cut_is_seen(void **state)
{
    autofd fd = archive_make();
    off_t end = lseek(fd, 0, SEEK_END);

    (void)state;
    for (int i = 3; i >= 0; i--) {
        struct seen s = {0};
        struct err e;

        assert_int_equal(ftruncate(fd, 2048 + (end - 4096) * i / 4), 0);
        lseek(fd, 0, SEEK_SET);
        assert_fails(visit(fd, &s, &e), -EINVAL, "BadImage");
        assert_contains(e.msg, "the archive: ");
        assert_int_equal(s.ends, 0);
        seen_done(&s);
    }
}

static void test_other_files_are_none(void **state)
{
    static const char *const texts[] = {"x",    "{}",         "\x1f\x8b", "\x28\xb5\x2f\xfd",
                                        "BZh9", "\xfd\x37zXZ"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        autofd fd = -EBADF;
        struct seen s = {0};
        struct err e = ERR_INIT;

        assert_ok(memfd_from("x", texts[i], strlen(texts[i]), &fd, &e));
        assert_fails(visit(fd, &s, &e), -EINVAL, "BadImage");
        seen_done(&s);
    }
}

static void test_the_visitor_can_end_it(void **state)
{
    autofd fd = archive_make();

    (void)state;
    for (int at = 1; at <= 6; at++) {
        struct seen s = {.fail_at = at};
        struct err e;

        lseek(fd, 0, SEEK_SET);
        assert_fails(visit(fd, &s, &e), -EEXIST, "Mine");
        assert_int_equal(s.calls, at);
        seen_done(&s);
    }
}

static void test_a_pipe_will_do(void **state)
{
    int ends[2];
    pid_t pid;
    struct seen s = {0};
    struct err e;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (!pid) {
        struct tarball_writer *w = tarball_writer_new(ends[1]);

        e = ERR_INIT;
        _exit(tarball_writer_text(w, "small", "abc", 3, &e) < 0 ||
              tarball_writer_finish(w, &e) < 0);
    }
    close(ends[1]);
    assert_ok(visit(ends[0], &s, &e));
    assert_string_equal(buf_str(&s.text), "small 0 3\n");
    close(ends[0]);
    seen_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_the_same_entries_make_the_same_archive),
        cmocka_unit_test(test_an_unfinished_archive_is_seen),
        cmocka_unit_test(test_every_cut_is_seen),
        cmocka_unit_test(test_other_files_are_none),
        cmocka_unit_test(test_the_visitor_can_end_it),
        cmocka_unit_test(test_a_pipe_will_do),
    };
    return cmocka_run_group_tests_name("tarball", tests, NULL, NULL);
}

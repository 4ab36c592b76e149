/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the object store: what crashes and bad disks leave of it, and its rewriting. */
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "object_place.h"

#define ROUNDS 30

/* In the place of the C library's, to fail, and to be quick: what a process wrote outlives it
 * without them. Only rewriting and opening call fsync(). */
static atomic_int fsync_errors;
int fsync(int fd);
int fdatasync(int fd);

int fsync(int fd)
{
    int n = fsync_errors;

    (void)fd;
    if (n > 0 && atomic_compare_exchange_strong(&fsync_errors, &n, n - 1)) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* A frame each for "a" (twice), "b" and "last"; where the last two begin. */
static void frames_write(struct place *p, const char *last, size_t *ret_b, size_t *ret_last)
{
    struct object_store_figures f;

    put(p, "a", "1");
    loop_run(p->loop);
    put(p, "a", "2");
    loop_run(p->loop);
    object_store_figures(p->store, &f);
    *ret_b = f.journal_bytes;
    put(p, "b", "1");
    loop_run(p->loop);
    object_store_figures(p->store, &f);
    *ret_last = f.journal_bytes;
    put(p, "last", last);
    place_close(p);
    buf_clear(&p->told);
}

static void assert_all_but_the_last(struct place *p)
{
    assert_string_equal(value_of(p, "a"), "2");
    assert_string_equal(value_of(p, "b"), "1");
    assert_string_equal(value_of(p, "last"), "");
    assert_int_equal(object_store_version(p->store), 3);
}

static void a_change_that_was_cut_off_anywhere_is_dropped(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT, now = BUF_INIT;
    size_t b, last;

    (void)state;
    place_new(&p);
    frames_write(&p, "1", &b, &last);
    journal_read(&p, &whole);
    for (size_t len = last; len < whole.len; len++) {
        journal_write(&p, whole.data, len);
        place_open(&p);
        assert_all_but_the_last(&p);
        assert_int_equal(p.notes.len != 0, len > last);
        buf_clear(&p.notes);
        journal_read(&p, &now);
        assert_int_equal(now.len, last);
        put(&p, "c", "3");
        place_reopen(&p);
        assert_string_equal(value_of(&p, "c"), "3");
        assert_int_equal(object_store_version(p.store), 4);
        assert_int_equal(p.notes.len, 0);
        place_close(&p);
    }
}

static void a_file_that_was_only_just_made_is_begun_again(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT;

    (void)state;
    place_new(&p);
    place_close(&p);
    journal_read(&p, &whole);
    assert_int_equal(whole.len, 16);
    for (size_t len = 0; len <= whole.len; len++) {
        journal_write(&p, whole.data, len);
        place_open(&p);
        put(&p, "a", "1");
        place_reopen(&p);
        assert_string_equal(value_of(&p, "a"), "1");
        place_close(&p);
    }
    assert_int_equal(p.notes.len, 0);
}

static void assert_damaged(struct place *p)
{
    struct err e = ERR_INIT;

    assert_fails(place_try(p, &e), -EBADMSG, "StateDamaged");
    assert_contains(e.msg, "objects.journal' is damaged at byte ");
    assert_contains(e.msg, "apply the manifests again");
}

static void every_bit_that_flips_is_found(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT, after = BUF_INIT;
    size_t b, last;

    (void)state;
    place_new(&p);
    frames_write(&p, "1", &b, &last);
    journal_read(&p, &whole);
    for (size_t at = 0; at < whole.len; at++) {
        whole.data[at] ^= (char)(1 << (at % 8));
        journal_write(&p, whole.data, whole.len);
        assert_damaged(&p);
        journal_read(&p, &after);
        assert_int_equal(after.len, whole.len);
        whole.data[at] ^= (char)(1 << (at % 8));
    }
}

static void the_place_of_damage_is_said(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT;
    autofree char *said = NULL;
    struct err e = ERR_INIT;
    size_t b, last;

    (void)state;
    place_new(&p);
    frames_write(&p, "1", &b, &last);
    journal_read(&p, &whole);
    whole.data[b + 60] ^= 1;
    journal_write(&p, whole.data, whole.len);
    said =
        xasprintf("'%s/objects.journal' is damaged at byte %zu: the sum of a frame is wrong; put "
                  "a copy of the file back, or move it away and apply the manifests again",
                  p.dir, b);
    assert_fails(place_try(&p, &e), -EBADMSG, "StateDamaged");
    assert_string_equal(e.msg, said);
}

/* The file had grown when the machine lost power, and some of it was never written. */
static void sectors_that_were_never_written_are_no_damage_at_the_end(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT, holed = BUF_INIT;
    autofree char *large = filler(3000);
    size_t b, last;

    (void)state;
    place_new(&p);
    frames_write(&p, large, &b, &last);
    journal_read(&p, &whole);
    for (size_t sector = last / 512; sector * 512 < whole.len; sector++) {
        size_t begin = sector * 512 < last ? last : sector * 512;
        size_t end = (sector + 1) * 512 < whole.len ? (sector + 1) * 512 : whole.len;

        buf_clear(&holed);
        buf_add(&holed, whole.data, whole.len);
        memset(holed.data + begin, 0, end - begin);
        journal_write(&p, holed.data, holed.len);
        place_open(&p);
        assert_all_but_the_last(&p);
        assert_true(p.notes.len > 0);
        buf_clear(&p.notes);
        place_close(&p);
    }
    /* Nothing of it but the length. */
    memset(holed.data + last, 0, holed.len - last);
    journal_write(&p, holed.data, holed.len);
    place_open(&p);
    assert_all_but_the_last(&p);
}

static void zeros_before_the_last_change_are_damage(void **state)
{
    autoplace p;
    autobuf whole = BUF_INIT;
    autofree char *large = filler(3000);
    size_t b, last, end;

    (void)state;
    place_new(&p);
    frames_write(&p, large, &b, &last);
    place_open(&p);
    put(&p, "more", "1");
    place_close(&p);
    journal_read(&p, &whole);
    end = last + 1024 - last % 512;
    memset(whole.data + end, 0, 512);
    journal_write(&p, whole.data, whole.len);
    assert_damaged(&p);
    /* The head of a frame that others follow. */
    memset(whole.data + b, 0, 32);
    journal_write(&p, whole.data, whole.len);
    assert_damaged(&p);
}

static void what_is_no_journal_is_left_alone(void **state)
{
    static const char text[] = "something else that somebody put here\n";
    autoplace p;
    autobuf after = BUF_INIT;

    (void)state;
    place_new(&p);
    place_close(&p);
    journal_write(&p, text, strlen(text));
    assert_damaged(&p);
    journal_read(&p, &after);
    assert_string_equal(buf_str(&after), text);
}

/* ---- Rewriting ---- */

/* `n` changes of the same three objects, 10 KB each, `beside` at a time. */
static void load(struct place *p, int n, int beside)
{
    for (int i = 0; i < n; i++) {
        autofree char *value = filler(10000);
        autofree char *name = xasprintf("o-%d", i % 3);

        snprintf(value, 10, "%09d", i);
        value[9] = 'x';
        put(p, name, value);
        if (i % beside == beside - 1)
            loop_run(p->loop);
    }
    loop_run(p->loop);
}

static void assert_loaded(const struct place *p, int n)
{
    for (int i = n - 3; i < n; i++) {
        autofree char *name = xasprintf("o-%d", i % 3);

        assert_int_equal(atoi(value_of(p, name)), i);
        assert_int_equal(strlen(value_of(p, name)), 10000);
    }
}

static void a_journal_that_is_mostly_outdated_is_rewritten_under_load(void **state)
{
    autoplace p;
    struct object_store_figures f;
    autofree char *path = NULL;
    struct stat st;

    (void)state;
    place_new(&p);
    path = journal_path(&p);
    load(&p, 600, 50);
    assert_int_equal(p.n_ok, 600);
    object_store_figures(p.store, &f);
    assert_true(f.rewrites >= 2);
    assert_int_equal(f.objects, 3);
    assert_true(f.live_bytes < 40000);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, f.journal_bytes);
    assert_true(f.journal_bytes < (1 << 20) + 60 * 10100);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_loaded(&p, 600);
    place_reopen(&p);
    assert_loaded(&p, 600);
    assert_int_equal(object_store_version(p.store), 600);
    assert_int_equal(p.notes.len, 0);
}

static void a_journal_whose_objects_live_is_not_rewritten(void **state)
{
    autoplace p;
    autofree char *value = filler(10000);
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    for (int i = 0; i < 300; i++) {
        autofree char *name = xasprintf("o-%d", i % 200);

        put(&p, name, value);
    }
    loop_run(p.loop);
    object_store_figures(p.store, &f);
    assert_true(f.journal_bytes > 3000000);
    assert_int_equal(f.rewrites, 0);
}

static void many_objects_survive_rewriting(void **state)
{
    autoplace p;
    autofree char *value = filler(30000);
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    for (int i = 0; i < 700; i++) {
        autofree char *name = xasprintf("o-%d", i % 300);

        put(&p, name, value);
    }
    loop_run(p.loop);
    object_store_figures(p.store, &f);
    assert_int_equal(f.rewrites, 1);
    place_reopen(&p);
    object_store_figures(p.store, &f);
    assert_int_equal(f.objects, 300);
    assert_string_equal(value_of(&p, "o-299"), value);
    assert_int_equal(object_store_version(p.store), 700);
}

static void the_version_of_a_deletion_survives_rewriting(void **state)
{
    autoplace p;
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    load(&p, 120, 120);
    gone(&p, "o-0");
    gone(&p, "o-1");
    gone(&p, "o-2");
    loop_run(p.loop);
    object_store_figures(p.store, &f);
    assert_true(f.rewrites >= 1);
    place_reopen(&p);
    object_store_figures(p.store, &f);
    assert_int_equal(f.objects, 0);
    assert_int_equal(object_store_version(p.store), 123);
}

static void rewriting_that_fails_is_told_and_changes_go_on(void **state)
{
    autoplace p;
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    fsync_errors = 1;
    load(&p, 150, 10);
    assert_int_equal(p.n_ok, 150);
    object_store_figures(p.store, &f);
    assert_int_equal(f.rewrites, 0);
    assert_contains(buf_str(&p.notes), "cannot rewrite");
    buf_clear(&p.notes);
    load(&p, 150, 10);
    object_store_figures(p.store, &f);
    assert_int_equal(f.rewrites, 1);
    place_reopen(&p);
    assert_loaded(&p, 150);
    assert_int_equal(p.notes.len, 0);
}

static void what_an_unfinished_rewriting_left_is_removed(void **state)
{
    autoplace p;
    autofree char *path = NULL;
    struct err e = ERR_INIT;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    place_close(&p);
    path = path_join(p.dir, "objects.journal.new");
    assert_ok(file_write(path, "half", 4, 0600, 0, &e));
    place_open(&p);
    assert_string_equal(value_of(&p, "a"), "1");
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- kill -9 ---- */

/* What the child tells for each change that was acknowledged. */
struct acknowledged {
    int object, value;
};

struct writer {
    struct place place;
    int fd, sent, done;
};

static void write_more(struct writer *w);

static void acknowledge(void *ctx, const struct err *failed)
{
    struct writer *w = ctx;
    struct acknowledged a = {w->done % 7, w->done};

    if (failed || write(w->fd, &a, sizeof(a)) != sizeof(a))
        _exit(1);
    w->done++;
    write_more(w);
}

static void write_more(struct writer *w)
{
    for (; w->sent < w->done + 5; w->sent++) {
        autofree char *name = xasprintf("o-%d", w->sent % 7);
        autofree char *value = filler(10000);

        snprintf(value, 10, "%09d", w->sent);
        value[9] = 'x';
        object_store_put(w->place.store, config_new(name, value), acknowledge, w);
    }
}

static int writer_main(char **argv)
{
    struct writer w = {.fd = atoi(argv[3])};
    struct err e = ERR_INIT;

    w.sent = w.done = atoi(argv[4]);
    w.place.dir = argv[2];
    if (loop_open(&w.place.loop, &e) < 0 || place_try(&w.place, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    write_more(&w);
    loop_run(w.place.loop);
    return 0;
}

/* Lets a child write for `ms` and kills it; the acknowledged values go into `last`. */
static void write_and_kill(const char *dir, int ms, int *last, int *next)
{
    struct timespec wait = {0, ms * 1000000L};
    struct acknowledged a;
    autofd reader = -EBADF;
    int fds[2], status;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    reader = fds[0];
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        autofree char *fd = xasprintf("%d", fds[1]), *first = xasprintf("%d", *next);

        close(fds[0]);
        execl("/proc/self/exe", "test_object_journal", "writer", dir, fd, first, NULL);
        _exit(127);
    }
    close(fds[1]);
    assert_int_equal(read(reader, &a, sizeof(a)), sizeof(a));
    nanosleep(&wait, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    do {
        last[a.object] = a.value;
        *next = a.value + 1;
    } while (read(reader, &a, sizeof(a)) == sizeof(a));
}

static void what_was_acknowledged_survives_the_kill(void **state)
{
    autoplace p;
    int last[7] = {-1, -1, -1, -1, -1, -1, -1}, next = 0;

    (void)state;
    place_in(&p, unit_temp_dir());
    for (int round = 0; round < ROUNDS; round++) {
        write_and_kill(p.dir, round * 3, last, &next);
        place_open(&p);
        for (int i = 0; i < 7; i++) {
            autofree char *name = xasprintf("o-%d", i);

            /* One that was not acknowledged may be there too. */
            if (last[i] >= 0)
                assert_true(atoi(value_of(&p, name)) >= last[i]);
        }
        assert_true(object_store_version(p.store) >= (uint64_t)next);
        place_close(&p);
    }
    assert_true(next > ROUNDS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_that_was_cut_off_anywhere_is_dropped),
        cmocka_unit_test(a_file_that_was_only_just_made_is_begun_again),
        cmocka_unit_test(every_bit_that_flips_is_found),
        cmocka_unit_test(the_place_of_damage_is_said),
        cmocka_unit_test(sectors_that_were_never_written_are_no_damage_at_the_end),
        cmocka_unit_test(zeros_before_the_last_change_are_damage),
        cmocka_unit_test(what_is_no_journal_is_left_alone),
        cmocka_unit_test(a_journal_that_is_mostly_outdated_is_rewritten_under_load),
        cmocka_unit_test(a_journal_whose_objects_live_is_not_rewritten),
        cmocka_unit_test(many_objects_survive_rewriting),
        cmocka_unit_test(the_version_of_a_deletion_survives_rewriting),
        cmocka_unit_test(rewriting_that_fails_is_told_and_changes_go_on),
        cmocka_unit_test(what_an_unfinished_rewriting_left_is_removed),
        cmocka_unit_test(what_was_acknowledged_survives_the_kill),
    };

    if (argc == 5 && str_eq(argv[1], "writer"))
        return writer_main(argv);
    return cmocka_run_group_tests_name("object_journal", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Changes, what they share, who may have the store, and what fails; the file is in
 * test_object_journal.c. */
#include "unit.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "object_place.h"
#include "own_mounts.h"

/* In the place of the C library's, to count and to fail. */
static atomic_int n_syncs, sync_errors, truncate_errors;
int fdatasync(int fd);
int fsync(int fd);
int ftruncate(int fd, off_t size);

static bool is_due(atomic_int *errors)
{
    int n = *errors;

    return n > 0 && atomic_compare_exchange_strong(errors, &n, n - 1);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int fdatasync(int fd)
{
    n_syncs++;
    if (is_due(&sync_errors)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int fsync(int fd)
{
    n_syncs++;
    if (is_due(&sync_errors)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int ftruncate(int fd, off_t size)
{
    if (is_due(&truncate_errors)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

/* ---- Changes ---- */

static void what_was_put_is_found_when_it_is_acknowledged(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "one");
    assert_string_equal(value_of(&p, "a"), "");
    assert_int_equal(object_store_version(p.store), 0);
    assert_told(&p, "ADDED a@1;ok;");
    assert_string_equal(value_of(&p, "a"), "one");
    put(&p, "a", "two");
    assert_told(&p, "MODIFIED a@2;ok;");
    assert_string_equal(value_of(&p, "a"), "two");
    gone(&p, "a");
    assert_told(&p, "DELETED a@3;ok;");
    assert_string_equal(value_of(&p, "a"), "");
    assert_int_equal(object_store_version(p.store), 3);
}

static void changes_that_share_a_commit_are_told_in_order(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    put(&p, "b", "1");
    gone(&p, "a");
    gone(&p, "a");
    gone(&p, "c");
    put(&p, "a", "2");
    put(&p, "b", "2");
    assert_told(&p, "ADDED a@1;ok;ADDED b@2;ok;DELETED a@3;ok;NotFound;NotFound;ADDED a@6;ok;"
                    "MODIFIED b@7;ok;");
    place_reopen(&p);
    assert_string_equal(value_of(&p, "a"), "2");
    assert_string_equal(value_of(&p, "b"), "2");
}

static void a_deletion_of_nothing_writes_nothing(void **state)
{
    autoplace p;
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    gone(&p, "a");
    assert_told(&p, "NotFound;");
    object_store_figures(p.store, &f);
    assert_int_equal(f.commits, 0);
    assert_int_equal(f.journal_bytes, 16);
}

static void put_again(void *ctx, const struct err *failed)
{
    struct place *p = ctx;

    place_done(p, failed);
    if (p->n_ok < 3)
        object_store_put(p->store, config_new("a", "again"), put_again, p);
}

static void an_answer_may_change_more(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    object_store_put(p.store, config_new("a", "first"), put_again, &p);
    assert_told(&p, "ADDED a@1;ok;MODIFIED a@2;ok;MODIFIED a@3;ok;");
}

static void a_thousand_puts_at_once_share_few_syncs(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    n_syncs = 0;
    for (int i = 0; i < 1000; i++) {
        autofree char *name = xasprintf("o-%d", i);

        put(&p, name, "value");
    }
    loop_run(p.loop);
    assert_int_equal(p.n_ok, 1000);
    assert_true(n_syncs >= 1 && n_syncs < 20);
}

static void an_object_is_stamped(void **state)
{
    autoplace p;
    const struct object *o;
    autofree char *uid = NULL;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    put(&p, "b", "1");
    loop_run(p.loop);
    o = object_store_find(p.store, OBJECT_CONFIG, "shop", "a");
    assert_string_equal(o->version, "1");
    assert_int_equal(strlen(o->uid), 36);
    assert_int_equal(o->uid[14], '4');
    assert_non_null(strchr("89ab", o->uid[19]));
    assert_int_equal(strlen(o->created), strlen("2026-11-27T00:00:00Z"));
    uid = xstrdup(o->uid);
    assert_string_not_equal(uid, object_store_find(p.store, OBJECT_CONFIG, "shop", "b")->uid);
    place_reopen(&p);
    o = object_store_find(p.store, OBJECT_CONFIG, "shop", "a");
    assert_string_equal(o->uid, uid);
    assert_string_equal(o->version, "1");
}

static void a_uid_that_an_object_has_is_kept(void **state)
{
    autoplace p;
    struct object *o = config_new("a", "1");

    (void)state;
    place_new(&p);
    object_stamp(o, "12-34", NULL, "2020-01-01T00:00:00Z");
    object_store_put(p.store, o, NULL, NULL);
    place_reopen(&p);
    assert_string_equal(object_store_find(p.store, OBJECT_CONFIG, "shop", "a")->uid, "12-34");
    assert_string_equal(object_store_find(p.store, OBJECT_CONFIG, "shop", "a")->created,
                        "2020-01-01T00:00:00Z");
}

static void versions_go_on_after_a_restart_and_after_deletions(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    gone(&p, "a");
    assert_told(&p, "ADDED a@1;ok;DELETED a@2;ok;");
    place_reopen(&p);
    assert_int_equal(object_store_version(p.store), 2);
    put(&p, "a", "1");
    assert_told(&p, "ADDED a@3;ok;");
}

static void closing_writes_what_waits(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    place_close(&p);
    assert_string_equal(buf_str(&p.told), "ADDED a@1;ok;");
    place_open(&p);
    assert_string_equal(value_of(&p, "a"), "1");
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

/* The commit is in the pool, or done and not told yet, when the loop is left. */
static void closing_takes_what_is_under_way(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        autoplace p;
        AUTO(loop_timer) t = NULL;

        place_new(&p);
        put(&p, "a", "1");
        t = loop_timer_new(p.loop, stop, p.loop);
        loop_timer_set(t, 0);
        loop_run(p.loop);
        put(&p, "b", "1");
        place_close(&p);
        assert_string_equal(buf_str(&p.told), "ADDED a@1;ok;ADDED b@2;ok;");
        place_open(&p);
        assert_string_equal(value_of(&p, "b"), "1");
    }
}

static void name_add(void *ctx, struct object *o)
{
    buf_addf(ctx, "%s ", o->name);
}

static void objects_come_in_the_order_of_their_names(void **state)
{
    static const char *const names[] = {"m", "b", "z", "a", "q", "c"};
    autoplace p;
    autobuf all = BUF_INIT, none = BUF_INIT;

    (void)state;
    place_new(&p);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(&p, names[i], "1");
    gone(&p, "m");
    loop_run(p.loop);
    object_store_each(p.store, OBJECT_CONFIG, "shop", name_add, &all);
    object_store_each(p.store, OBJECT_CONFIG, "shoq", name_add, &none);
    object_store_each(p.store, OBJECT_CONFIG, "sho", name_add, &none);
    object_store_each(p.store, OBJECT_SECRET, NULL, name_add, &none);
    assert_string_equal(buf_str(&all), "a b c q z ");
    assert_string_equal(buf_str(&none), "");
    object_store_each(p.store, OBJECT_CONFIG, NULL, name_add, &none);
    assert_string_equal(buf_str(&none), "a b c q z ");
}

static void in_order(void *ctx, struct object *o)
{
    struct object **before = ctx;

    assert_true(!*before || strcmp((*before)->name, o->name) < 0);
    *before = o;
}

static void ten_thousand_objects_are_fast(void **state)
{
    autoplace p;
    clock_t begin = clock();
    struct object *last = NULL;
    struct object_store_figures f;

    (void)state;
    place_new(&p);
    for (int i = 0; i < 10000; i++) {
        autofree char *name = xasprintf("o-%d", (i * 7919) % 10000);

        put(&p, name, "value");
    }
    loop_run(p.loop);
    place_reopen(&p);
    object_store_figures(p.store, &f);
    assert_int_equal(f.objects, 10000);
    object_store_each(p.store, OBJECT_CONFIG, NULL, in_order, &last);
    assert_string_equal(value_of(&p, "o-1234"), "value");
    /* Of the processor, so that what else runs does not matter; it takes about half a second. */
    assert_true(clock() - begin < 20 * CLOCKS_PER_SEC);
}

static void an_object_that_is_too_large_is_refused(void **state)
{
    autoplace p;
    struct object *o = config_new("a", "1");
    size_t len = 2 * OBJECT_LIMIT_BYTES;
    autofree char *json = xasprintf("\"%*s\"", (int)len, "");

    (void)state;
    place_new(&p);
    o->parts[0].json = arena_strdup(o->arena, json);
    o->parts[0].len = len + 2;
    object_store_put(p.store, o, place_done, &p);
    put(&p, "b", "1");
    assert_told(&p, "TooLarge;ADDED b@2;ok;");
}

/* ---- Who may have it ---- */

static void a_second_one_is_told_who_has_it(void **state)
{
    autoplace p;
    struct place other;
    struct err e = ERR_INIT;
    autofree char *pid = xasprintf("the process %d uses", (int)getpid());

    (void)state;
    place_new(&p);
    other = p;
    assert_fails(place_try(&other, &e), -EBUSY, "StateLocked");
    assert_contains(e.msg, pid);
    assert_contains(e.msg, p.dir);
    put(&p, "a", "1");
    assert_told(&p, "ADDED a@1;ok;");
    place_reopen(&p);
}

static void only_the_owner_can_read_it(void **state)
{
    autoplace p;
    char *dir = unit_temp_dir();
    autofree char *path = NULL;
    struct stat st;

    (void)state;
    place_in(&p, path_join(dir, "state"));
    place_open(&p);
    path = journal_path(&p);
    assert_int_equal(stat(p.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    place_close(&p);
    assert_int_equal(chmod(path, 0644), 0);
    place_open(&p);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    place_close(&p);
    unit_remove(p.dir);
    p.dir = dir;
}

static void a_folder_that_others_may_write_to_is_refused(void **state)
{
    autoplace p;
    struct err e = ERR_INIT;

    (void)state;
    place_in(&p, unit_temp_dir());
    assert_int_equal(chmod(p.dir, 0777), 0);
    assert_fails(place_try(&p, &e), -EPERM, "UntrustedFolder");
}

/* ---- Failures ---- */

static void a_failed_write_changes_nothing_and_the_next_one_is_tried(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    loop_run(p.loop);
    buf_clear(&p.told);
    sync_errors = 1;
    put(&p, "a", "2");
    put(&p, "b", "1");
    gone(&p, "a");
    assert_told(&p, "StateFailed;StateFailed;StateFailed;");
    assert_string_equal(value_of(&p, "a"), "1");
    assert_int_equal(object_store_version(p.store), 1);
    put(&p, "b", "2");
    assert_told(&p, "ADDED b@5;ok;");
    place_reopen(&p);
    assert_string_equal(value_of(&p, "a"), "1");
    assert_string_equal(value_of(&p, "b"), "2");
    assert_int_equal(p.notes.len, 0);
}

static void what_cannot_be_undone_stops_all_changes_until_it_is_opened_anew(void **state)
{
    autoplace p;

    (void)state;
    place_new(&p);
    put(&p, "a", "1");
    loop_run(p.loop);
    buf_clear(&p.told);
    sync_errors = truncate_errors = 1;
    put(&p, "a", "2");
    assert_told(&p, "StateFailed;");
    put(&p, "b", "1");
    gone(&p, "a");
    assert_told(&p, "StateBroken;StateBroken;");
    assert_string_equal(value_of(&p, "a"), "1");
    place_reopen(&p);
    put(&p, "b", "3");
    loop_run(p.loop);
    assert_string_equal(value_of(&p, "b"), "3");
}

static void fill_the_disk(void)
{
    struct place p = {0};
    struct err e = ERR_INIT;
    autofree char *large = filler(10000);
    size_t n_ok;

    child_check(mount("tmpfs", "/mnt", "tmpfs", 0, "size=64k,mode=700") == 0);
    p.dir = xstrdup("/mnt");
    child_check(loop_open(&p.loop, &e) == 0 && place_try(&p, &e) == 0);
    for (int i = 0; i < 10; i++) {
        autofree char *name = xasprintf("o-%d", i);

        put(&p, name, large);
        loop_run(p.loop);
    }
    child_check(p.n_ok >= 4 && p.n_failed >= 2);
    child_check(strstr(buf_str(&p.told), "StateFull;"));
    child_check(str_eq(value_of(&p, "o-9"), "") && str_eq(value_of(&p, "o-1"), large));
    n_ok = p.n_ok;
    /* A little still fits where much did not. */
    gone(&p, "o-0");
    put(&p, "small", "1");
    loop_run(p.loop);
    child_check(p.n_ok == n_ok + 2);
    object_store_close(take_ptr(p.store));
    child_check(place_try(&p, &e) == 0);
    child_check(p.notes.len == 0);
    child_check(str_eq(value_of(&p, "o-0"), "") && str_eq(value_of(&p, "o-1"), large));
    child_check(str_eq(value_of(&p, "small"), "1"));
}

static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    own_mounts_run(fill_the_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: it forks, and later there are threads. */
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(what_was_put_is_found_when_it_is_acknowledged),
        cmocka_unit_test(changes_that_share_a_commit_are_told_in_order),
        cmocka_unit_test(a_deletion_of_nothing_writes_nothing),
        cmocka_unit_test(an_answer_may_change_more),
        cmocka_unit_test(a_thousand_puts_at_once_share_few_syncs),
        cmocka_unit_test(an_object_is_stamped),
        cmocka_unit_test(a_uid_that_an_object_has_is_kept),
        cmocka_unit_test(versions_go_on_after_a_restart_and_after_deletions),
        cmocka_unit_test(closing_writes_what_waits),
        cmocka_unit_test(closing_takes_what_is_under_way),
        cmocka_unit_test(objects_come_in_the_order_of_their_names),
        cmocka_unit_test(ten_thousand_objects_are_fast),
        cmocka_unit_test(an_object_that_is_too_large_is_refused),
        cmocka_unit_test(a_second_one_is_told_who_has_it),
        cmocka_unit_test(only_the_owner_can_read_it),
        cmocka_unit_test(a_folder_that_others_may_write_to_is_refused),
        cmocka_unit_test(a_failed_write_changes_nothing_and_the_next_one_is_tried),
        cmocka_unit_test(what_cannot_be_undone_stops_all_changes_until_it_is_opened_anew),
    };

    return cmocka_run_group_tests_name("object_store", tests, NULL, NULL);
}

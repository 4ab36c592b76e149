/* SPDX-License-Identifier: Apache-2.0 */
/* Timers, descriptors, signals, work and posts; children are in test_loop_child.c. */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "loop/loop.h"

#define MS UINT64_C(1000000)

static struct loop *open_loop(void)
{
    struct err e = ERR_INIT;
    struct loop *l = NULL;
    assert_ok(loop_open(&l, &e));
    return l;
}

static void count(void *ctx)
{
    ++*(int *)ctx;
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

/* ---- Timers ---- */

static void note_time(void *ctx)
{
    *(uint64_t *)ctx = clock_monotonic_ns();
}

static void a_loop_with_nothing_to_wait_for_ends(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    int fired = 0;
    AUTO(loop_timer) t = loop_timer_new(l, count, &fired);
    (void)t;
    loop_run(l);
    assert_int_equal(fired, 0);
}

static void a_timer_never_fires_early(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    for (int i = 0; i < 60; i++) {
        uint64_t fired_ns = 0;
        AUTO(loop_timer) t = loop_timer_new(l, note_time, &fired_ns);
        uint64_t due_ns = clock_monotonic_ns() + (uint64_t)i * 77777;
        loop_timer_set(t, due_ns);
        assert_true(loop_timer_is_set(t));
        loop_run(l);
        assert_false(loop_timer_is_set(t));
        assert_true(fired_ns >= due_ns);
        assert_true(fired_ns < due_ns + 2000 * MS);
    }
}

struct turns {
    int n, timer, deferred;
};

static void note_timer(void *ctx)
{
    struct turns *t = ctx;
    t->timer = ++t->n;
}

static void note_deferred(void *ctx)
{
    struct turns *t = ctx;
    t->deferred = ++t->n;
}

static void a_timer_for_now_does_not_wait_for_the_end_of_the_millisecond(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    for (int i = 0; i < 20; i++) {
        struct turns turns = {0};
        AUTO(loop_timer) t = loop_timer_new(l, note_timer, &turns);
        loop_timer_set(t, clock_monotonic_ns());
        loop_defer(l, note_deferred, &turns);
        loop_run(l);
        assert_int_equal(turns.timer, 1);
        assert_int_equal(turns.deferred, 2);
    }
}

struct slow {
    struct loop_timer *timer;
    uint64_t due_ns, fired_ns;
};

static void slow(void *ctx)
{
    struct slow *s = ctx;
    usleep(500000);
    s->due_ns = clock_monotonic_ns() + 10 * MS;
    loop_timer_set(s->timer, s->due_ns);
}

/* A slow callback must not make the loop's idea of the time old. */
static void a_timer_that_a_slow_callback_sets_is_in_time(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct slow s = {.due_ns = 0};
    s.timer = loop_timer_new(l, note_time, &s.fired_ns);
    loop_defer(l, slow, &s);
    loop_run(l);
    loop_timer_free(s.timer);
    assert_true(s.fired_ns >= s.due_ns);
    assert_true(s.fired_ns < s.due_ns + 450 * MS);
}

struct order {
    struct loop *l;
    struct loop_timer *timers[4];
    char text[32];
};

static void note(struct order *o, char c)
{
    size_t len = strlen(o->text);
    assert_true(len + 1 < sizeof o->text);
    o->text[len] = c;
}

static void note_a(void *ctx)
{
    note(ctx, 'a');
}

static void note_b(void *ctx)
{
    note(ctx, 'b');
}

static void note_c(void *ctx)
{
    note(ctx, 'c');
}

static void timers_fire_in_the_order_of_their_moments(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct order o = {.l = l};
    AUTO(loop_timer) c = loop_timer_new(l, note_c, &o);
    AUTO(loop_timer) a = loop_timer_new(l, note_a, &o);
    AUTO(loop_timer) b = loop_timer_new(l, note_b, &o);
    uint64_t now_ns = clock_monotonic_ns();
    loop_timer_set(c, now_ns + 6 * MS);
    loop_timer_set(a, now_ns + 2 * MS);
    loop_timer_set(b, now_ns + 90000 * MS);
    loop_timer_set(b, now_ns + 4 * MS); /* replaces */
    loop_run(l);
    assert_string_equal(o.text, "abc");
}

static void free_all(void *ctx)
{
    struct order *o = ctx;
    note(o, 'f');
    for (int i = 0; i < 4; i++)
        loop_timer_free(take_ptr(o->timers[i]));
}

static void a_callback_frees_its_own_timer_and_those_that_are_due_with_it(void **state)
{
    (void)state;
    for (int is_future = 0; is_future < 2; is_future++) {
        AUTO(loop) l = open_loop();
        struct order o = {.l = l};
        uint64_t due_ns = is_future ? clock_monotonic_ns() + 3 * MS : 1;
        for (int i = 0; i < 4; i++) {
            o.timers[i] = loop_timer_new(l, free_all, &o);
            loop_timer_set(o.timers[i], due_ns);
        }
        loop_run(l);
        assert_string_equal(o.text, "f");
    }
}

static void a_timer_that_was_cleared_or_freed_does_not_fire(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    int fired = 0;
    struct loop_timer *freed = loop_timer_new(l, count, &fired);
    AUTO(loop_timer) cleared = loop_timer_new(l, count, &fired);
    for (int i = 0; i < 2; i++) {
        loop_timer_set(cleared, i ? clock_monotonic_ns() + MS : 0);
        loop_timer_clear(cleared);
        assert_false(loop_timer_is_set(cleared));
    }
    loop_timer_set(freed, 0);
    loop_timer_free(freed);
    loop_timer_free(NULL);
    loop_run(l);
    assert_int_equal(fired, 0);
}

struct again {
    struct loop_timer *self;
    struct loop *l;
    int fired;
};

static void set_again(void *ctx)
{
    struct again *a = ctx;
    a->fired++;
    loop_timer_set(a->self, 0);
}

static void a_timer_that_sets_itself_for_now_does_not_starve_the_others(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct again a = {.l = l};
    a.self = loop_timer_new(l, set_again, &a);
    AUTO(loop_timer) end = loop_timer_new(l, stop, l);
    loop_timer_set(a.self, 0);
    loop_timer_set(end, clock_monotonic_ns() + 5 * MS);
    loop_run(l);
    assert_true(a.fired > 1);
    loop_timer_free(a.self);
}

static void a_far_away_moment_is_no_moment_that_has_passed(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    int fired = 0;
    AUTO(loop_timer) t = loop_timer_new(l, count, &fired);
    AUTO(loop_timer) end = loop_timer_new(l, stop, l);
    loop_timer_set(t, UINT64_MAX);
    loop_timer_set(end, clock_monotonic_ns() + 2 * MS);
    loop_run(l);
    assert_int_equal(fired, 0);
    assert_true(loop_timer_is_set(t));
}

/* ---- Stopping ---- */

static void nothing_is_called_between_stop_and_the_end_of_run_and_nothing_is_lost(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    int fired = 0;
    loop_defer(l, stop, l);
    loop_defer(l, count, &fired);
    loop_post(l, count, &fired);
    AUTO(loop_timer) t = loop_timer_new(l, count, &fired);
    loop_timer_set(t, 0);
    loop_run(l);
    assert_int_equal(fired, 0);
    loop_run(l);
    assert_int_equal(fired, 3);
}

static void what_waits_when_the_loop_is_freed_is_called(void **state)
{
    (void)state;
    struct loop *l = open_loop();
    int fired = 0;
    loop_post(l, count, &fired);
    loop_defer(l, count, &fired);
    loop_defer(l, stop, l);
    loop_defer(l, count, &fired);
    loop_free(l);
    loop_free(NULL);
    assert_int_equal(fired, 3);
}

static void defer_more(void *ctx)
{
    struct again *a = ctx;
    if (++a->fired < 3)
        loop_defer(a->l, defer_more, a);
}

static void a_deferred_call_may_defer_another(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct again a = {.l = l};
    loop_defer(l, defer_more, &a);
    assert_int_equal(a.fired, 0);
    loop_run(l);
    assert_int_equal(a.fired, 3);
}

/* ---- Descriptors ---- */

struct seen {
    struct loop *l;
    struct loop_watch *watch, *other;
    int fd, calls;
    unsigned events;
};

/* Notes and asks for nothing more. */
static void ready(void *ctx, unsigned events)
{
    struct seen *s = ctx;
    s->calls++;
    s->events |= events;
    loop_watch_set(s->watch, 0);
}

static unsigned events_of(int fd, unsigned wanted)
{
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct seen s = {.l = l};
    assert_ok(loop_watch_new(l, fd, ready, &s, &s.watch, &e));
    loop_watch_set(s.watch, wanted);
    loop_run(l);
    assert_int_equal(s.calls, 1);
    loop_watch_free(s.watch);
    return s.events;
}

static void an_eventfd_and_a_socket_are_watched(void **state)
{
    (void)state;
    autofd fd = eventfd(1, EFD_CLOEXEC);
    assert_int_equal(events_of(fd, LOOP_READABLE), LOOP_READABLE);
    assert_int_equal(events_of(fd, LOOP_READABLE | LOOP_WRITABLE), LOOP_READABLE | LOOP_WRITABLE);
    assert_int_equal(events_of(fd, LOOP_WRITABLE), LOOP_WRITABLE);
}

static void a_pidfd_is_readable_when_its_process_has_ended(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    autofd fd = pidfd_open(pid, 0);
    assert_true(fd >= 0);
    assert_int_equal(events_of(fd, LOOP_READABLE), LOOP_READABLE);
    assert_int_equal(waitpid(pid, NULL, WNOHANG), pid);
}

static void an_error_of_a_descriptor_is_told_as_readable(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(events_of(fds[1], LOOP_WRITABLE), LOOP_WRITABLE);
    close(fds[0]);
    /* EPOLLERR: the reader has gone. */
    assert_true(events_of(fds[1], LOOP_WRITABLE) & LOOP_READABLE);
    assert_true(events_of(fds[1], LOOP_READABLE) & LOOP_READABLE);
    close(fds[1]);
    assert_int_equal(pipe(fds), 0);
    close(fds[1]);
    /* EPOLLHUP: the writer has. */
    assert_int_equal(events_of(fds[0], LOOP_READABLE), LOOP_READABLE);
    close(fds[0]);
}

static void three_times(void *ctx, unsigned events)
{
    struct seen *s = ctx;
    s->events |= events;
    if (++s->calls == 3)
        loop_watch_free(take_ptr(s->watch));
}

static void a_watch_tells_again_until_it_is_dealt_with_also_of_an_error(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    struct seen s = {.l = l};
    assert_ok(loop_watch_new(l, fds[1], three_times, &s, &s.watch, &e));
    loop_watch_set(s.watch, LOOP_READABLE);
    loop_run(l);
    assert_int_equal(s.calls, 3);
    close(fds[1]);
}

static void free_both(void *ctx, unsigned events)
{
    (void)events;
    struct seen *s = ctx;
    s->calls++;
    loop_watch_free(take_ptr(s->watch));
    loop_watch_free(take_ptr(s->other));
}

static void a_watch_that_was_freed_in_the_same_round_is_not_called(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    autofd a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);
    struct seen s = {.l = l};
    assert_ok(loop_watch_new(l, a, free_both, &s, &s.watch, &e));
    assert_ok(loop_watch_new(l, b, free_both, &s, &s.other, &e));
    loop_watch_set(s.watch, LOOP_READABLE);
    loop_watch_set(s.other, LOOP_READABLE);
    loop_run(l);
    assert_int_equal(s.calls, 1);
}

static void stop_by_watch(void *ctx, unsigned events)
{
    (void)events;
    struct seen *s = ctx;
    s->calls++;
    loop_stop(s->l);
}

static void a_watch_that_a_stop_has_cut_off_is_told_by_the_next_run(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct seen s[2] = {{.l = l}, {.l = l}};
    autofd a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);
    assert_ok(loop_watch_new(l, a, stop_by_watch, &s[0], &s[0].watch, &e));
    assert_ok(loop_watch_new(l, b, stop_by_watch, &s[1], &s[1].watch, &e));
    loop_watch_set(s[0].watch, LOOP_READABLE);
    loop_watch_set(s[1].watch, LOOP_READABLE);
    loop_run(l);
    assert_int_equal(s[0].calls + s[1].calls, 1);
    /* The one that was told is dealt with. */
    loop_watch_free(take_ptr(s[s[0].calls ? 0 : 1].watch));
    loop_run(l);
    assert_int_equal(s[0].calls, 1);
    assert_int_equal(s[1].calls, 1);
    loop_watch_free(s[0].watch);
    loop_watch_free(s[1].watch);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct seen s = {.l = l};
    FILE *file = tmpfile();
    assert_fails(loop_watch_new(l, fileno(file), ready, &s, &s.watch, &e), -EPERM, "LoopFailed");
    fclose(file);
    assert_fails(loop_watch_new(l, 1000, ready, &s, &s.watch, &e), -EBADF, "LoopFailed");
    autofd fd = eventfd(1, EFD_CLOEXEC);
    struct loop_watch *second = NULL;
    assert_ok(loop_watch_new(l, fd, ready, &s, &s.watch, &e));
    /* Also before anything is asked for. */
    assert_fails(loop_watch_new(l, fd, ready, &s, &second, &e), -EEXIST, "LoopFailed");
    loop_watch_set(s.watch, LOOP_READABLE);
    assert_fails(loop_watch_new(l, fd, ready, &s, &second, &e), -EEXIST, "LoopFailed");
    assert_null(second);
    loop_watch_free(s.watch);
    assert_ok(loop_watch_new(l, fd, ready, &s, &s.watch, &e));
    loop_watch_free(s.watch);
}

/* ---- Signals ---- */

static void a_signal_is_told_until_it_is_freed(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct loop_signal *s = NULL;
    assert_ok(loop_signal_new(l, SIGUSR1, stop, l, &s, &e));
    raise(SIGUSR1);
    loop_run(l); /* ends by the signal */
    loop_signal_free(s);
    struct sigaction now;
    assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    assert_fails(loop_signal_new(l, SIGKILL, stop, l, &s, &e), -EINVAL, "LoopFailed");
}

static void a_signal_that_was_freed_before_its_round_is_not_told(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    int caught = 0;
    struct loop_signal *s = NULL;
    assert_ok(loop_signal_new(l, SIGUSR1, count, &caught, &s, &e));
    raise(SIGUSR1);
    loop_signal_free(s);
    loop_run(l);
    assert_int_equal(caught, 0);
}

static void writing_to_nobody_is_an_error_and_no_signal(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    (void)l;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(fds[1]);
}

/* ---- Work and threads ---- */

struct job {
    struct loop *l;
    atomic_int running, most, finished;
    int done;
    pthread_t loop_thread;
};

static void do_work(void *ctx)
{
    struct job *j = ctx;
    int n = atomic_fetch_add(&j->running, 1) + 1;
    int most = atomic_load(&j->most);
    while (n > most && !atomic_compare_exchange_weak(&j->most, &most, n))
        ;
    assert_false(pthread_equal(pthread_self(), j->loop_thread));
    usleep(2000);
    atomic_fetch_sub(&j->running, 1);
    atomic_fetch_add(&j->finished, 1);
}

static void work_is_done(void *ctx)
{
    struct job *j = ctx;
    assert_true(pthread_equal(pthread_self(), j->loop_thread));
    assert_true(atomic_load(&j->finished) > j->done);
    j->done++;
}

static void work_runs_on_at_most_four_other_threads_and_is_done_on_the_loops(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct job j = {.l = l, .loop_thread = pthread_self()};
    for (int i = 0; i < 20; i++)
        loop_work(l, do_work, work_is_done, &j);
    loop_run(l);
    assert_int_equal(j.done, 20);
    assert_in_range(atomic_load(&j.most), 1, 4);
}

#define N_POSTERS 4
#define N_POSTS   5000

struct poster {
    struct loop *l;
    pthread_t thread;
    int id, *next,
        *total; /* next: what this thread's next call has to be; the loop's thread only */
};

struct posted {
    struct poster *from;
    int number;
};

static void posted_call(void *ctx)
{
    autofree struct posted *p = ctx;
    assert_int_equal(*p->from->next, p->number);
    ++*p->from->next;
    if (++*p->from->total == N_POSTERS * N_POSTS)
        loop_stop(p->from->l);
}

static void *post_many(void *ctx)
{
    struct poster *p = ctx;
    for (int i = 0; i < N_POSTS; i++) {
        struct posted *call = malloc(sizeof *call);
        *call = (struct posted){p, i};
        loop_post(p->l, posted_call, call);
    }
    return NULL;
}

static void no_post_of_any_thread_is_lost_and_each_threads_are_in_order(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct poster posters[N_POSTERS];
    int next[N_POSTERS] = {0}, total = 0;
    /* What keeps it running meanwhile. */
    AUTO(loop_timer) guard = loop_timer_new(l, stop, l);
    loop_timer_set(guard, clock_monotonic_ns() + 60000 * MS);
    for (int i = 0; i < N_POSTERS; i++) {
        posters[i] = (struct poster){.l = l, .id = i, .next = &next[i], .total = &total};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    loop_run(l);
    for (int i = 0; i < N_POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    assert_int_equal(total, N_POSTERS * N_POSTS);
}

static void what_was_posted_is_called_also_when_nothing_else_keeps_the_loop_running(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    int called = 0;
    loop_post(l, count, &called);
    loop_run(l);
    assert_int_equal(called, 1);
}

static void *post_later(void *ctx)
{
    usleep(20000);
    loop_post(ctx, stop, ctx);
    return NULL;
}

static void a_post_wakes_a_loop_that_sleeps_and_an_idle_loop_does_not_wake_up(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    pthread_t thread;
    struct seen seen = {.l = l};
    int caught = 0;
    autofd quiet = eventfd(0, EFD_CLOEXEC);
    AUTO(loop_signal) sig = NULL;
    AUTO(loop_timer) guard = loop_timer_new(l, stop, l);
    assert_ok(loop_signal_new(l, SIGUSR1, count, &caught, &sig, &e));
    assert_ok(loop_watch_new(l, quiet, ready, &seen, &seen.watch, &e));
    loop_watch_set(seen.watch, LOOP_READABLE);
    loop_timer_set(guard, clock_monotonic_ns() + 60000 * MS);
    for (int i = 0; i < 2; i++) {
        struct rusage before, after;
        assert_int_equal(pthread_create(&thread, NULL, post_later, l), 0);
        getrusage(RUSAGE_THREAD, &before);
        loop_run(l);
        getrusage(RUSAGE_THREAD, &after);
        pthread_join(thread, NULL);
        /* It sleeps once; not at all when the post was there first. */
        assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 2);
    }
    assert_true(loop_timer_is_set(guard));
    loop_watch_free(seen.watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_with_nothing_to_wait_for_ends),
        cmocka_unit_test(a_timer_never_fires_early),
        cmocka_unit_test(a_timer_for_now_does_not_wait_for_the_end_of_the_millisecond),
        cmocka_unit_test(a_timer_that_a_slow_callback_sets_is_in_time),
        cmocka_unit_test(timers_fire_in_the_order_of_their_moments),
        cmocka_unit_test(a_callback_frees_its_own_timer_and_those_that_are_due_with_it),
        cmocka_unit_test(a_timer_that_was_cleared_or_freed_does_not_fire),
        cmocka_unit_test(a_timer_that_sets_itself_for_now_does_not_starve_the_others),
        cmocka_unit_test(a_far_away_moment_is_no_moment_that_has_passed),
        cmocka_unit_test(nothing_is_called_between_stop_and_the_end_of_run_and_nothing_is_lost),
        cmocka_unit_test(what_waits_when_the_loop_is_freed_is_called),
        cmocka_unit_test(a_deferred_call_may_defer_another),
        cmocka_unit_test(an_eventfd_and_a_socket_are_watched),
        cmocka_unit_test(a_pidfd_is_readable_when_its_process_has_ended),
        cmocka_unit_test(an_error_of_a_descriptor_is_told_as_readable),
        cmocka_unit_test(a_watch_tells_again_until_it_is_dealt_with_also_of_an_error),
        cmocka_unit_test(a_watch_that_was_freed_in_the_same_round_is_not_called),
        cmocka_unit_test(a_watch_that_a_stop_has_cut_off_is_told_by_the_next_run),
        cmocka_unit_test(what_cannot_be_watched_is_refused),
        cmocka_unit_test(a_signal_is_told_until_it_is_freed),
        cmocka_unit_test(a_signal_that_was_freed_before_its_round_is_not_told),
        cmocka_unit_test(writing_to_nobody_is_an_error_and_no_signal),
        cmocka_unit_test(work_runs_on_at_most_four_other_threads_and_is_done_on_the_loops),
        cmocka_unit_test(no_post_of_any_thread_is_lost_and_each_threads_are_in_order),
        cmocka_unit_test(what_was_posted_is_called_also_when_nothing_else_keeps_the_loop_running),
        cmocka_unit_test(a_post_wakes_a_loop_that_sleeps_and_an_idle_loop_does_not_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

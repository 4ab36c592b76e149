/* SPDX-License-Identifier: Apache-2.0 */
#include "container/container.h"

#include "pod_machines.h"

/*
 * Random pods in a random world, with a supervisor that is killed between any two orders. The world
 * is a worker that keeps what runs and the records of ends, and a disk that keeps the last record.
 */

#define STEPS  500
#define ROUNDS 40

struct run {
    int64_t accepted; /* the last attempt that was; 0: none */
    int64_t alive;    /* the attempt that runs; 0: none */
    int64_t recorded; /* the attempt whose end the worker has on record */
    int code;
    int64_t nonces;   /* written by guests, one at each start */
    int64_t refusals; /* that count */
    bool is_finished; /* by the record on the disk */
};

struct world {
    struct rig r;
    unsigned seed;
    struct run runs[POD_CONTAINER_LIMIT];
    struct buf disk;
    /* Answers that are on their way to the supervisor. */
    struct {
        size_t container;
        enum pod_event event;
        int64_t attempt;
    } queue[256];
    size_t n_queue;
    bool has_worker; /* which refuses; without, nobody does, and that does not count */
    bool is_setup_due;
    bool is_gone;
    bool is_deleted;
    enum pod_phase shown;
    unsigned kills;
};

static bool chance(struct world *w, unsigned one_of)
{
    return rand_r(&w->seed) % one_of == 0;
}

static void answer(struct world *w, size_t i, enum pod_event event)
{
    assert_true(w->n_queue < ARRAY_SIZE(w->queue));
    w->queue[w->n_queue].container = i;
    w->queue[w->n_queue].event = event;
    w->queue[w->n_queue++].attempt = pod_machine_attempt(w->r.m, i);
}

static struct pod_spec *random_spec(struct world *w)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct pod_spec *s = rig_spec(rand_r(&w->seed) % 3);
    size_t first = rand_r(&w->seed) % 4, n = first + 1 + rand_r(&w->seed) % 3;

    if (chance(w, 4))
        s->active_deadline_ms = 1000 * (1 + rand_r(&w->seed) % 600);
    for (size_t i = 0; i < n; i++) {
        struct pod_container *c = rig_add(s,
                                          i >= first     ? POD_ROLE_MAIN
                                          : chance(w, 2) ? POD_ROLE_INIT
                                                         : POD_ROLE_SIDECAR,
                                          names[i]);

        if (chance(w, 3))
            c->startup = rig_probe(s, -1);
        if (chance(w, 3))
            c->liveness = rig_probe(s, chance(w, 2) ? -1 : 1000);
        if (chance(w, 3))
            c->readiness = rig_probe(s, -1);
        if (chance(w, 4))
            c->post_start = arena_alloc(s->arena, sizeof(*c->post_start));
        if (chance(w, 4))
            c->pre_stop = arena_alloc(s->arena, sizeof(*c->pre_stop));
    }
    return s;
}

/* ---- What must hold ---- */

static void check_round_trip(struct world *w)
{
    autobuf before = BUF_INIT, after = BUF_INIT;
    struct rig copy = w->r;
    struct err e = ERR_INIT;

    rig_record(&w->r, &before);
    assert_ok(pod_machine_decode(copy.spec, copy.now, before.data, before.len, &copy.m, &e));
    assert_string_equal(buf_str(&before), rig_record(&copy, &after));
    pod_machine_free(copy.m);
}

static void check_count(const struct world *w, size_t i)
{
    const struct run *run = &w->runs[i];
    int64_t restarts = pod_machine_restart_count(w->r.m, i);

    /* What was refused counts once that is on the disk. */
    assert_true(restarts >= run->nonces - 1);
    assert_true(!restarts || restarts <= run->nonces + run->refusals - 1);
}

static void check(struct world *w)
{
    for (size_t i = 0; i < w->r.spec->n_containers; i++) {
        enum pod_state s = pod_machine_state(w->r.m, i);
        /* Between a start and the news of it the machine cannot know. */
        if (s == POD_STATE_STARTING || s == POD_STATE_INTERRUPTED ||
            pod_machine_is_unclaimed(w->r.m, i))
            continue;
        check_count(w, i);
        if (s == POD_STATE_FINISHED)
            assert_int_equal(w->runs[i].alive, 0);
    }
    if (pod_machine_is_over(w->r.m))
        for (size_t i = 0; i < w->r.spec->n_containers; i++)
            assert_int_equal(w->runs[i].alive, 0);
    check_round_trip(w);
}

/* ---- Orders ---- */

static void start(struct world *w, const struct pod_order *o)
{
    struct run *run = &w->runs[o->container];

    assert_int_equal(run->alive, 0);
    assert_false(run->is_finished);
    assert_true(o->attempt > run->accepted && o->attempt <= run->nonces + run->refusals + 1);
    if (chance(w, 10)) {
        run->refusals += w->has_worker;
        answer(w, o->container, POD_EVENT_REFUSED);
        return;
    }
    run->accepted = run->alive = o->attempt;
    run->recorded = 0;
    run->nonces++;
    answer(w, o->container, POD_EVENT_STARTED);
}

static void exit_run(struct world *w, size_t i, int code)
{
    struct run *run = &w->runs[i];

    if (!run->alive)
        return;
    run->recorded = run->alive;
    run->alive = 0;
    run->code = code;
    answer(w, i, POD_EVENT_EXITED);
}

static void persist(struct world *w)
{
    rig_record(&w->r, &w->disk);
    for (size_t i = 0; i < w->r.spec->n_containers; i++)
        w->runs[i].is_finished |= pod_machine_state(w->r.m, i) == POD_STATE_FINISHED;
}

static void probe(struct world *w, size_t i)
{
    answer(w, i, chance(w, 8) ? POD_EVENT_STARTUP_FAILED : POD_EVENT_STARTUP_OK);
    answer(w, i, chance(w, 2) ? POD_EVENT_READY : POD_EVENT_UNREADY);
    if (chance(w, 8))
        answer(w, i, POD_EVENT_LIVENESS_FAILED);
}

static void show(struct world *w)
{
    assert_true(pod_machine_phase(w->r.m) >= w->shown);
    if (w->shown >= POD_SUCCEEDED)
        assert_int_equal(pod_machine_phase(w->r.m), w->shown);
    w->shown = pod_machine_phase(w->r.m);
}

static void carry_out(struct world *w, const struct pod_order *o)
{
    size_t i = o->container;

    switch (o->kind) {
    case POD_ORDER_PERSIST:
        persist(w);
        break;
    case POD_ORDER_SETUP:
        w->is_setup_due = true;
        break;
    case POD_ORDER_RESOLVE:
        if (chance(w, 2))
            answer(w, i, POD_EVENT_PULLING);
        answer(w, i, chance(w, 8) ? POD_EVENT_IMAGE_FAILED : POD_EVENT_IMAGE_OK);
        break;
    case POD_ORDER_PREPARE:
        answer(w, i, chance(w, 8) ? POD_EVENT_CONFIG_FAILED : POD_EVENT_CONFIG_OK);
        break;
    case POD_ORDER_START:
        start(w, o);
        break;
    case POD_ORDER_POST_START:
        assert_non_null(w->r.spec->containers[i].post_start);
        answer(w, i, chance(w, 8) ? POD_EVENT_POST_START_FAILED : POD_EVENT_POST_START_OK);
        break;
    case POD_ORDER_PROBE:
        probe(w, i);
        break;
    case POD_ORDER_PRE_STOP:
        assert_non_null(w->r.spec->containers[i].pre_stop);
        if (!chance(w, 4))
            answer(w, i, POD_EVENT_PRE_STOP_DONE);
        break;
    case POD_ORDER_TELL:
        if (chance(w, 2))
            exit_run(w, i, chance(w, 2) ? 0 : 143);
        break;
    case POD_ORDER_INTERRUPT:
        exit_run(w, i, 143);
        break;
    case POD_ORDER_FORGET:
        assert_int_not_equal(w->runs[i].alive, o->attempt);
        if (w->runs[i].recorded == o->attempt)
            w->runs[i].recorded = 0;
        break;
    case POD_ORDER_STATUS:
        show(w);
        break;
    case POD_ORDER_GONE:
        assert_true(w->is_deleted);
        w->is_gone = true;
        break;
    case POD_ORDER_EVENT:
        assert_true(*o->text && *o->reason);
        break;
    case POD_ORDER_UNPROBE:
    case POD_ORDER_TEARDOWN:
        break;
    }
}

static void kill_supervisor(struct world *w);

/* Any of them may be the last one that is carried out. */
static void carry_out_all(struct world *w, bool is_safe)
{
    struct pod_orders orders = w->r.orders;

    w->r.orders = POD_ORDERS_INIT;
    for (size_t i = 0; i < orders.n; i++) {
        if (!is_safe && chance(w, 40)) {
            pod_orders_done(&orders);
            kill_supervisor(w);
            return;
        }
        carry_out(w, &orders.v[i]);
    }
    pod_orders_done(&orders);
}

static void feed(struct world *w, size_t i, enum pod_event event, int64_t attempt)
{
    struct err e = {-EIO, w->has_worker ? "BadLuck" : CONTAINER_REASON_WORKER, "no luck"};
    struct guest_status status = {.reason = (char *)(w->runs[i].code ? "Error" : "Completed"),
                                  .exit_code = w->runs[i].code};

    pod_machine_feed(
        w->r.m, w->r.now,
        &(struct pod_input){
            .event = event, .container = i, .attempt = attempt, .error = &e, .status = &status},
        &w->r.orders);
}

static void claim(struct world *w, size_t i)
{
    const struct run *run = &w->runs[i];
    int64_t attempt = pod_machine_attempt(w->r.m, i);
    enum pod_event event = POD_EVENT_NEVER;

    if (run->alive == attempt)
        event = POD_EVENT_STARTED;
    else if (run->recorded == attempt)
        event = POD_EVENT_EXITED;
    else if (run->accepted == attempt)
        event = POD_EVENT_LOST;
    feed(w, i, event, attempt);
}

static void kill_supervisor(struct world *w)
{
    struct err e = ERR_INIT;

    w->kills++;
    w->n_queue = 0;
    pod_machine_free(w->r.m);
    w->r.m = NULL;
    if (chance(w, 3))
        rig_pass(&w->r, rand_r(&w->seed) % 100 * SECOND);
    /* Guests go on without it. */
    for (size_t i = 0; i < w->r.spec->n_containers; i++)
        if (w->runs[i].alive && chance(w, 6)) {
            w->runs[i].recorded = chance(w, 3) ? 0 : w->runs[i].alive;
            w->runs[i].alive = 0;
            w->runs[i].code = rand_r(&w->seed) % 2;
        }
    if (w->disk.len) {
        assert_ok(pod_machine_decode(w->r.spec, w->r.now, w->disk.data, w->disk.len, &w->r.m, &e));
    } else {
        w->r.m = pod_machine_new(w->r.spec, w->r.now);
    }
    assert_true(pod_machine_phase(w->r.m) >= w->shown);
    pod_machine_begin(w->r.m, w->r.now, &w->r.orders);
    for (size_t i = 0; i < w->r.spec->n_containers; i++)
        if (pod_machine_is_unclaimed(w->r.m, i))
            claim(w, i);
    /* What asks for the deletion asks again. */
    if (w->is_deleted)
        pod_machine_delete(w->r.m, w->r.now, -1, &w->r.orders);
    carry_out_all(w, true);
}

/* ---- Steps ---- */

static void lose(struct world *w, size_t i)
{
    if (!w->runs[i].alive)
        return;
    w->runs[i].alive = w->runs[i].recorded = 0;
    answer(w, i, POD_EVENT_LOST);
}

static void timer(struct world *w)
{
    uint64_t due = pod_machine_timer_ns(w->r.m);

    if (due != UINT64_MAX && due > w->r.now.monotonic_ns && chance(w, 2))
        rig_pass(&w->r, due - w->r.now.monotonic_ns);
    else
        rig_pass(&w->r, rand_r(&w->seed) % 30 * SECOND);
    pod_machine_timer(w->r.m, w->r.now, &w->r.orders);
}

static void set_up(struct world *w)
{
    struct err missing = {-ENOENT, "FailedMount", "not there"};

    if (w->is_setup_due)
        pod_machine_set_up(w->r.m, w->r.now, chance(w, 4) ? &missing : NULL, &w->r.orders);
    w->is_setup_due = false;
}

static void delete (struct world *w)
{
    w->is_deleted = true;
    pod_machine_delete(w->r.m, w->r.now, rand_r(&w->seed) % 3 * 1000 - 1, &w->r.orders);
}

/* Answers of one container keep their order, those of different ones need not. */
static void deliver(struct world *w)
{
    size_t at = 0, wanted;

    if (!w->n_queue)
        return;
    wanted = w->queue[rand_r(&w->seed) % w->n_queue].container;
    while (w->queue[at].container != wanted)
        at++;
    feed(w, wanted, w->queue[at].event, w->queue[at].attempt);
    memmove(&w->queue[at], &w->queue[at + 1], (--w->n_queue - at) * sizeof(*w->queue));
}

static void step(struct world *w, bool is_calm)
{
    size_t i = rand_r(&w->seed) % w->r.spec->n_containers;
    unsigned what = rand_r(&w->seed) % 100;

    if (what < 60)
        deliver(w);
    else if (what < 70)
        set_up(w);
    else if (what < 80)
        timer(w);
    else if (what < 88)
        exit_run(w, i, rand_r(&w->seed) % 2);
    else if (is_calm)
        return;
    else if (what < 90)
        lose(w, i);
    else if (what < 92)
        feed(w, i, POD_EVENT_RESTART, 0);
    else if (what < 93)
        pod_machine_retry(w->r.m, w->r.now, &w->r.orders);
    else if (what < 94 && chance(w, 8))
        delete (w);
    else if (what < 95 && chance(w, 20))
        pod_machine_fail(w->r.m, w->r.now, "Evicted", "memory is short", &w->r.orders);
    else if (what < 97)
        kill_supervisor(w);
}

static unsigned one_round(unsigned seed)
{
    struct world w = {.seed = seed, .has_worker = seed % 2};
    unsigned kills;

    rig_open(&w.r, random_spec(&w));
    carry_out_all(&w, false);
    for (int i = 0; i < STEPS && !w.is_gone; i++) {
        step(&w, false);
        carry_out_all(&w, false);
        check(&w);
    }
    /* Everything can be ended in a while, wherever it is. */
    if (!w.is_gone)
        delete (&w);
    carry_out_all(&w, true);
    for (int i = 0; i < 2000 && !w.is_gone; i++) {
        step(&w, true);
        carry_out_all(&w, true);
        check(&w);
    }
    assert_true(w.is_gone);
    for (size_t i = 0; i < w.r.spec->n_containers; i++) {
        assert_int_equal(w.runs[i].alive, 0);
        check_count(&w, i);
    }
    kills = w.kills;
    buf_done(&w.disk);
    rig_done(&w.r);
    return kills;
}

static void nothing_starts_twice_and_every_start_is_counted_wherever_it_is_killed(void **state)
{
    const char *given = getenv("POD_SEED");
    unsigned kills = 0;

    (void)state;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : i;

        print_message("# POD_SEED=%u\n", seed);
        kills += one_round(seed);
        if (given)
            break;
    }
    assert_true(given || kills > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_starts_twice_and_every_start_is_counted_wherever_it_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

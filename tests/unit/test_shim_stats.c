/* SPDX-License-Identifier: Apache-2.0 */
/* A control group's figures as containerd unpacks them. */
#include "unit.h"

#include "shim/messages/messages.h"
#include "shim/service/stats.h"

static Stats__Metrics *unpacked(const struct cgroup_stats *s, struct arena *a)
{
    autobuf packed = BUF_INIT;
    struct err e = ERR_INIT;
    Stats__Metrics *m = NULL;

    stats_pack(s, &packed);
    assert_ok(protobuf_unpack(&stats__metrics__descriptor, (struct text){packed.data, packed.len},
                              a, &m, &e));
    return m;
}

static void figures_are_where_containerd_looks_for_them(void **state)
{
    AUTO(arena) a = arena_new();
    struct cgroup_stats s = {0};
    const Stats__Metrics *m;

    (void)state;
    s.pids.is_there = s.cpu.is_there = s.memory.is_there = true;
    s.pids.current = 3;
    s.pids.limit = 100;
    s.cpu.usage_us = 5;
    s.cpu.user_us = 2;
    s.cpu.system_us = 3;
    s.cpu.throttled_us = 9;
    s.memory.usage_bytes = 1 << 20;
    s.memory.inactive_file_bytes = 4096;
    s.memory.limit_bytes = UINT64_MAX;
    s.memory_events.oom_kill = 2;
    s.n_io = 1;
    s.io[0].major = 8;
    s.io[0].minor = 1;
    s.io[0].read_bytes = 10;
    s.io[0].written_bytes = 20;
    s.io[0].reads = 1;
    s.io[0].writes = 2;
    m = unpacked(&s, a);
    assert_int_equal(m->pids->current, 3);
    assert_int_equal(m->pids->limit, 100);
    assert_int_equal(m->cpu->usage_usec, 5);
    assert_int_equal(m->cpu->user_usec, 2);
    assert_int_equal(m->cpu->system_usec, 3);
    assert_int_equal(m->cpu->throttled_usec, 9);
    assert_int_equal(m->memory->usage, 1 << 20);
    assert_int_equal(m->memory->inactive_file, 4096);
    assert_true(m->memory->usage_limit == UINT64_MAX);
    assert_int_equal(m->memory_events->oom_kill, 2);
    assert_int_equal(m->io->n_usage, 1);
    assert_int_equal(m->io->usage[0]->major, 8);
    assert_int_equal(m->io->usage[0]->wbytes, 20);
    assert_int_equal(m->io->usage[0]->wios, 2);
}

static void what_is_not_counted_is_absent_and_not_zero(void **state)
{
    AUTO(arena) a = arena_new();
    struct cgroup_stats s = {0};
    const Stats__Metrics *m;

    (void)state;
    s.cpu.is_there = true;
    m = unpacked(&s, a);
    assert_null(m->pids);
    assert_null(m->memory);
    assert_null(m->memory_events);
    assert_non_null(m->cpu);
    assert_int_equal(m->io->n_usage, 0);
}

static void as_many_devices_as_are_read_are_told(void **state)
{
    AUTO(arena) a = arena_new();
    struct cgroup_stats s = {.n_io = CGROUP_IO_MAX};
    const Stats__Metrics *m;

    (void)state;
    s.io[CGROUP_IO_MAX - 1].minor = 77;
    m = unpacked(&s, a);
    assert_int_equal(m->io->n_usage, CGROUP_IO_MAX);
    assert_int_equal(m->io->usage[CGROUP_IO_MAX - 1]->minor, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_where_containerd_looks_for_them),
        cmocka_unit_test(what_is_not_counted_is_absent_and_not_zero),
        cmocka_unit_test(as_many_devices_as_are_read_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

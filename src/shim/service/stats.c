/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/service/stats.h"

#include "shim/messages/messages.h"

static void memory_fill(const struct cgroup_stats *s, Stats__Memory *m)
{
    m->anon = s->memory.anon_bytes;
    m->file = s->memory.file_bytes;
    m->kernel_stack = s->memory.kernel_stack_bytes;
    m->slab = s->memory.slab_bytes;
    m->sock = s->memory.sock_bytes;
    m->shmem = s->memory.shmem_bytes;
    m->file_mapped = s->memory.file_mapped_bytes;
    m->file_dirty = s->memory.file_dirty_bytes;
    m->file_writeback = s->memory.file_writeback_bytes;
    m->anon_thp = s->memory.anon_thp_bytes;
    m->inactive_anon = s->memory.inactive_anon_bytes;
    m->active_anon = s->memory.active_anon_bytes;
    m->inactive_file = s->memory.inactive_file_bytes;
    m->active_file = s->memory.active_file_bytes;
    m->unevictable = s->memory.unevictable_bytes;
    m->slab_reclaimable = s->memory.slab_reclaimable_bytes;
    m->slab_unreclaimable = s->memory.slab_unreclaimable_bytes;
    m->pgfault = s->memory.pgfault;
    m->pgmajfault = s->memory.pgmajfault;
    m->workingset_refault = s->memory.workingset_refault;
    m->workingset_activate = s->memory.workingset_activate;
    m->workingset_nodereclaim = s->memory.workingset_nodereclaim;
    m->pgrefill = s->memory.pgrefill;
    m->pgscan = s->memory.pgscan;
    m->pgsteal = s->memory.pgsteal;
    m->pgactivate = s->memory.pgactivate;
    m->pgdeactivate = s->memory.pgdeactivate;
    m->pglazyfree = s->memory.pglazyfree;
    m->pglazyfreed = s->memory.pglazyfreed;
    m->thp_fault_alloc = s->memory.thp_fault_alloc;
    m->thp_collapse_alloc = s->memory.thp_collapse_alloc;
    m->usage = s->memory.usage_bytes;
    m->usage_limit = s->memory.limit_bytes;
    m->swap_usage = s->memory.swap_usage_bytes;
    m->swap_limit = s->memory.swap_limit_bytes;
    m->max_usage = s->memory.max_usage_bytes;
    m->swap_max_usage = s->memory.swap_max_usage_bytes;
}

static void io_fill(const struct cgroup_stats *s, Stats__IoEntry *entries, Stats__IoEntry **list)
{
    for (size_t i = 0; i < s->n_io; i++) {
        const struct cgroup_io *from = &s->io[i];

        stats__io_entry__init(&entries[i]);
        entries[i].major = from->major;
        entries[i].minor = from->minor;
        entries[i].rbytes = from->read_bytes;
        entries[i].wbytes = from->written_bytes;
        entries[i].rios = from->reads;
        entries[i].wios = from->writes;
        list[i] = &entries[i];
    }
}

void stats_pack(const struct cgroup_stats *s, struct buf *ret)
{
    Stats__Metrics m = STATS__METRICS__INIT;
    Stats__Pids pids = STATS__PIDS__INIT;
    Stats__Cpu cpu = STATS__CPU__INIT;
    Stats__Memory memory = STATS__MEMORY__INIT;
    Stats__MemoryEvents events = STATS__MEMORY_EVENTS__INIT;
    Stats__Io io = STATS__IO__INIT;
    Stats__IoEntry entries[CGROUP_IO_MAX], *list[CGROUP_IO_MAX];

    pids.current = s->pids.current;
    pids.limit = s->pids.limit;
    cpu.usage_usec = s->cpu.usage_us;
    cpu.user_usec = s->cpu.user_us;
    cpu.system_usec = s->cpu.system_us;
    cpu.nr_periods = s->cpu.n_periods;
    cpu.nr_throttled = s->cpu.n_throttled;
    cpu.throttled_usec = s->cpu.throttled_us;
    memory_fill(s, &memory);
    events.low = s->memory_events.low;
    events.high = s->memory_events.high;
    events.max = s->memory_events.max;
    events.oom = s->memory_events.oom;
    events.oom_kill = s->memory_events.oom_kill;
    io_fill(s, entries, list);
    io.n_usage = s->n_io;
    io.usage = list;
    m.pids = s->pids.is_there ? &pids : NULL;
    m.cpu = s->cpu.is_there ? &cpu : NULL;
    m.memory = s->memory.is_there ? &memory : NULL;
    m.memory_events = s->memory.is_there ? &events : NULL;
    m.io = &io;
    protobuf_add(&m.base, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counts for a group, in the words of version 2. */
#include "container/cgroup/cgroup_parts.h"

/* v1 has no limit as the largest number of pages. */
#define V1_NO_LIMIT (UINT64_MAX / 4)
#define US_NS       1000

struct row {
    const char *key;
    size_t offset; /* of a uint64_t in struct cgroup_stats; several keys may add to one */
};

#define ROW(key, member)                                                                           \
    {                                                                                              \
        key, offsetof(struct cgroup_stats, member)                                                 \
    }

static const struct row memory_v1[] = {
    ROW("total_rss", memory.anon_bytes),
    ROW("total_cache", memory.file_bytes),
    ROW("total_rss_huge", memory.anon_thp_bytes),
    ROW("total_shmem", memory.shmem_bytes),
    ROW("total_mapped_file", memory.file_mapped_bytes),
    ROW("total_dirty", memory.file_dirty_bytes),
    ROW("total_writeback", memory.file_writeback_bytes),
    ROW("total_inactive_anon", memory.inactive_anon_bytes),
    ROW("total_active_anon", memory.active_anon_bytes),
    ROW("total_inactive_file", memory.inactive_file_bytes),
    ROW("total_active_file", memory.active_file_bytes),
    ROW("total_unevictable", memory.unevictable_bytes),
    ROW("total_swap", memory.swap_usage_bytes),
    ROW("total_pgfault", memory.pgfault),
    ROW("total_pgmajfault", memory.pgmajfault),
    ROW("total_workingset_refault_anon", memory.workingset_refault),
    ROW("total_workingset_refault_file", memory.workingset_refault),
};

static const struct row memory_v2[] = {
    ROW("anon", memory.anon_bytes),
    ROW("file", memory.file_bytes),
    ROW("kernel_stack", memory.kernel_stack_bytes),
    ROW("slab", memory.slab_bytes),
    ROW("sock", memory.sock_bytes),
    ROW("shmem", memory.shmem_bytes),
    ROW("file_mapped", memory.file_mapped_bytes),
    ROW("file_dirty", memory.file_dirty_bytes),
    ROW("file_writeback", memory.file_writeback_bytes),
    ROW("anon_thp", memory.anon_thp_bytes),
    ROW("inactive_anon", memory.inactive_anon_bytes),
    ROW("active_anon", memory.active_anon_bytes),
    ROW("inactive_file", memory.inactive_file_bytes),
    ROW("active_file", memory.active_file_bytes),
    ROW("unevictable", memory.unevictable_bytes),
    ROW("slab_reclaimable", memory.slab_reclaimable_bytes),
    ROW("slab_unreclaimable", memory.slab_unreclaimable_bytes),
    ROW("pgfault", memory.pgfault),
    ROW("pgmajfault", memory.pgmajfault),
    ROW("workingset_refault", memory.workingset_refault), /* before Linux 5.9; then two */
    ROW("workingset_refault_anon", memory.workingset_refault),
    ROW("workingset_refault_file", memory.workingset_refault),
    ROW("workingset_activate", memory.workingset_activate),
    ROW("workingset_activate_anon", memory.workingset_activate),
    ROW("workingset_activate_file", memory.workingset_activate),
    ROW("workingset_nodereclaim", memory.workingset_nodereclaim),
    ROW("pgrefill", memory.pgrefill),
    ROW("pgscan", memory.pgscan),
    ROW("pgsteal", memory.pgsteal),
    ROW("pgactivate", memory.pgactivate),
    ROW("pgdeactivate", memory.pgdeactivate),
    ROW("pglazyfree", memory.pglazyfree),
    ROW("pglazyfreed", memory.pglazyfreed),
    ROW("thp_fault_alloc", memory.thp_fault_alloc),
    ROW("thp_collapse_alloc", memory.thp_collapse_alloc),
};

static const struct row events_v2[] = {
    ROW("low", memory_events.low),           ROW("high", memory_events.high),
    ROW("max", memory_events.max),           ROW("oom", memory_events.oom),
    ROW("oom_kill", memory_events.oom_kill),
};

static const struct row cpu_v2[] = {
    ROW("usage_usec", cpu.usage_us),      ROW("user_usec", cpu.user_us),
    ROW("system_usec", cpu.system_us),    ROW("nr_periods", cpu.n_periods),
    ROW("nr_throttled", cpu.n_throttled), ROW("throttled_usec", cpu.throttled_us),
    ROW("nr_bursts", cpu.n_bursts),       ROW("burst_usec", cpu.bursts_us),
};

/* In nanoseconds here. */
static const struct row cpu_v1[] = {
    ROW("nr_periods", cpu.n_periods),        ROW("nr_throttled", cpu.n_throttled),
    ROW("throttled_time", cpu.throttled_us), ROW("nr_bursts", cpu.n_bursts),
    ROW("burst_time", cpu.bursts_us),
};

static uint64_t *number_at(struct cgroup_stats *s, size_t offset)
{
    return (uint64_t *)(void *)((char *)s + offset);
}

/* Lines of a word and a number, most of which a table does not ask for. */
static void flat_parse(const char *text, const struct row *rows, size_t n, struct cgroup_stats *s)
{
    while (*text) {
        size_t len = strcspn(text, " \n");

        for (size_t i = 0; i < n && text[len] == ' '; i++)
            if (strlen(rows[i].key) == len && !memcmp(rows[i].key, text, len))
                *number_at(s, rows[i].offset) += strtoull(text + len + 1, NULL, 10);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

void cgroup_stats_memory_v1(const char *text, struct cgroup_stats *s)
{
    flat_parse(text, memory_v1, ARRAY_SIZE(memory_v1), s);
}

void cgroup_stats_memory_v2(const char *text, struct cgroup_stats *s)
{
    flat_parse(text, memory_v2, ARRAY_SIZE(memory_v2), s);
}

void cgroup_stats_cpu_v2(const char *text, struct cgroup_stats *s)
{
    flat_parse(text, cpu_v2, ARRAY_SIZE(cpu_v2), s);
}

/* ---- Devices ---- */

/* NULL when there are too many. */
static struct cgroup_io *device_get(struct cgroup_stats *s, uint64_t major, uint64_t minor)
{
    for (size_t i = 0; i < s->n_io; i++)
        if (s->io[i].major == major && s->io[i].minor == minor)
            return &s->io[i];
    if (s->n_io == CGROUP_IO_MAX)
        return NULL;
    s->io[s->n_io] = (struct cgroup_io){.major = major, .minor = minor};
    return &s->io[s->n_io++];
}

/* "8:0 " at the start of a line; what follows it, or NULL. */
static const char *device_parse(const char *line, struct cgroup_stats *s, struct cgroup_io **ret)
{
    char *end;
    uint64_t major, minor;

    if (*line < '0' || *line > '9')
        return NULL;
    major = strtoull(line, &end, 10);
    if (*end != ':' || end[1] < '0' || end[1] > '9')
        return NULL;
    minor = strtoull(end + 1, &end, 10);
    if (*end != ' ')
        return NULL;
    *ret = device_get(s, major, minor);
    return *ret ? end + 1 : NULL;
}

/* "8:0 Read 4096" */
void cgroup_stats_io_v1(const char *text, bool is_bytes, struct cgroup_stats *s)
{
    while (*text) {
        struct cgroup_io *io = NULL;
        const char *word = device_parse(text, s, &io);

        if (word && str_starts(word, "Read "))
            *(is_bytes ? &io->read_bytes : &io->reads) = strtoull(word + 5, NULL, 10);
        else if (word && str_starts(word, "Write "))
            *(is_bytes ? &io->written_bytes : &io->writes) = strtoull(word + 6, NULL, 10);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

static void io_word_set(const char *word, struct cgroup_io *io)
{
    if (str_starts(word, "rbytes="))
        io->read_bytes = strtoull(word + 7, NULL, 10);
    else if (str_starts(word, "wbytes="))
        io->written_bytes = strtoull(word + 7, NULL, 10);
    else if (str_starts(word, "rios="))
        io->reads = strtoull(word + 5, NULL, 10);
    else if (str_starts(word, "wios="))
        io->writes = strtoull(word + 5, NULL, 10);
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" */
void cgroup_stats_io_v2(const char *text, struct cgroup_stats *s)
{
    while (*text) {
        struct cgroup_io *io = NULL;
        const char *word = device_parse(text, s, &io);

        while (word && *word && *word != '\n') {
            io_word_set(word, io);
            word += strcspn(word, " \n");
            word += *word == ' ';
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

/* ---- Reading ---- */

/* The text of a file; an empty one without the controller. */
static int text_read(const char *dir, const char *name, struct buf *ret, struct err *e)
{
    int r;

    buf_clear(ret);
    r = dir ? cgroup_file_read(dir, name, ret, e) : 0;
    return r == -ENOENT || r == -EOPNOTSUPP ? 0 : r;
}

static uint64_t limit_of(uint64_t n)
{
    return n >= V1_NO_LIMIT ? CGROUP_NO_LIMIT : n;
}

static void pids_read(const struct cgroup *c, struct cgroup_stats *s)
{
    const char *dir = cgroup_dir(c, CGROUP_PIDS);

    s->pids.limit = CGROUP_NO_LIMIT;
    s->pids.is_there = dir && cgroup_file_number(dir, "pids.current", &s->pids.current);
    if (s->pids.is_there)
        cgroup_file_number(dir, "pids.max", &s->pids.limit);
}

static int cpu_v1_read(const struct cgroup *c, struct cgroup_stats *s, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_CPUACCT);
    autobuf text = BUF_INIT;

    if (dir) {
        s->cpu.is_there = cgroup_file_number(dir, "cpuacct.usage", &s->cpu.usage_us);
        cgroup_file_number(dir, "cpuacct.usage_user", &s->cpu.user_us);
        cgroup_file_number(dir, "cpuacct.usage_sys", &s->cpu.system_us);
    }
    TRY(text_read(cgroup_dir(c, CGROUP_CPU), "cpu.stat", &text, e));
    flat_parse(buf_str(&text), cpu_v1, ARRAY_SIZE(cpu_v1), s);
    s->cpu.usage_us /= US_NS;
    s->cpu.user_us /= US_NS;
    s->cpu.system_us /= US_NS;
    s->cpu.throttled_us /= US_NS;
    s->cpu.bursts_us /= US_NS;
    return 0;
}

/* What two numbers of memory and swap together say of swap alone. */
static uint64_t less(uint64_t both, uint64_t memory)
{
    return both == CGROUP_NO_LIMIT || both < memory ? (both < memory ? 0 : both) : both - memory;
}

static int memory_v1_read(const struct cgroup *c, struct cgroup_stats *s, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY);
    uint64_t limit = CGROUP_NO_LIMIT, both = CGROUP_NO_LIMIT;
    autobuf text = BUF_INIT;

    s->memory.limit_bytes = s->memory.swap_limit_bytes = CGROUP_NO_LIMIT;
    if (!dir || !cgroup_file_number(dir, "memory.usage_in_bytes", &s->memory.usage_bytes))
        return 0;
    s->memory.is_there = true;
    cgroup_file_number(dir, "memory.limit_in_bytes", &limit);
    cgroup_file_number(dir, "memory.memsw.limit_in_bytes", &both);
    cgroup_file_number(dir, "memory.max_usage_in_bytes", &s->memory.max_usage_bytes);
    cgroup_file_number(dir, "memory.failcnt", &s->memory_events.max);
    s->memory.limit_bytes = limit_of(limit);
    s->memory.swap_limit_bytes = less(limit_of(both), s->memory.limit_bytes);
    TRY(text_read(dir, "memory.stat", &text, e));
    cgroup_stats_memory_v1(buf_str(&text), s);
    s->memory_events.oom_kill = s->memory_events.oom = cgroup_oom_kills(c);
    return 0;
}

static int io_v1_read(const struct cgroup *c, struct cgroup_stats *s, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_BLKIO);
    autobuf text = BUF_INIT;

    TRY(text_read(dir, "blkio.throttle.io_service_bytes_recursive", &text, e));
    cgroup_stats_io_v1(buf_str(&text), true, s);
    TRY(text_read(dir, "blkio.throttle.io_serviced_recursive", &text, e));
    cgroup_stats_io_v1(buf_str(&text), false, s);
    return 0;
}

static int v2_read(const struct cgroup *c, struct cgroup_stats *s, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY);
    autobuf text = BUF_INIT;

    TRY(text_read(dir, "cpu.stat", &text, e));
    s->cpu.is_there = text.len > 0;
    cgroup_stats_cpu_v2(buf_str(&text), s);
    s->memory.limit_bytes = s->memory.swap_limit_bytes = CGROUP_NO_LIMIT;
    s->memory.is_there = cgroup_file_number(dir, "memory.current", &s->memory.usage_bytes);
    cgroup_file_number(dir, "memory.max", &s->memory.limit_bytes);
    cgroup_file_number(dir, "memory.peak", &s->memory.max_usage_bytes);
    cgroup_file_number(dir, "memory.swap.current", &s->memory.swap_usage_bytes);
    cgroup_file_number(dir, "memory.swap.max", &s->memory.swap_limit_bytes);
    cgroup_file_number(dir, "memory.swap.peak", &s->memory.swap_max_usage_bytes);
    TRY(text_read(dir, "memory.stat", &text, e));
    cgroup_stats_memory_v2(buf_str(&text), s);
    TRY(text_read(dir, "memory.events", &text, e));
    flat_parse(buf_str(&text), events_v2, ARRAY_SIZE(events_v2), s);
    TRY(text_read(dir, "io.stat", &text, e));
    cgroup_stats_io_v2(buf_str(&text), s);
    return 0;
}

int cgroup_stats_read(const struct cgroup *c, struct cgroup_stats *ret, struct err *e)
{
    struct cgroup_stats s = {0};

    if (!cgroup_exists(c))
        return err_set(e, -ENOENT, "CgroupFailed",
                       "the control group '%s' is not there: its container has ended", c->path);
    pids_read(c, &s);
    if (c->host->version == 1) {
        TRY(cpu_v1_read(c, &s, e));
        TRY(memory_v1_read(c, &s, e));
        TRY(io_v1_read(c, &s, e));
    } else {
        TRY(v2_read(c, &s, e));
    }
    *ret = s;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/admission.h"

#include "base/fds.h"

/* The next whole number of *at, which is moved behind it; false when there is none. */
static bool number_take(const char **at, int64_t *ret)
{
    char *end;
    long long n;

    errno = 0;
    n = strtoll(*at, &end, 10);
    if (end == *at || errno)
        return false;
    *at = end;
    *ret = n;
    return true;
}

/* A number in a file of a control group; INT64_MAX for "max" and for what is not there. */
static int64_t number_read(const char *path)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    const char *at;
    int64_t n;

    if (file_read(path, 4096, &text, &e) < 0)
        return INT64_MAX;
    at = buf_str(&text);
    return number_take(&at, &n) && n > 0 ? n : INT64_MAX;
}

static int64_t milli_of(int64_t quota, int64_t period)
{
    return quota > INT64_MAX / 1000 || period == INT64_MAX ? INT64_MAX : quota * 1000 / period;
}

static int64_t cpu_limit_milli(void)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    int64_t quota, period;
    const char *at;

    if (!file_read("/sys/fs/cgroup/cpu.max", 4096, &text, &e)) {
        at = buf_str(&text);
        if (number_take(&at, &quota) && number_take(&at, &period) && quota > 0 && period > 0)
            return milli_of(quota, period);
    }
    return milli_of(number_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                    number_read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
}

static int64_t machine_memory(void)
{
    static const char key[] = "MemTotal:";
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    const char *at;
    int64_t kib;

    if (!file_read("/proc/meminfo", 65536, &text, &e)) {
        at = strstr(buf_str(&text), key);
        if (at && (at += sizeof(key) - 1, number_take(&at, &kib)))
            return kib * 1024;
    }
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void node_capacity_read(struct node_capacity *ret)
{
    int64_t memory =
        smaller(machine_memory(), number_read("/sys/fs/cgroup/memory/memory.limit_in_bytes"));

    ret->memory_bytes = smaller(memory, number_read("/sys/fs/cgroup/memory.max"));
    ret->cpu_milli = smaller((int64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000, cpu_limit_milli());
}

/* No request is so large that what is meant matters; sums stay in range. */
static int64_t sum(int64_t a, int64_t b)
{
    int64_t r;

    return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

static int64_t request_of(int64_t request, int64_t limit)
{
    return request ? request : limit;
}

void admission_requests(const struct pod_spec *s, int64_t *ret_cpu_milli, int64_t *ret_memory_bytes)
{
    int64_t cpu = 0, memory = 0, first_cpu = 0, first_memory = 0;

    for (size_t i = 0; i < s->n_containers; i++) {
        const struct pod_container *c = &s->containers[i];
        const struct pod_resources *r = &c->resources;
        int64_t c_cpu = request_of(r->cpu_request_milli, r->cpu_limit_milli);
        int64_t c_memory = request_of(r->memory_request_bytes, r->memory_limit_bytes);

        if (c->role == POD_ROLE_INIT) {
            /* Sidecars that came before run beside it. */
            first_cpu = larger(first_cpu, sum(cpu, c_cpu));
            first_memory = larger(first_memory, sum(memory, c_memory));
        } else {
            cpu = sum(cpu, c_cpu);
            memory = sum(memory, c_memory);
        }
    }
    *ret_cpu_milli = larger(cpu, first_cpu);
    *ret_memory_bytes = larger(memory, first_memory);
}

static bool has_host_port(const struct pod_spec *s)
{
    for (size_t i = 0; i < s->n_containers; i++)
        for (size_t j = 0; j < s->containers[i].n_ports; j++)
            if (s->containers[i].ports[j].host_port)
                return true;
    return false;
}

static const struct pod_port *port_used(const struct pod_spec *s, const struct pod_port *port)
{
    for (size_t i = 0; i < s->n_containers; i++)
        for (size_t j = 0; j < s->containers[i].n_ports; j++) {
            const struct pod_port *p = &s->containers[i].ports[j];

            if (p->host_port && p->host_port == port->host_port && p->protocol == port->protocol)
                return p;
        }
    return NULL;
}

static int ports_check(const struct pod_spec *s, const struct pod_spec *other, struct err *e)
{
    for (size_t i = 0; i < s->n_containers; i++)
        for (size_t j = 0; j < s->containers[i].n_ports; j++) {
            const struct pod_port *p = &s->containers[i].ports[j];

            if (p->host_port && port_used(other, p))
                return err_set(e, -EADDRINUSE, "NodePorts",
                               "Pod was rejected: Predicate NodePorts failed: node(s) didn't have "
                               "free ports for the requested pod ports: the pod %.100s/%.150s has "
                               "host port %lld/%s",
                               other->space, other->name, (long long)p->host_port,
                               p->protocol == POD_UDP ? "UDP" : "TCP");
        }
    return 0;
}

static int amount_check(const char *reason, const char *resource, int64_t requested, int64_t used,
                        int64_t capacity, struct err *e)
{
    if (!requested || (used <= capacity && requested <= capacity - used))
        return 0;
    return err_set(e, -ENOSPC, reason,
                   "Pod was rejected: Node didn't have enough resource: %s, requested: %lld, used: "
                   "%lld, capacity: %lld",
                   resource, (long long)requested, (long long)used, (long long)capacity);
}

int admission_check(const struct node_capacity *node, const struct pod_spec *s,
                    const struct pod_spec *(*next)(void *ctx), void *ctx, struct err *e)
{
    int64_t cpu, memory, used_cpu = 0, used_memory = 0;
    const struct pod_spec *other;

    admission_requests(s, &cpu, &memory);
    /* What asks for nothing fits beside any number of others, so those are not looked at. */
    if (!cpu && !memory && !has_host_port(s))
        return 0;
    while ((other = next(ctx))) {
        int64_t other_cpu, other_memory;

        admission_requests(other, &other_cpu, &other_memory);
        used_cpu = sum(used_cpu, other_cpu);
        used_memory = sum(used_memory, other_memory);
        TRY(ports_check(s, other, e));
    }
    TRY(amount_check("OutOfcpu", "cpu", cpu, used_cpu, node->cpu_milli, e));
    return amount_check("OutOfmemory", "memory", memory, used_memory, node->memory_bytes, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scopes of systemd, by its own programs: systemd-run makes the scope and answers when it is there,
 * which a plain StartTransientUnit over the bus does not; systemctl changes and stops it. What
 * systemd knows it is told too, as it would write its own values over ours otherwise
 * (systemd.resource-control(5)).
 *
 * Not tried with a real systemd: the machines that the tests run on have none.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

#define ANSWER_MS 30000

extern char **environ;

/* ---- Names ---- */

int cgroup_slice_expand(const char *slice, char **ret, struct err *e)
{
    size_t stem = str_stem(slice, ".slice");
    autobuf out = BUF_INIT;

    if (stem == 1 && *slice == '-') {
        *ret = buf_take(&out);
        return 0;
    }
    if (!stem || strchr(slice, '/') || *slice == '-' || slice[stem - 1] == '-' ||
        strstr(slice, "--"))
        return err_set(e, -EINVAL, "BadCgroupPath",
                       "linux.cgroupsPath names the slice '%.100s'; write it as 'a-b.slice'",
                       slice);
    for (size_t i = 0; i <= stem; i++)
        if (slice[i] == '-' || i == stem)
            buf_addf(&out, "/%.*s.slice", (int)i, slice);
    *ret = buf_take(&out);
    return 0;
}

static bool unit_part_is_good(const char *s)
{
    return !strchr(s, '/') && !strchr(s, '\n') && !str_eq(s, "..");
}

int cgroup_systemd_open(struct cgroup *c, const char *cgroups_path, const char *id,
                        char **ret_below, struct err *e)
{
    const char *text = cgroups_path && *cgroups_path ? cgroups_path : "";
    const char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    autofree char *prefix = NULL, *slices = NULL;
    const char *name = id;

    if (*text) {
        if (!second || strchr(second + 1, ':') || strlen(text) > CGROUP_PATH_LIMIT)
            return err_set(e, -EINVAL, "BadCgroupPath",
                           "linux.cgroupsPath '%.100s' has to be 'slice:prefix:name' with the "
                           "systemd driver; configure the same driver everywhere",
                           text);
        prefix = xstrndup(first + 1, (size_t)(second - first - 1));
        name = second + 1;
    }
    if (!*name || !unit_part_is_good(name) || (prefix && !unit_part_is_good(prefix)))
        return err_set(e, -EINVAL, "BadCgroupPath",
                       "linux.cgroupsPath '%.100s' names no unit of systemd; write it as "
                       "'slice:prefix:name'",
                       text);
    c->slice =
        first && first != text ? xstrndup(text, (size_t)(first - text)) : xstrdup("system.slice");
    TRY(cgroup_slice_expand(c->slice, &slices, e));
    c->unit = !prefix   ? xasprintf("wherry-%s.scope", name)
              : *prefix ? xasprintf("%s-%s.scope", prefix, name)
                        : xasprintf("%s.scope", name);
    *ret_below = xasprintf("%s/%s", slices, c->unit);
    return 0;
}

/* ---- Properties ---- */

static void amount_add(struct strv *out, const char *name, bool has, int64_t value)
{
    if (has && value < 0)
        strv_addf(out, "%s=infinity", name);
    else if (has && value)
        strv_addf(out, "%s=%lld", name, (long long)value);
}

void cgroup_systemd_properties(const struct oci_resources *r, int version, struct strv *ret)
{
    amount_add(ret, version == 1 ? "MemoryLimit" : "MemoryMax", r->has_memory_limit,
               r->memory_limit);
    if (version == 2)
        amount_add(ret, "MemoryLow", r->has_memory_reservation, r->memory_reservation);
    if (r->has_cpu_shares && r->cpu_shares && version == 1)
        strv_addf(ret, "CPUShares=%lld", (long long)r->cpu_shares);
    else if (r->has_cpu_shares && r->cpu_shares)
        strv_addf(ret, "CPUWeight=%u", cgroup_v2_weight(r->cpu_shares));
    if (r->has_cpu_quota_us && r->cpu_quota_us < 0)
        strv_add(ret, "CPUQuota=");
    else if (r->has_cpu_quota_us && r->cpu_quota_us) {
        int64_t period = r->has_cpu_period_us && r->cpu_period_us ? r->cpu_period_us : 100000;

        /* In hundredths, upwards: the file that is written afterwards has the exact value. */
        int64_t percent = (r->cpu_quota_us * 100 + period - 1) / period;

        strv_addf(ret, "CPUQuota=%lld%%", (long long)percent);
        strv_addf(ret, "CPUQuotaPeriodSec=%lldus", (long long)period);
    }
    if (r->has_pids_limit)
        amount_add(ret, "TasksMax", true, r->pids_limit > 0 ? r->pids_limit : -1);
    if (version == 2 && r->cpuset_cpus && *r->cpuset_cpus)
        strv_addf(ret, "AllowedCPUs=%s", r->cpuset_cpus);
    if (version == 2 && r->cpuset_mems && *r->cpuset_mems)
        strv_addf(ret, "AllowedMemoryNodes=%s", r->cpuset_mems);
}

/* ---- Its programs ---- */

/* With these as its standard input and output. */
static int program_start(char *const *argv, int in, int out, int *ret_pidfd, struct err *e)
{
    posix_spawn_file_actions_t files;
    pid_t pid;
    int r;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    r = -posix_spawnp(&pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (r < 0)
        return err_errno(e, r, "SystemdFailed",
                         "cannot execute '%s', which the systemd driver needs; install systemd, or "
                         "use the cgroupfs driver (SystemdCgroup = false)",
                         argv[0]);
    r = pidfd_open(pid, 0);
    if (r < 0) {
        r = err_errno(e, -errno, "SystemdFailed", "cannot watch '%s'", argv[0]);
        kill(pid, SIGKILL);
        child_wait(pid, NULL);
        return r;
    }
    *ret_pidfd = r;
    return 0;
}

/* Its status is 0. Somebody else may have reaped it: then nobody knows. */
static bool program_wait(int pidfd)
{
    siginfo_t info = {0};
    int r;

    do
        r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
    while (r < 0 && errno == EINTR);
    return r >= 0 && info.si_code == CLD_EXITED && !info.si_status;
}

static int systemctl(const struct cgroup *c, const struct strv *args, struct err *e)
{
    autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);
    autofd pidfd = -EBADF;

    TRY(program_start(args->v, null, null, &pidfd, e));
    if (!program_wait(pidfd))
        return err_set(e, -EIO, "SystemdFailed",
                       "'systemctl %s' failed for '%s'; look at 'systemctl status %s'", args->v[1],
                       c->unit, c->unit);
    return 0;
}

/* Waits for the first byte from the scope's process: systemd has put it there. */
static bool answer_wait(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&p, 1, ANSWER_MS) == 1 && read(fd, &byte, 1) == 1;
}

static void argv_make(const struct cgroup *c, const struct oci_resources *r, struct strv *ret)
{
    autostrv properties = STRV_INIT;

    cgroup_systemd_properties(r, c->host->version, &properties);
    strv_add(ret, "systemd-run");
    strv_add(ret, "--scope");
    strv_add(ret, "--quiet");
    strv_add(ret, "--collect");
    strv_addf(ret, "--unit=%s", c->unit);
    strv_addf(ret, "--slice=%s", c->slice);
    strv_add(ret, "--property=Delegate=yes");
    for (size_t i = 0; i < properties.n; i++)
        strv_addf(ret, "--property=%s", properties.v[i]);
    strv_add(ret, "--");
    strv_add(ret, "/bin/sh");
    strv_add(ret, "-c");
    strv_add(ret, "echo; read -r line"); /* until the other end of its input is closed */
}

int cgroup_systemd_start(struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    autostrv argv = STRV_INIT;
    int in[2], out[2], result;

    if (pipe2(in, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "SystemdFailed", "cannot make a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        result = err_errno(e, -errno, "SystemdFailed", "cannot make a pipe");
        close(in[0]);
        close(in[1]);
        return result;
    }
    argv_make(c, r, &argv);
    result = program_start(argv.v, in[0], out[1], &c->keeper_pidfd, e);
    close(in[0]);
    close(out[1]);
    c->keeper_fd = in[1];
    if (result >= 0 && !answer_wait(out[0]))
        result = err_set(e, -EIO, "SystemdFailed",
                         "systemd did not make the scope '%s' in '%s' within %d s; 'journalctl -u "
                         "%s' may say why",
                         c->unit, c->slice, ANSWER_MS / 1000, c->unit);
    close(out[0]);
    if (result < 0)
        cgroup_systemd_stop(c);
    return result;
}

int cgroup_systemd_update(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    autostrv properties = STRV_INIT, argv = STRV_INIT;

    cgroup_systemd_properties(r, c->host->version, &properties);
    if (!properties.n)
        return 0;
    strv_add(&argv, "systemctl");
    strv_add(&argv, "set-property");
    strv_add(&argv, "--runtime");
    strv_add(&argv, c->unit);
    strv_addv(&argv, properties.v);
    return systemctl(c, &argv, e);
}

void cgroup_systemd_stop(struct cgroup *c)
{
    if (c->keeper_fd >= 0)
        close(take_fd(&c->keeper_fd));
    if (c->keeper_pidfd < 0)
        return;
    (void)pidfd_send_signal(c->keeper_pidfd, SIGKILL, NULL, 0);
    (void)program_wait(c->keeper_pidfd);
    close(take_fd(&c->keeper_pidfd));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a table of mounts, the group of a process and the path of a document: an error, or a
 * group below its mount points. And as each of the files that figures are read from. */
#include "container/cgroup/cgroup_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_below(const struct cgroup *c, const struct cgroup_host *h)
{
    for (size_t i = 0; i < h->n; i++) {
        const char *dir = c->dirs[i];
        size_t len = strlen(h->v[i].mount);

        BUG_ON(dir && (strncmp(dir, h->v[i].mount, len) != 0 || dir[len] != '/' || !dir[len + 1]));
    }
}

static void open_one(const char *mounts, const char *self, const char *path, bool is_systemd)
{
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    cgroup_host_parse(mounts, &h);
    BUG_ON(h.n > CGROUP_FDS_MAX);
    (void)cgroup_host_is_complete(&h, self);
    if (h.version && cgroup_open_on(&h, self, self, path, is_systemd, "id", &c, &e) >= 0)
        assert_below(c, &h);
    else if (h.version)
        BUG_ON(e.code != -EINVAL || !*e.msg || c);
    cgroup_host_done(&h);
}

static void figures(const char *text)
{
    struct cgroup_stats s = {0};
    uint64_t n = 0;

    cgroup_stats_memory_v1(text, &s);
    cgroup_stats_memory_v2(text, &s);
    cgroup_stats_cpu_v2(text, &s);
    cgroup_stats_io_v1(text, true, &s);
    cgroup_stats_io_v1(text, false, &s);
    cgroup_stats_io_v2(text, &s);
    BUG_ON(s.n_io > CGROUP_IO_MAX);
    (void)cgroup_text_number(text, "oom_kill", &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    char *path = strchr(text, '\t'), *self = path ? strchr(path + 1, '\t') : NULL;

    figures(text);
    if (!self)
        return 0;
    *path++ = *self++ = 0;
    open_one(text, self, path, false);
    open_one(text, self, path, true);
    open_one("1 2 0:1 / /c rw - cgroup cgroup rw,memory\n3 2 0:2 /r /d rw - cgroup x rw,cpu\n",
             self, path, false);
    open_one("1 2 0:1 /r /c rw - cgroup2 x rw\n", self, path, true);
    return 0;
}

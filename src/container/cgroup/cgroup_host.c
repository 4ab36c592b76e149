/* SPDX-License-Identifier: Apache-2.0 */
/* Which hierarchies of control groups are mounted, and where (proc(5), cgroups(7)). */
#include <fcntl.h>
#include <pthread.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

#define MOUNTS_LIMIT_BYTES (8u << 20)

static const char *const names_v1[] = {
    [CGROUP_CPU] = "cpu",         [CGROUP_CPUACCT] = "cpuacct",
    [CGROUP_CPUSET] = "cpuset",   [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",       [CGROUP_BLKIO] = "blkio",
    [CGROUP_FREEZER] = "freezer", [CGROUP_SYSTEMD] = "name=systemd",
};

const char *cgroup_controller_name(enum cgroup_controller c, int version)
{
    if (version == 2 && c == CGROUP_BLKIO)
        return "io";
    return version == 2 && c == CGROUP_CPUACCT ? "cpu" : names_v1[c];
}

/* The controllers of a list with commas. */
static unsigned controllers_parse(struct text list)
{
    unsigned has = 0;

    while (list.len) {
        const char *comma = memchr(list.data, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.data) : list.len;

        for (unsigned c = 0; c < CGROUP_N_CONTROLLERS; c++)
            if (text_eq((struct text){list.data, n}, names_v1[c]))
                has |= 1u << c;
        n += comma != NULL;
        list = (struct text){list.data + n, list.len - n};
    }
    return has;
}

/* ---- /proc/self/mountinfo ---- */

/* Takes the next word of the line; an empty one at its end. */
static struct text word_take(struct text *line)
{
    const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
    size_t n = space ? (size_t)(space - line->data) : line->len;
    struct text word = {line->data, n};

    n += space != NULL;
    *line = (struct text){line->data + n, line->len - n};
    return word;
}

/* Blanks, newlines and backslashes are written as \040. Heap. */
static char *unescape(struct text t)
{
    autobuf out = BUF_INIT;

    for (size_t i = 0; i < t.len; i++) {
        const char *p = t.data + i;
        bool is_octal = *p == '\\' && t.len - i > 3 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
                        p[2] <= '7' && p[3] >= '0' && p[3] <= '7';

        if (is_octal && (p[1] != '0' || p[2] != '0' || p[3] != '0')) {
            buf_addc(&out, (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')));
            i += 3;
        } else {
            buf_addc(&out, *p);
        }
    }
    return buf_take(&out);
}

static bool is_known(const struct cgroup_host *h, int version, unsigned has)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].version == version && h->v[i].has == has)
            return true;
    return false;
}

static void mount_add(struct cgroup_host *h, struct text line)
{
    struct text root, mount, word, options = {0};
    int version;
    unsigned has = 0;

    for (int i = 0; i < 3; i++)
        word_take(&line);
    root = word_take(&line);
    mount = word_take(&line);
    do {
        word = word_take(&line);
    } while (word.len && !text_eq(word, "-"));
    word = word_take(&line);
    version = text_eq(word, "cgroup") ? 1 : text_eq(word, "cgroup2") ? 2 : 0;
    word_take(&line);
    options = word_take(&line);
    /* What is below it is found by its length. */
    if (mount.len < 2 || *mount.data != '/' || mount.data[mount.len - 1] == '/')
        return;
    if (version == 1)
        has = controllers_parse(options);
    if (!version || (version == 1 && !has) || h->n == CGROUP_FDS_MAX || is_known(h, version, has))
        return;
    h->v[h->n++] = (struct cgroup_hierarchy){version, has, unescape(mount), unescape(root)};
}

/* Of the lines that end; how long they are. */
static size_t lines_add(struct cgroup_host *h, const char *mountinfo)
{
    const char *at = mountinfo, *end;

    for (; (end = strchr(at, '\n')); at = end + 1)
        mount_add(h, (struct text){at, (size_t)(end - at)});
    return (size_t)(at - mountinfo);
}

static void version_find(struct cgroup_host *h)
{
    h->version = 0;
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].version == 1 && h->v[i].has != 1u << CGROUP_SYSTEMD)
            h->version = 1;
        else if (h->v[i].version == 2 && !h->version)
            h->version = 2;
}

void cgroup_host_parse(const char *mountinfo, struct cgroup_host *ret)
{
    *ret = (struct cgroup_host){0};
    mountinfo += lines_add(ret, mountinfo);
    mount_add(ret, (struct text){mountinfo, strlen(mountinfo)});
    version_find(ret);
}

bool cgroup_host_is_complete(const struct cgroup_host *h, const char *proc_cgroup)
{
    if (!*proc_cgroup)
        return false;
    while (*proc_cgroup) {
        size_t len = strcspn(proc_cgroup, "\n");
        struct text line = {proc_cgroup, len};
        const char *list = memchr(line.data, ':', len);
        const char *path =
            list ? memchr(list + 1, ':', len - (size_t)(list + 1 - line.data)) : NULL;
        struct text names = {path ? list + 1 : NULL, path ? (size_t)(path - list - 1) : 0};
        unsigned has = path ? controllers_parse(names) : 0;

        if (!path || ((has || !names.len) && !is_known(h, names.len ? 1 : 2, has)))
            return false;
        proc_cgroup += len + (proc_cgroup[len] == '\n');
    }
    return true;
}

void cgroup_host_done(struct cgroup_host *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->v[i].mount);
        free(h->v[i].root);
    }
    *h = (struct cgroup_host){0};
}

/* ---- This machine ---- */

static struct cgroup_host machine;
static struct err machine_error;

/* The kernel writes mountinfo while it is read, page by page. A machine with many containers has
 * many mounts, but those of control groups are among the first. */
static int machine_read(struct cgroup_host *ret, struct err *e)
{
    autobuf groups = BUF_INIT, mounts = BUF_INIT;
    autofd fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    struct err unused = ERR_INIT;
    size_t parsed = 0;
    ssize_t n;

    (void)file_read("/proc/self/cgroup", MOUNTS_LIMIT_BYTES, &groups, &unused);
    do {
        char chunk[4096];

        n = fd < 0 ? -1 : read(fd, chunk, sizeof(chunk));
        if (n < 0)
            return err_errno(e, -errno, "NoCgroups", "cannot read '/proc/self/mountinfo'");
        buf_add(&mounts, chunk, (size_t)n);
        if (mounts.len > MOUNTS_LIMIT_BYTES)
            return err_set(e, -EFBIG, "TooLarge", "'/proc/self/mountinfo' is too large");
        parsed += lines_add(ret, buf_str(&mounts) + parsed);
    } while (n && !cgroup_host_is_complete(ret, buf_str(&groups)));
    version_find(ret);
    return 0;
}

static void machine_find(void)
{
    if (machine_read(&machine, &machine_error) >= 0 && !machine.version)
        err_set(&machine_error, -ENOENT, "NoCgroups",
                "no control groups are mounted here; mount them ('mount -t cgroup2 none "
                "/sys/fs/cgroup')");
}

int cgroup_host_get(const struct cgroup_host **ret, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, machine_find);
    if (!machine.version) {
        *e = machine_error;
        return e->code;
    }
    *ret = &machine;
    return 0;
}

const struct cgroup_hierarchy *cgroup_host_find(const struct cgroup_host *h, int version,
                                                enum cgroup_controller c)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].version == version && (c == CGROUP_N_CONTROLLERS || h->v[i].has & 1u << c))
            return &h->v[i];
    return NULL;
}

/* ---- /proc/PID/cgroup ---- */

/* What follows the folder `root` in the path; the path itself when it is not below it. */
static struct text path_below(struct text path, const char *root)
{
    size_t len = strlen(root);

    if (len > 1 && path.len >= len && !memcmp(path.data, root, len) &&
        (path.len == len || path.data[len] == '/'))
        return (struct text){path.data + len, path.len - len};
    return path;
}

char *cgroup_hierarchy_dir(const struct cgroup_hierarchy *h, const char *proc_cgroup)
{
    const char *text = proc_cgroup;

    while (*text) {
        size_t len = strcspn(text, "\n");
        const char *list = memchr(text, ':', len);
        const char *path = list ? memchr(list + 1, ':', len - (size_t)(list + 1 - text)) : NULL;

        if (path) {
            struct text names = {list + 1, (size_t)(path - list - 1)};
            struct text below = {path + 1, len - (size_t)(path + 1 - text)};

            if (h->version == 2 ? !names.len : (controllers_parse(names) & h->has) != 0) {
                autofree char *rest = NULL;

                below = path_below(below, h->root);
                rest = xstrndup(below.data, below.len);
                /* A process outside of this one's cgroup namespace is at "/..". */
                return strlen(rest) < 2 || str_starts(rest, "/..") ? xstrdup(h->mount)
                                                                   : path_join(h->mount, rest);
            }
        }
        text += len + (text[len] == '\n');
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The small files of control groups. */
#include <fcntl.h>

#include "base/fds.h"
#include "container/cgroup/cgroup_parts.h"

#define SHOWN_MAX 60 /* of a value in a message */

static const char *advice(int r)
{
    switch (-r) {
    case EROFS:
        return "; control groups are mounted read-only here: mount them read-write ('mount -o "
               "remount,rw')";
    case EACCES:
    case EPERM:
        return "; this needs root, or a group that was given to this user (systemd: Delegate=yes)";
    case EBUSY:
        return "; more is used than the new value allows, or processes are in a group that others "
               "lie below";
    case EINVAL:
    case ERANGE:
        return "; the kernel does not take this value";
    case ENOSPC:
        return "; no more groups may be made, or a cpuset above has no processors";
    default:
        return "";
    }
}

int cgroup_file_error(int r, const char *verb, const char *dir, const char *name, struct err *e)
{
    const char *text = err_text(-r);

    return err_set(e, r, "CgroupFailed", "cannot %s '%s%s%s': %s%s", verb, dir, *name ? "/" : "",
                   name, text ? text : "unknown error", advice(r));
}

static int file_open(const char *dir, const char *name, int flags)
{
    autofd dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (dir_fd < 0)
        return -errno;
    fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int cgroup_file_read(const char *dir, const char *name, struct buf *ret, struct err *e)
{
    autofd fd = file_open(dir, name, O_RDONLY);

    if (fd < 0)
        return cgroup_file_error(fd, "read", dir, name, e);
    if (fd_read_all(fd, CGROUP_FILE_LIMIT_BYTES, ret, e) < 0)
        return err_prefix(e, "cannot read '%s/%s'", dir, name);
    return 0;
}

/* In one piece, as the kernel takes each write for a value. */
int cgroup_file_write(const char *dir, const char *name, const char *value, struct err *e)
{
    autofd fd = file_open(dir, name, O_WRONLY | O_TRUNC);
    autofree char *verb = NULL;
    int r = fd < 0 ? fd : write(fd, value, strlen(value)) < 0 ? -errno : 0;

    if (r >= 0)
        return 0;
    verb = xasprintf("write '%.*s' to", SHOWN_MAX, value);
    return cgroup_file_error(r, verb, dir, name, e);
}

bool cgroup_file_exists(const char *dir, const char *name)
{
    autofd fd = file_open(dir, name, O_PATH);

    return fd >= 0;
}

static bool number_parse(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long n;

    if (!strncmp(text, "max", 3)) {
        *ret = CGROUP_NO_LIMIT;
        return true;
    }
    if (*text < '0' || *text > '9')
        return false;
    n = strtoull(text, &end, 10); /* the largest there is for one that is larger */
    if (*end && !strchr(" \n", *end))
        return false;
    *ret = n;
    return true;
}

bool cgroup_file_number(const char *dir, const char *name, uint64_t *ret)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    return cgroup_file_read(dir, name, &text, &e) >= 0 && number_parse(buf_str(&text), ret);
}

bool cgroup_text_number(const char *text, const char *key, uint64_t *ret)
{
    size_t len = strlen(key);

    while (*text) {
        if (!strncmp(text, key, len) && text[len] == ' ')
            return number_parse(text + len + 1, ret);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return false;
}

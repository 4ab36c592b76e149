/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/mount_options.h"

#include <sys/mount.h>

#include "container/guest/guest_mounts.h"

/* What native programs find in every container and no guest can use. */
static const struct {
    const char *type, *why;
} unused[] = {
    {"proc",     "a guest has no processes, and the host's are not its business"},
    {"sysfs",    "a guest manages no devices"                                   },
    {"cgroup",   "a guest has no processes to put into groups"                  },
    {"cgroup2",  "a guest has no processes to put into groups"                  },
    {"mqueue",   "WASI has no message queues"                                   },
    {"devpts",   "WASI opens no terminals; a guest's own is its standard input" },
    {"devtmpfs", "a guest manages no devices"                                   },
};

const char *guest_mount_unused(const struct oci_mount *m)
{
    for (size_t i = 0; m->type && i < ARRAY_SIZE(unused); i++)
        if (str_eq(m->type, unused[i].type))
            return unused[i].why;
    return NULL;
}

static int destination_check(const char *path, struct err *e)
{
    bool is_root = true;

    if (*path != '/')
        return err_set(e, -EINVAL, "BadMount",
                       "the destination '%.200s' of a mount is not absolute", path);
    for (const char *p = path; *p; p += strspn(p, "/")) {
        size_t n = strcspn(p, "/");

        if (n == 2 && !strncmp(p, "..", 2))
            return err_set(e, -EINVAL, "BadMount",
                           "the destination '%.200s' of a mount must not contain '..'", path);
        is_root &= !n || (n == 1 && *p == '.');
        p += n;
    }
    if (is_root)
        return err_set(e, -EINVAL, "BadMount", "nothing can be mounted over the root itself");
    return 0;
}

static void data_add(struct mount_options *o, const char *option)
{
    static const char *const known[] = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"};
    const char *value = strchr(option, '=');

    for (size_t i = 0; value && i < ARRAY_SIZE(known); i++) {
        size_t len = strlen(known[i]);

        if (strncmp(option, known[i], len) != 0 || option[len] != '=')
            continue;
        o->data.v = xrealloc(o->data.v, o->data.n + 1, sizeof(*o->data.v));
        o->data.v[o->data.n++] = (struct json_pair){xstrdup(known[i]), xstrdup(value + 1)};
    }
}

static void option_read(struct mount_options *o, const char *option)
{
    if (str_eq(option, "bind") || str_eq(option, "rbind"))
        o->is_recursive = *option == 'r';
    else if (str_eq(option, "ro") || str_eq(option, "rro"))
        o->is_read_only = true, o->is_recursively_ro = str_eq(option, "rro");
    else if (str_eq(option, "rw"))
        o->is_read_only = o->is_recursively_ro = false;
    else if (str_eq(option, "slave") || str_eq(option, "rslave"))
        o->propagation = MS_SLAVE;
    else if (str_eq(option, "shared") || str_eq(option, "rshared"))
        o->propagation = MS_SHARED;
    else if (str_eq(option, "private") || str_eq(option, "rprivate"))
        o->propagation = MS_PRIVATE;
    else
        data_add(o, option);
}

int mount_options_read(const struct oci_mount *m, struct mount_options *ret, struct err *e)
{
    struct mount_options o = {.is_bind = oci_mount_is_bind(m), .propagation = MS_PRIVATE};

    TRY(destination_check(m->destination, e));
    for (size_t i = 0; i < m->options.n; i++)
        option_read(&o, m->options.v[i]);
    *ret = o;
    return 0;
}

void mount_options_done(struct mount_options *o)
{
    for (size_t i = 0; i < o->data.n; i++) {
        free(o->data.v[i].name);
        free(o->data.v[i].value);
    }
    free(o->data.v);
    *o = (struct mount_options){0};
}

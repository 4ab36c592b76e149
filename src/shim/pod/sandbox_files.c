/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "shim/bundle/config_edit.h"
#include "shim/pod/sandbox.h"

#define FILE_LIMIT_BYTES (1u << 20)
#define SHM_NAME         "shm"
#define SHM_OPTIONS      "mode=1777,size=67108864" /* 64 MiB, as containerd has it */

static int put(int bundle_fd, const char *name, const struct buf *text, struct err *e)
{
    if (file_write_at(bundle_fd, name, text->data, text->len, 0644, 0, e) < 0)
        return err_prefix(e, "cannot make the pod's %s", name);
    return 0;
}

/* A machine without the file has an empty one. */
static int copy(int bundle_fd, const char *from, const char *name, struct err *e)
{
    autobuf text = BUF_INIT;
    int r = file_read(from, FILE_LIMIT_BYTES, &text, e);

    if (r < 0 && r != -ENOENT)
        return r;
    return put(bundle_fd, name, &text, e);
}

static void words_add(struct buf *text, const char *name, size_t n, char **v)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(text, "%s %s", i ? "" : name, v[i]);
    if (n)
        buf_addf(text, "\n");
}

static int dns_write(int bundle_fd, const Cri__DnsConfig *dns, struct err *e)
{
    autobuf text = BUF_INIT;

    if (!dns)
        return copy(bundle_fd, "/etc/resolv.conf", "resolv.conf", e);
    words_add(&text, "search", dns->n_searches, dns->searches);
    for (size_t i = 0; i < dns->n_servers; i++)
        buf_addf(&text, "nameserver %s\n", dns->servers[i]);
    words_add(&text, "options", dns->n_options, dns->options);
    return put(bundle_fd, "resolv.conf", &text, e);
}

static int hostname_write(int bundle_fd, const char *name, struct err *e)
{
    autobuf text = BUF_INIT;
    char own[256] = "";

    if (gethostname(own, sizeof(own) - 1) < 0)
        return err_errno(e, -errno, "FilesFailed", "cannot find the name of this machine");
    buf_addf(&text, "%s\n", name && *name ? name : own);
    return put(bundle_fd, "hostname", &text, e);
}

int sandbox_files_make(const struct sandbox *b, const Cri__PodSandboxConfig *c, int bundle_fd,
                       struct err *e)
{
    autofree char *shm = path_join(b->bundle, SHM_NAME);

    TRY(hostname_write(bundle_fd, c ? c->hostname : NULL, e));
    TRY(copy(bundle_fd, "/etc/hosts", "hosts", e));
    TRY(dns_write(bundle_fd, c ? c->dns_config : NULL, e));
    if (b->has_host_ipc)
        return 0;
    if ((mkdir(shm, 0700) < 0 && errno != EEXIST) ||
        mount("shm", shm, "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, SHM_OPTIONS) < 0)
        return err_errno(e, -errno, "FilesFailed", "cannot mount the pod's shared memory on '%s'",
                         shm);
    return 0;
}

void sandbox_files_unmount(const char *bundle)
{
    autofree char *shm = path_join(bundle, SHM_NAME);

    /* A process that still has it keeps it until it ends. */
    umount2(shm, MNT_DETACH | UMOUNT_NOFOLLOW);
}

int sandbox_files_add(const struct sandbox *b, int bundle_fd, const struct oci_config *c,
                      struct err *e)
{
    autofree char *hostname = path_join(b->bundle, "hostname"),
                  *hosts = path_join(b->bundle, "hosts"),
                  *dns = path_join(b->bundle, "resolv.conf"), *shm = path_join(b->bundle, SHM_NAME);
    const struct config_mount v[] = {
        {"/etc/hostname",    hostname,                           false},
        {"/etc/hosts",       hosts,                              false},
        {"/etc/resolv.conf", dns,                                false},
        {"/dev/shm",         b->has_host_ipc ? "/dev/shm" : shm, true },
    };
    autobuf json = BUF_INIT, changed = BUF_INIT;

    TRY(config_text_read(bundle_fd, &json, e));
    TRY(config_edit_mounts(&json, c, v, ARRAY_SIZE(v), &changed, e));
    return config_text_write(bundle_fd, &changed, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the index of an image layout, and as the manifest of its only image: what they lead
 * to is a program of the layout or an error. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/fds.h"
#include "store/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(int dirfd, const char *name, const void *data, size_t size)
{
    struct err e = ERR_INIT;
    autofd fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    BUG_ON(fd < 0 || fd_write_all(fd, data, size, &e) < 0);
}

static int layout_make(void)
{
    char dir[] = "/tmp/fuzz-layout-XXXXXX";
    int fd;

    BUG_ON(!mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    BUG_ON(fd < 0 || mkdirat(fd, "blobs", 0700) < 0 || mkdirat(fd, "blobs/sha256", 0700) < 0);
    put(fd, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
    return fd;
}

static void look(int dirfd)
{
    struct err e = ERR_INIT;
    struct digest digest;
    int fd = -EBADF;

    if (layout_program_open(dirfd, "", &fd, &digest, &e) < 0)
        BUG_ON(!e.code || !e.reason || !*e.msg || fd != -EBADF);
    else
        close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int dirfd = -1;
    char digest[DIGEST_TEXT_SIZE], name[128], index[256];
    struct digest d;

    if (dirfd < 0)
        dirfd = layout_make();
    put(dirfd, "index.json", data, size);
    look(dirfd);

    digest_bytes(data, size, &d);
    digest_format(&d, digest);
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest + strlen("sha256:"));
    snprintf(index, sizeof(index), "{\"manifests\":[{\"digest\":\"%s\",\"size\":%zu}]}", digest,
             size);
    put(dirfd, name, data, size);
    put(dirfd, "index.json", index, strlen(index));
    look(dirfd);
    unlinkat(dirfd, name, 0);
    return 0;
}

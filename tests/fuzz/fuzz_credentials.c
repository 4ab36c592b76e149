/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file with credentials: an error or something of the file; and what is stored in it
 * is found again, until it is erased. No helper is in PATH. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fds.h"
#include "base/util.h"
#include "image/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct credentials_options *options(void)
{
    static char dir[] = "/dev/shm/fuzz-credentials-XXXXXX", path[64];
    static struct credentials_options o;

    if (!o.authfile) {
        BUG_ON(!mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/auth.json", dir);
        setenv("PATH", "/nowhere", 1);
        o.authfile = path;
    }
    return &o;
}

static void put(const char *path, const void *data, size_t size)
{
    struct err e = ERR_INIT;
    autofd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    BUG_ON(fd < 0 || fd_write_all(fd, data, size, &e) < 0);
}

static void find(const struct credentials_options *o, const char *registry, const char *repository)
{
    struct credential c = {0};
    struct err e = ERR_INIT;
    int r = credentials_find(o, registry, repository, &c, &e);

    BUG_ON(r < 0 && (r != e.code || !e.reason || !*e.msg));
    BUG_ON((r > 0) != (c.username || c.identity_token));
    BUG_ON(!c.username != !c.password);
    credential_done(&c);
}

static void store_and_erase(const struct credentials_options *o)
{
    struct credential c = {.username = (char *)(uintptr_t) "u",
                           .password = (char *)(uintptr_t) "p"};
    struct credential again = {0};
    autofree char *where = NULL;
    struct err e = ERR_INIT;

    if (credentials_store(o, "r", &c, &where, &e) < 0)
        return;
    BUG_ON(credentials_find(o, "r", NULL, &again, &e) != 1);
    BUG_ON(!str_eq(again.username, "u") || !str_eq(again.password, "p") || again.identity_token);
    credential_done(&again);
    BUG_ON(credentials_erase(o, "r", &e) != 1);
    BUG_ON(credentials_find(o, "r", NULL, &again, &e) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct credentials_options *o = options();

    put(o->authfile, data, size);
    find(o, "r", "a/b");
    find(o, "docker.io", NULL);
    store_and_erase(o);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the name of a stream: an error that says so, or what a program can be started with.
 */
#include <limits.h>

#include "shim/stdio/stdio_uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct err e = ERR_INIT;
    struct stdio_uri u = {0};

    if (stdio_uri_parse(text, &u, &e) < 0) {
        BUG_ON(e.code != -EINVAL || !str_eq(e.reason, "BadStdio") || !*e.msg || u.path);
        return 0;
    }
    BUG_ON((u.kind == STDIO_NULL) != !u.path || (u.kind == STDIO_NULL) != !*text);
    BUG_ON(u.path && (u.path[0] != '/' || strlen(u.path) >= PATH_MAX));
    BUG_ON(u.args.n % 2 || ((u.args.n || u.env.n) && u.kind != STDIO_LOGGER));
    for (size_t i = 0; i < u.env.n; i++)
        BUG_ON(!strchr(u.env.v[i], '=') || u.env.v[i][0] == '=');
    stdio_uri_done(&u);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any names and links in layers: each file is found where its own name says, or an error says why
 * not, and no search is without end. Lines: a kind, then a name and a link with a tab between. */
#include "base/buf.h"
#include "image/rootfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct rootfs *r, char *line, struct rootfs_place *at)
{
    static const char kinds[] = "fdlhx";
    const char *kind = *line ? strchr(kinds, *line) : NULL;
    char *tab = strchr(line, '\t');
    struct err e = ERR_INIT;

    if (!kind) {
        *at = (struct rootfs_place){at->layer + 1, 0};
        return;
    }
    if (tab)
        *tab++ = 0;
    BUG_ON(rootfs_add(r, *at, (enum rootfs_kind)(kind - kinds), line + 1, tab ? tab : "", &e) < 0);
    at->entry++;
}

static void find(struct rootfs *r, const char *path, struct rootfs_place end)
{
    struct rootfs_place found = {~0U, ~0U};
    struct err e = ERR_INIT;
    int n = rootfs_find(r, path, &found, &e);

    BUG_ON(n < 0 && (!e.reason || !*e.msg));
    BUG_ON(n == 1 && found.layer > end.layer);
    BUG_ON(n == 0 && e.code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(rootfs) r = rootfs_new();
    struct rootfs_place at = {0, 0};
    autobuf text = BUF_INIT;
    char *rest, *line;

    buf_add(&text, data, size);
    buf_addc(&text, '\n');
    rest = text.data;
    while ((line = strsep(&rest, "\n")) && rest)
        add(r, line, &at);
    for (const char *name = text.data; name < text.data + text.len; name += strlen(name) + 1)
        find(r, *name ? name + 1 : name, at);
    find(r, "/app.wasm", at);
    return 0;
}

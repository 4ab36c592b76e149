/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest: an error that begins with its place, or objects that read back the same
 * from what is stored of them. */
#include "manifest/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct object *o)
{
    const struct objects_options stored = {.file = "stored", .is_stored = true};
    struct err e = ERR_INIT;
    autobuf first = BUF_INIT;
    autobuf second = BUF_INIT;
    autoobjects s = {0};

    object_encode(o, NULL, &first);
    BUG_ON(objects_parse((struct text){first.data, first.len}, &stored, &s, &e) < 0);
    BUG_ON(s.n != 1 || s.v[0]->kind != o->kind);
    object_encode(s.v[0], NULL, &second);
    BUG_ON(!str_eq(buf_str(&first), buf_str(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct objects_options o = {.file = "f", .base_dir = "/d"};
    struct err e = ERR_INIT;
    autoobjects s = {0};

    if (objects_parse((struct text){(const char *)data, size}, &o, &s, &e) < 0) {
        BUG_ON(s.n || !str_starts(e.msg, "f:"));
        return 0;
    }
    for (size_t i = 0; i < s.n; i++)
        again(s.v[i]);
    return 0;
}

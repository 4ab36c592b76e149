/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the name of an image: an error, or a name that reads back the same in full and stays
 * in its place in the store. */
#include "base/buf.h"
#include "store/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size), *full = NULL, *twice = NULL;
    autofree char *path = NULL;
    struct reference r, again;
    struct err e = ERR_INIT;

    if (reference_parse(text, &r, &e) < 0) {
        BUG_ON(!e.code || !str_eq(e.reason, "BadReference") || !*e.msg);
        return 0;
    }
    full = reference_format(&r);
    path = reference_store_path(&r);
    BUG_ON(!str_starts(path, "names/") || strstr(path, "/../") || strstr(path, "//"));
    BUG_ON(reference_parse(full, &again, &e) < 0);
    twice = reference_format(&again);
    BUG_ON(!str_eq(full, twice));
    reference_done(&r);
    reference_done(&again);
    return 0;
}

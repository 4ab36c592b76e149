/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an archive: listing it ends, and no name that is taken leads upwards. */
#include "base/err.h"
#include "toolbox/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[] = {(char *)"tar", NULL};
    struct job j = {.argc = 1, .argv = argv, .err = stream_new_null()};
    struct stream *in = stream_new_memory(SIZE_MAX), *out = stream_new_memory((size_t)1 << 20);
    struct tar t = {.job = &j, .stream = in, .is_verbose = true};
    autofree struct tar_entry *e = xcalloc(1, sizeof(*e));

    j.out = out;
    stream_write(in, data, size);
    if (tar_next(&t, e) > 0) {
        autofree char *name = tar_safe_name(e->name);

        BUG_ON(name && (name[0] == '/' || strstr(name, "../")));
    }
    tar_read(&t, false);
    stream_unref(in);
    stream_unref(out);
    stream_unref(j.err);
    return 0;
}

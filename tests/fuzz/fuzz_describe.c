/* SPDX-License-Identifier: Apache-2.0 */
/* What is before the first NUL as a manifest, what is behind it as a configuration: an error, or a
 * description whose steps lead to layers that it has. And as an index: an error or its platforms.
 */
#include "image/describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char empty[] =
        "{\"layers\":[{\"digest\":\"a\",\"size\":1},{\"digest\":\"b\",\"size\":2}]}";
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t len = end ? (size_t)(end - data) : size;
    struct image_platforms platforms = {0};
    struct image_description d = {0};
    autobuf manifest = BUF_INIT, config = BUF_INIT;
    struct err e = ERR_INIT;

    buf_add(&manifest, data, len);
    if (end)
        buf_add(&config, end + 1, size - len - 1);
    if (image_description_decode(&manifest, &d, &e) < 0) {
        BUG_ON(!e.code || !*e.msg || d.layers || d.config.digest);
        buf_clear(&manifest);
        buf_addstr(&manifest, empty);
        buf_clear(&config);
        buf_add(&config, data, size);
        BUG_ON(image_description_decode(&manifest, &d, &e) < 0);
    }
    if (image_platforms_decode(&manifest, &platforms, &e) < 0)
        BUG_ON(!e.code || !*e.msg || platforms.v);
    for (size_t i = 0; i < platforms.n; i++)
        BUG_ON(!platforms.v[i].part.digest);
    image_platforms_done(&platforms);
    image_description_join(&d, &config);
    for (size_t i = 0; i < d.n_history; i++)
        BUG_ON(d.history[i].layer &&
               (d.history[i].layer < d.layers || d.history[i].layer >= d.layers + d.n_layers));
    image_description_done(&d);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what containerd answers about an image, and as the documents that lead to its
 * program, which zero bytes part: the search ends after few of them, and what it names is a blob.
 */
#include "shim/image/image_search.h"
#include "store/container_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answers(struct text in, struct image_blob *ret)
{
    AUTO(arena) a = arena_new();
    struct image_blob large = {.size = 100};
    const char *name = NULL;
    struct text piece = {0};
    struct err e = ERR_INIT;
    BUG_ON(image_answer_container(in, a, &name, &e) >= 0 && !name);
    BUG_ON(image_answer_image(in, a, ret, &e) >= 0 && ret->size < 0);
    if (image_answer_read(in, 0, &large, a, &piece, &e) >= 0)
        BUG_ON(piece.len > 100 || (piece.len && !piece.data));
}

static void config(const struct buf *text)
{
    struct container_config c = {0};
    struct err e = ERR_INIT;
    if (container_config_decode(text, &c, &e) < 0)
        return;
    BUG_ON(container_tcp_port(&c) && !c.exposed_ports);
    container_config_done(&c);
}

static void search(struct text in, const struct image_blob *target)
{
    struct image_search s;
    struct err e = ERR_INIT;
    unsigned n = 0;
    int r = 0;
    image_search_begin(&s, target);
    while (r >= 0 && image_search_next(&s)) {
        autobuf text = BUF_INIT;
        size_t len = in.len ? strnlen(in.data, in.len) : 0;
        BUG_ON(++n > IMAGE_SEARCH_LIMIT || s.current.blob.size < 0);
        buf_addstr(&text, "");
        buf_add(&text, in.data, len);
        /* The same one again when there are no more. */
        if (len < in.len)
            in = (struct text){in.data + len + 1, in.len - len - 1};
        config(&text);
        r = len ? image_search_take(&s, &text, &e) : image_search_missing(&s, &e);
    }
    BUG_ON(r < 0 && (!e.code || !e.reason || !*e.msg));
    BUG_ON(s.has_program && (!s.has_manifest || s.program.size < 0));
    BUG_ON(s.has_config && (!s.has_manifest || s.config.size < 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text in = {(const char *)data, size};
    struct image_blob target = {.size = 1};
    answers(in, &target);
    search(in, &target);
    return 0;
}

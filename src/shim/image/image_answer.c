/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/image/image_answer.h"

#include "shim/messages/messages.h"

int image_blob_parse(const char *digest, int64_t size, const char *what, struct image_blob *ret,
                     struct err *e)
{
    struct image_blob b = {.size = size};
    if (digest_parse(digest, &b.digest, e) < 0 || size < 0)
        return err_set(e, -EINVAL, "BadImage",
                       "%s is said to be '%.100s' of %lld bytes, which is no SHA-256 digest or no "
                       "size",
                       what, digest, (long long)size);
    *ret = b;
    return 0;
}

int image_answer_container(struct text answer, struct arena *a, const char **ret_image,
                           struct err *e)
{
    Containerd__GetContainerResponse *m = NULL;
    TRY(protobuf_unpack(&containerd__get_container_response__descriptor, answer, a, &m, e));
    *ret_image = m->container ? m->container->image : "";
    return 0;
}

int image_answer_image(struct text answer, struct arena *a, struct image_blob *ret, struct err *e)
{
    Containerd__GetImageResponse *m = NULL;
    TRY(protobuf_unpack(&containerd__get_image_response__descriptor, answer, a, &m, e));
    if (!m->image || !m->image->target)
        return err_set(e, -EINVAL, "BadImage", "containerd names nothing that the image is");
    return image_blob_parse(m->image->target->digest, m->image->target->size, "the image", ret, e);
}

int image_answer_read(struct text answer, int64_t offset, const struct image_blob *blob,
                      struct arena *a, struct text *ret, struct err *e)
{
    Containerd__ReadContentResponse *m = NULL;
    TRY(protobuf_unpack(&containerd__read_content_response__descriptor, answer, a, &m, e));
    if (m->offset != offset)
        return err_set(e, -EINVAL, "BadImage", "a piece is at byte %lld, and not at %lld",
                       (long long)m->offset, (long long)offset);
    if (m->data.len > (uint64_t)(blob->size - offset))
        return err_set(e, -EINVAL, "BadImage", "there are more than the %lld bytes that it has",
                       (long long)blob->size);
    *ret = (struct text){(const char *)m->data.data, m->data.len};
    return 0;
}

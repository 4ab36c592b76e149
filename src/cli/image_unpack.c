/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/paths.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/container.h"
#include "store/layout.h"

/* 1 with what launch.c wants to know; 0: the worker finds it in the layout, or says why it does
 * not. */
static int unpack(const char *folder, const char *image, struct buf *ret, struct err *e)
{
    autofd dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodocument manifest = {0};
    AUTO(images) images = NULL;
    AUTO(image_progress) progress = image_progress_new("pulling", false);
    struct confine_watch watch = {image_progress_unpacking, progress};
    autofree char *path = NULL;
    struct digest digest, program;
    char hex[DIGEST_HEX_SIZE];
    __attribute__((cleanup(guest_command_done))) struct guest_command command = {0};
    struct json_writer w;
    int64_t size;

    if (dirfd < 0 || layout_manifest_read(dirfd, image, &manifest, &digest, e) < 0 ||
        !image_is_container(&manifest)) {
        *e = ERR_INIT;
        return 0;
    }
    TRY(image_store_open(&images, e));
    TRY(container_program_store(images, dirfd, &manifest, &digest, watch, &program, &size, e));
    TRY(container_command_read(dirfd, &manifest, &command, e));
    TRY(paths_images_dir(&path, e));
    json_writer_init(&w, ret, false);
    guest_command_encode(&command, &w);
    TRY(json_writer_finish(&w, e));
    digest_hex_format(&program, hex);
    buf_addf(ret, "\n%s/blobs/sha256/%s", path, hex);
    return 1;
}

int image_unpack_command(int argc, char *const *argv)
{
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;
    int status = 0;

    if (argc != 3)
        return GUEST_EXIT_WHERRY;
    if (unpack(argv[1], argv[2], &out, &e) < 0) {
        status = guest_exit_for(&e);
        buf_clear(&out);
        buf_addstr(&out, e.msg);
    }
    return cli_print(&out) ? GUEST_EXIT_WHERRY : status;
}

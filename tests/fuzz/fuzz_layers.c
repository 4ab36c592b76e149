/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the layers of a container's image, one below a layer of the other half: the program
 * comes out, or an error. What is in a compressed layer has another digest than is said here, which
 * is found out at its end. */
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fds.h"
#include "image/layers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file_of(const void *data, size_t size)
{
    struct err e = ERR_INIT;
    int fd = -1;

    BUG_ON(memfd_from("layer", data, size, &fd, &e) < 0);
    return fd;
}

static void look(const uint8_t *data, size_t size, size_t middle)
{
    int fds[2] = {file_of(data, middle), file_of(data + middle, size - middle)};
    autofd out = memfd_create("program", MFD_CLOEXEC);
    struct digest ids[2];
    struct layers l = {
        .fds = fds,
        .diff_ids = ids,
        .n = 2,
        .limits = {.program_bytes = 1 << 20,
                   .content_bytes = 4 << 20,
                   .free_bytes = 1 << 20,
                   .ratio = 100},
    };
    struct err e = ERR_INIT;
    int r;

    digest_bytes(data, middle, &ids[0]);
    digest_bytes(data + middle, size - middle, &ids[1]);
    strv_add(&l.paths, "/app.wasm");
    strv_add(&l.paths, "/bin/app");
    r = layers_program_extract(&l, out, &e);
    BUG_ON(r < 0 && r != -ENOMEM && (!e.code || !e.reason || !*e.msg));
    BUG_ON(r >= 0 && lseek(out, 0, SEEK_END) < 4);
    strv_done(&l.paths);
    close(fds[0]);
    close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct layers_locale locale;
    struct err e = ERR_INIT;

    BUG_ON(layers_locale_begin(&locale, &e) < 0);
    look(data, size, 0);
    look(data, size, size / 1024 * 512); /* tar has blocks of 512 bytes */
    layers_locale_done(&locale);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* For `wherry run oci:DIR`, `wherry run oci-archive:FILE` and the like (cli/launch.h). */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/launch.h"
#include "image/container.h"
#include "image/load.h"
#include "store/layout.h"

/* What is opened stays open until the process ends, and the program leased. */
struct unpacked {
    struct images *images;
    struct digest program;
    int fds[IMAGE_UNPACK_FDS]; /* of the program, and of its command unless that is empty */
    struct guest_command command;
};

/* 0: the worker finds it in the layout, or says why it does not. */
static int layout_unpack(const char *folder, const char *image, struct unpacked *u, struct err *e)
{
    autofd dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodocument manifest = {0};
    AUTO(image_progress) progress = image_progress_new("pulling", false);
    struct confine_watch watch = {image_progress_unpacking, progress};
    struct digest digest;
    int64_t size;

    if (dirfd < 0 || layout_manifest_read(dirfd, image, &manifest, &digest, e) < 0 ||
        !image_is_container(&manifest)) {
        *e = ERR_INIT;
        return 0;
    }
    TRY(image_store_open(&u->images, e));
    TRY(container_program_store(u->images, dirfd, &manifest, &digest, watch, &u->program, &size,
                                e));
    TRY(images_blob_open_at(images_folder(u->images), &u->program, &u->fds[0], &size, e));
    TRY(container_command_read(dirfd, &manifest, &u->command, e));
    return 1;
}

static int archive_unpack(const char *file, const char *image, struct unpacked *u, struct err *e)
{
    autofd fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "NotRunnable", "cannot open it");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -ENOEXEC, "NotRunnable", "it is not a regular file");
    TRY(image_store_open(&u->images, e));
    TRY(image_archive_program(u->images, fd, image, &u->fds[0], &u->program, &u->command, e));
    return 1;
}

static int message_send(const char *text, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(IMAGE_UNPACK_FDS * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (n_fds) {
        struct cmsghdr *c;

        m.msg_control = control.space;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    return sendmsg(STDOUT_FILENO, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* In a file, since it may have more than a socket takes. */
static int command_write(const struct guest_command *c, int *ret_fd, struct err *e)
{
    autobuf text = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &text, false);
    guest_command_encode(c, &w);
    TRY(json_writer_finish(&w, e));
    return memfd_from("command", buf_str(&text), text.len, ret_fd, e);
}

static int unpacked_send(struct unpacked *u, struct err *e)
{
    autofree char *dir = NULL, *path = NULL;
    char hex[DIGEST_HEX_SIZE];

    TRY(paths_images_dir(&dir, e));
    digest_hex_format(&u->program, hex);
    path = xasprintf("%s/blobs/sha256/%s", dir, hex);
    if (u->command.entrypoint.n)
        TRY(command_write(&u->command, &u->fds[1], e));
    if (message_send(path, u->fds, u->fds[1] < 0 ? 1 : 2) < 0)
        return err_errno(e, -errno, "SendFailed", "cannot send the program");
    return 0;
}

int image_unpack_command(int argc, char *const *argv)
{
    struct unpacked u = {
        .fds = {-EBADF, -EBADF}
    };
    struct err e = ERR_INIT;
    int r;

    if (argc != 3)
        return GUEST_EXIT_WHERRY;
    r = str_eq(argv[0], IMAGE_UNPACK_LAYOUT) ? layout_unpack(argv[1], argv[2], &u, &e)
                                             : archive_unpack(argv[1], argv[2], &u, &e);
    if (r > 0)
        r = unpacked_send(&u, &e);
    if (r >= 0)
        return 0;
    message_send(e.msg, NULL, 0);
    return guest_exit_for(&e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <sys/socket.h>

#include "base/fds.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "guest/command.h"

/* One message: the path, or what is wrong, with or without descriptors. -EAGAIN: none was sent. */
static int message_receive(int socket, char *text, size_t size,
                           int ret_fds[static IMAGE_UNPACK_FDS])
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(IMAGE_UNPACK_FDS * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = text, .iov_len = size - 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c;

    if (n < 0)
        return -errno;
    text[n] = 0;
    c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len <= CMSG_LEN(IMAGE_UNPACK_FDS * sizeof(int)))
        memcpy(ret_fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    if (m.msg_flags & MSG_CTRUNC)
        return -EMFILE;
    return m.msg_flags & MSG_TRUNC ? -ENAMETOOLONG : 0;
}

/* The reason for the status that wherry-image ended with. */
static int failed(const struct program_name *p, int status, const char *text, struct err *e)
{
    int code = status == GUEST_EXIT_NOT_FOUND      ? -ENOENT
               : status == GUEST_EXIT_NOT_RUNNABLE ? -ENOEXEC
                                                   : -ECANCELED;
    const char *reason = code == -ENOENT    ? "NotFound"
                         : code == -ENOEXEC ? "NotRunnable"
                                            : "UnpackFailed";

    err_set(e, code, reason, "%s", *text ? text : "reading it came to an unexpected end");
    if (p->is_archive)
        return err_prefix(e, "%s", p->path);
    return err_prefix(e, "'" OCI_PREFIX "%s' (%s)", p->path,
                      *p->image ? p->image : "its only image");
}

/* Runs wherry-image; its status, and what it sent. */
static int received(const struct program_name *p, char *text, size_t size,
                    int ret_fds[static IMAGE_UNPACK_FDS], struct err *e)
{
    char *argv[] = {(char *)(p->is_archive ? IMAGE_UNPACK_ARCHIVE : IMAGE_UNPACK_LAYOUT), p->path,
                    p->image, NULL};
    autofree char *program = NULL;
    autofd own = -EBADF, its = -EBADF;
    int sockets[2], status, r;

    TRY(paths_program_find("wherry-image", &program, e));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return err_errno(e, -errno, "ExecFailed", "cannot make a socket");
    own = sockets[0];
    its = sockets[1];
    status = cli_program_run(program, argv, its);
    if (status < 0)
        return err_errno(e, status, "ExecFailed", "cannot run '%s'", program);
    r = message_receive(own, text, size, ret_fds);
    if (r < 0 && r != -EAGAIN)
        return err_errno(e, r, "UnpackFailed", "cannot receive the program of '%s'", p->path);
    return status;
}

int launch_unpack(const struct program_name *p, int *ret_fd, char **ret_path, char **ret_command,
                  struct err *e)
{
    int fds[IMAGE_UNPACK_FDS] = {-EBADF, -EBADF}, status;
    char text[PATH_MAX] = "";
    autofd fd = -EBADF, command_fd = -EBADF;
    autobuf command = BUF_INIT;

    status = received(p, text, sizeof(text), fds, e);
    fd = fds[0];
    command_fd = fds[1];
    TRY(status);
    if (status || (fd < 0 && p->is_archive))
        return failed(p, status, text, e);
    if (fd < 0)
        return 0;
    if (command_fd >= 0)
        TRY(fd_read_all(command_fd, GUEST_COMMAND_TEXT_LIMIT, &command, e));
    *ret_fd = take_fd(&fd);
    *ret_path = xstrdup(text);
    *ret_command = command_fd < 0 ? NULL : buf_take(&command);
    return 1;
}

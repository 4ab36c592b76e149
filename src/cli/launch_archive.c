/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>

#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"

/* One message: the path, or what is wrong, with or without the descriptor. */
static int message_receive(int socket, char *text, size_t size, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
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
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    return 0;
}

/* The reason for the status that wherry-image ended with. */
static int failed(int status, const char *name, const char *text, struct err *e)
{
    if (status == GUEST_EXIT_NOT_FOUND)
        return err_set(e, -ENOENT, "NotFound", "%s: %s", name, text);
    if (status == GUEST_EXIT_NOT_RUNNABLE)
        return err_set(e, -ENOEXEC, "NotRunnable", "%s: %s", name, text);
    return err_set(e, -EINVAL, "ArchiveFailed", "%s: %s", name,
                   *text ? text : "reading it came to an unexpected end");
}

int launch_archive(const struct program_name *p, int *ret_fd, char **ret_path, struct err *e)
{
    autofree char *program = NULL;
    char *argv[] = {(char *)IMAGE_ARCHIVE_PROGRAM, p->path, p->image, NULL};
    autofd own = -EBADF, its = -EBADF, fd = -EBADF;
    char text[sizeof(e->msg)] = "";
    int sockets[2], status;

    TRY(paths_program_find("wherry-image", &program, e));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return err_errno(e, -errno, "ExecFailed", "cannot make a socket");
    own = sockets[0];
    its = sockets[1];
    status = cli_program_run(program, argv, its);
    if (status < 0)
        return err_errno(e, status, "ExecFailed", "cannot run '%s'", program);
    message_receive(own, text, sizeof(text), &fd);
    if (status || fd < 0)
        return failed(status, p->path, text, e);
    *ret_fd = take_fd(&fd);
    *ret_path = xstrdup(text);
    return 0;
}

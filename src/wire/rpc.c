/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/rpc.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/util.h"

static const struct status {
    int code; /* the first row with an errno says which code that is */
    int errno_value;
    const char *reason;
} statuses[] = {
    {TTRPC_CANCELED,            ECANCELED,    "Canceled"          },
    {TTRPC_UNKNOWN,             EREMOTEIO,    "Unknown"           },
    {TTRPC_INVALID_ARGUMENT,    EINVAL,       "InvalidArgument"   },
    {TTRPC_DEADLINE_EXCEEDED,   ETIMEDOUT,    "DeadlineExceeded"  },
    {TTRPC_NOT_FOUND,           ENOENT,       "NotFound"          },
    {TTRPC_ALREADY_EXISTS,      EEXIST,       "AlreadyExists"     },
    {TTRPC_PERMISSION_DENIED,   EACCES,       "PermissionDenied"  },
    {TTRPC_RESOURCE_EXHAUSTED,  ENOBUFS,      "ResourceExhausted" },
    {TTRPC_FAILED_PRECONDITION, EBUSY,        "FailedPrecondition"},
    {TTRPC_ABORTED,             EINTR,        "Aborted"           },
    {TTRPC_OUT_OF_RANGE,        ERANGE,       "OutOfRange"        },
    {TTRPC_UNIMPLEMENTED,       ENOSYS,       "Unimplemented"     },
    {TTRPC_INTERNAL,            EIO,          "Internal"          },
    {TTRPC_UNAVAILABLE,         EAGAIN,       "Unavailable"       },
    {TTRPC_DATA_LOSS,           EUCLEAN,      "DataLoss"          },
    {TTRPC_UNAUTHENTICATED,     EKEYREJECTED, "Unauthenticated"   },
 /* What else our own errors have. */
    {TTRPC_INVALID_ARGUMENT,    EBADMSG,      "InvalidArgument"   },
    {TTRPC_INVALID_ARGUMENT,    ENAMETOOLONG, "InvalidArgument"   },
    {TTRPC_NOT_FOUND,           ESRCH,        "NotFound"          },
    {TTRPC_PERMISSION_DENIED,   EPERM,        "PermissionDenied"  },
    {TTRPC_RESOURCE_EXHAUSTED,  EFBIG,        "ResourceExhausted" },
    {TTRPC_RESOURCE_EXHAUSTED,  ENOMEM,       "ResourceExhausted" },
    {TTRPC_RESOURCE_EXHAUSTED,  ENOSPC,       "ResourceExhausted" },
    {TTRPC_UNIMPLEMENTED,       EOPNOTSUPP,   "Unimplemented"     },
};

enum ttrpc_code ttrpc_code_of(int errno_value)
{
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        if (statuses[i].errno_value == abs(errno_value))
            return statuses[i].code;
    return TTRPC_UNKNOWN;
}

int ttrpc_status_err(int code, const char *message, struct err *e)
{
    const struct status *s = statuses, *end = statuses + ARRAY_SIZE(statuses);
    while (s < end && s->code != code)
        s++;
    if (s == end)
        s = &statuses[1]; /* TTRPC_UNKNOWN */
    return err_set(e, -s->errno_value, s->reason, "%s",
                   message[0] ? message : "the other side refused the call without saying why");
}

int rpc_connect(const char *path, int *ret_fd, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return err_set(e, -ENAMETOOLONG, "ConnectFailed",
                       "the path of the socket '%.100s...' is longer than %zu bytes", path,
                       sizeof(a.sun_path) - 1);
    memcpy(a.sun_path, path, strlen(path));
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Of a unix socket it is done at once, or fails. */
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
        return err_errno(e, -errno, "ConnectFailed", "cannot connect to the socket '%s'", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

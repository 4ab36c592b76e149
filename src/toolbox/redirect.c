/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <fcntl.h>

#include "toolbox/expand.h"

void redirects_save(struct shell *sh, struct stream **saved)
{
    for (int i = 0; i < SHELL_FDS; i++)
        saved[i] = stream_ref(sh->fds[i]);
}

void redirects_restore(struct shell *sh, struct stream **saved)
{
    for (int i = 0; i < SHELL_FDS; i++) {
        if (sh->fds[i] != saved[i])
            stream_flush(sh->fds[i]);
        stream_unref(sh->fds[i]);
        sh->fds[i] = saved[i];
    }
}

static void put(struct shell *sh, int fd, struct stream *s)
{
    stream_flush(sh->fds[fd]);
    stream_unref(sh->fds[fd]);
    sh->fds[fd] = s;
}

/* >&2, <&-, ... */
static bool duplicate(struct shell *sh, const struct redirect *r, const char *target)
{
    if (str_eq(target, "-")) {
        put(sh, r->fd, NULL);
        return true;
    }
    if (!isdigit((unsigned char)target[0]) || target[1]) {
        shell_report(sh, "%s: a number from 0 to 9 or '-' must follow '%s'", target,
                     r->op == TOKEN_LESS_AND ? "<&" : ">&");
        return false;
    }
    if (!sh->fds[target[0] - '0']) {
        shell_report(sh, "%s: Bad file descriptor", target);
        return false;
    }
    put(sh, r->fd, stream_ref(sh->fds[target[0] - '0']));
    return true;
}

static int flags_of(enum token_kind op)
{
    if (op == TOKEN_LESS)
        return O_RDONLY;
    if (op == TOKEN_LESS_GREAT)
        return O_RDWR | O_CREAT;
    return O_WRONLY | O_CREAT | (op == TOKEN_DGREAT ? O_APPEND : O_TRUNC);
}

static bool open_file(struct shell *sh, const struct redirect *r, const char *path)
{
    /* WASI has no devices, and scripts cannot do without this one. */
    struct stream *s = str_eq(path, "/dev/null") ? stream_new_null() : NULL;
    int fd;

    if (!s) {
        fd = open(path, flags_of(r->op) | O_CLOEXEC, 0666);
        if (fd < 0) {
            shell_report(sh, "cannot %s %s: %s", r->op == TOKEN_LESS ? "open" : "create", path,
                         errno_text(errno));
            return false;
        }
        s = stream_new_fd(fd, true);
    }
    put(sh, r->fd, s);
    return true;
}

static bool apply_one(struct shell *sh, const struct redirect *r)
{
    bool is_here = r->op == TOKEN_DLESS || r->op == TOKEN_DLESS_DASH;
    autofree char *target = NULL;

    if (is_here)
        target = r->is_literal ? xstrdup(r->target) : expand_body(sh, r->target);
    else
        target = expand_text(sh, r->target);
    if (!target)
        return false;
    if (is_here) {
        struct stream *s = stream_new_memory(SIZE_MAX);

        stream_puts(s, target);
        put(sh, r->fd, s);
        return true;
    }
    if (r->op == TOKEN_LESS_AND || r->op == TOKEN_GREAT_AND)
        return duplicate(sh, r, target);
    return open_file(sh, r, target);
}

bool redirects_apply(struct shell *sh, const struct redirect *r, struct stream **saved)
{
    redirects_save(sh, saved);
    for (; r; r = r->next)
        if (!apply_one(sh, r)) {
            redirects_restore(sh, saved);
            return false;
        }
    return true;
}

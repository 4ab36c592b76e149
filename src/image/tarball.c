/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive is read in a child, which tells this process of it by frames over a socket. What the
 * child says is as little trusted as the archive: the archive may have taken it over.
 */
#include "image/tarball.h"

#include <fcntl.h>
#include <iconv.h>
#include <langinfo.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/fds.h"
#include "image/confine.h"

#define CPU_S        300
#define MEMORY_BYTES (512u << 20) /* for the windows of xz and zstd */

#define DATA_LIMIT  (256u << 10)
#define READER_GONE "Truncated" /* as fd_read_exact() says it */

enum frame_kind {
    FRAME_ENTRY, /* its name and link follow; answered by one byte, whether the content is wanted */
    FRAME_DATA,  /* bytes follow */
    FRAME_END,   /* of a wanted entry */
    FRAME_DONE,
};

struct frame {
    uint32_t kind, len;
    int64_t size; /* of an entry, with its kind */
    uint32_t detail, link_len;
};

struct reader {
    int from, to; /* the archive, the child's end of the socket */
    int result;
    struct err error;
};

/* ---- The child ---- */

static int frame_send(int fd, struct frame f, const void *data, struct err *e)
{
    TRY(fd_write_all(fd, &f, sizeof(f), e));
    return f.len ? fd_write_all(fd, data, f.len, e) : 0;
}

static int send_entry(void *ctx, const struct tarball_entry *t, struct err *e)
{
    struct frame f = {.kind = FRAME_ENTRY,
                      .len = (uint32_t)strlen(t->name),
                      .link_len = (uint32_t)strlen(t->link),
                      .detail = t->kind,
                      .size = t->size};
    int fd = *(int *)ctx;
    char is_wanted;

    TRY(frame_send(fd, f, t->name, e));
    TRY(fd_write_all(fd, t->link, f.link_len, e));
    TRY(fd_read_exact(fd, &is_wanted, 1, e));
    return is_wanted;
}

static int send_data(void *ctx, const void *data, size_t len, struct err *e)
{
    return frame_send(*(int *)ctx, (struct frame){.kind = FRAME_DATA, .len = (uint32_t)len}, data,
                      e);
}

static int send_end(void *ctx, struct err *e)
{
    return frame_send(*(int *)ctx, (struct frame){.kind = FRAME_END}, NULL, e);
}

static int child_run(void *ctx, struct err *e)
{
    struct reader *r = ctx;
    struct tarball_visitor v = {
        .entry = send_entry, .data = send_data, .end = send_end, .ctx = &r->to};

    TRY(tarball_visit_here(r->from, &v, e));
    return frame_send(r->to, (struct frame){.kind = FRAME_DONE}, NULL, e);
}

/* ---- This process ---- */

static int nonsense(struct err *e)
{
    return err_set(e, -EINVAL, "BadImage", "the reader of the archive says what makes no sense");
}

static int entry_receive(int fd, const struct frame *f, const struct tarball_visitor *v,
                         struct err *e)
{
    char name[TARBALL_NAME_LIMIT + 1], link[TARBALL_NAME_LIMIT + 1], answer;
    struct tarball_entry t = {.name = name, .link = link, .kind = f->detail, .size = f->size};
    int is_wanted;

    if (f->len > TARBALL_NAME_LIMIT || f->link_len > TARBALL_NAME_LIMIT ||
        f->detail > TARBALL_OTHER || f->size < 0)
        return nonsense(e);
    TRY(fd_read_exact(fd, name, f->len, e));
    name[f->len] = 0;
    TRY(fd_read_exact(fd, link, f->link_len, e));
    link[f->link_len] = 0;
    is_wanted = v->entry(v->ctx, &t, e);
    TRY(is_wanted);
    answer = (char)is_wanted;
    if (send(fd, &answer, 1, MSG_NOSIGNAL) != 1)
        return err_set(e, -ENODATA, READER_GONE, "the reader of the archive is gone");
    return is_wanted;
}

static int frames_receive(int fd, const struct tarball_visitor *v, struct err *e)
{
    autofree char *data = xcalloc(DATA_LIMIT, 1);
    int is_wanted = 0;

    for (;;) {
        struct frame f;

        TRY(fd_read_exact(fd, &f, sizeof(f), e));
        if (f.kind == FRAME_DONE)
            return 0;
        if (f.kind == FRAME_ENTRY && !is_wanted) {
            is_wanted = entry_receive(fd, &f, v, e);
            TRY(is_wanted);
        } else if (f.kind == FRAME_DATA && is_wanted && f.len <= DATA_LIMIT) {
            TRY(fd_read_exact(fd, data, f.len, e));
            TRY(v->data(v->ctx, data, f.len, e));
        } else if (f.kind == FRAME_END && is_wanted) {
            is_wanted = 0;
            TRY(v->end(v->ctx, e));
        } else {
            return nonsense(e);
        }
    }
}

/* Waits for the child. Its end of the socket is open in this process too, until then. */
static void *reader_main(void *arg)
{
    static const char *const reasons[] = {"BadImage",    "TooLarge",  "ReadFailed",
                                          "WriteFailed", READER_GONE, NULL};
    struct reader *r = arg;
    struct confine c = {
        .what = "the archive",
        .limits = {.cpu_s = CPU_S, .memory_bytes = MEMORY_BYTES},
        .fds = (const int[]){r->from,        r->to                       },
        .n_fds = 2,
        .reasons = reasons,
        .run = child_run,
        .ctx = r,
    };

    r->result = confine_run(&c, &r->error);
    close(r->to);
    return NULL;
}

/* So that it is there when the child, which can open nothing, reads names in UTF-8. */
static void converter_load(void)
{
    iconv_t converter = iconv_open(nl_langinfo(CODESET), "UTF-8");

    if (converter != (iconv_t)-1)
        iconv_close(converter);
}

static int reader_run(struct reader *reader, int fd, const struct tarball_visitor *v, struct err *e)
{
    pthread_t thread;
    int r = -pthread_create(&thread, NULL, reader_main, reader);

    if (r < 0) {
        close(reader->to);
        return err_errno(e, r, "ReadFailed", "cannot start a thread");
    }
    r = frames_receive(fd, v, e);
    shutdown(fd, SHUT_RDWR); /* which ends the child, if it goes on */
    pthread_join(thread, NULL);
    /* Why it is gone, it knows better. */
    if (r >= 0 || str_eq(e->reason, READER_GONE)) {
        r = reader->result;
        if (r < 0)
            *e = reader->error;
    }
    return r;
}

int tarball_visit(int fd, const struct tarball_visitor *v, struct err *e)
{
    autofd own = -EBADF, archive = -EBADF, childs = -EBADF;
    struct reader reader = {.error = ERR_INIT};
    int sockets[2];

    converter_load();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot make a socket");
    own = sockets[0];
    childs = sockets[1];
    archive = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (archive < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot use the archive's descriptor");
    TRY(fd_move_above(&childs, STDERR_FILENO + 1, e));
    reader.from = archive;
    reader.to = take_fd(&childs);
    return reader_run(&reader, own, v, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "container/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/text.h"
#include "container/container.h"

#define BACKLOG            16
#define LOG_KEPT_BYTES     65536
#define RECORD_LIMIT_BYTES (128u << 10)
#define RECORD_SUFFIX      ".exit"
#define NAME_SIZE          (FOLDER_NAME_LIMIT + 16)

bool folder_name_is_valid(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return len && len <= FOLDER_NAME_LIMIT && !name[len] && name[0] != '.';
}

int folder_open(const char *run_dir, const char *tenant, int *ret_fd, struct err *e)
{
    autofree char *path = path_join(run_dir, tenant);

    return path_open_private(path, ret_fd, e);
}

int folder_each(int dir_fd, bool (*each)(void *ctx, const char *name), void *ctx, struct err *e)
{
    int r = dir_each(dir_fd, each, ctx);

    return r < 0 ? err_errno(e, r, "RunFolder", "cannot read a folder of the run folder") : 0;
}

static bool note(void *ctx, const char *id)
{
    (void)id;
    *(bool *)ctx = true;
    return false;
}

static bool file_remove(void *ctx, const char *name)
{
    unlinkat(*(const int *)ctx, name, 0);
    return true;
}

void folder_remove(int run_fd, const char *tenant, int dir_fd)
{
    bool has_records = false;
    struct err e = ERR_INIT;

    process_note_remove(run_fd, tenant);
    if (record_each(dir_fd, note, &has_records, &e) < 0 || has_records ||
        folder_each(dir_fd, file_remove, &dir_fd, &e) < 0)
        return;
    unlinkat(run_fd, tenant, AT_REMOVEDIR);
}

/* A path of a socket has room for 107 characters only; this one is short wherever the folder is. */
static void socket_address(int dir_fd, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/socket", dir_fd);
}

int folder_listen(int dir_fd, int *ret_fd, struct err *e)
{
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    socket_address(dir_fd, &address);
    if (fd < 0)
        return err_errno(e, -errno, "RunFolder", "cannot make a socket for the worker");
    unlinkat(dir_fd, "socket", 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(e, -errno, "RunFolder", "cannot listen in the worker's folder");
    *ret_fd = take_fd(&fd);
    return 0;
}

int folder_connect(int dir_fd, int *ret_fd, struct err *e)
{
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;

    socket_address(dir_fd, &address);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_errno(e, -errno, CONTAINER_REASON_CONNECTION, "cannot connect to the worker");
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- The log ---- */

int folder_log_open(int dir_fd, int *ret_fd, struct err *e)
{
    int fd =
        openat(dir_fd, "worker.log", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(e, -errno, "RunFolder", "cannot open the worker's log");
    *ret_fd = fd;
    return 0;
}

void folder_log_cut(int fd)
{
    autofree char *kept = NULL;
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0 || st.st_size <= FOLDER_LOG_LIMIT_BYTES)
        return;
    kept = xcalloc(1, LOG_KEPT_BYTES);
    n = pread(fd, kept, LOG_KEPT_BYTES, st.st_size - LOG_KEPT_BYTES);
    /* The worker appends: what it says now comes before or after the part that is kept. */
    if (ftruncate(fd, 0) == 0 && n > 0 && write(fd, kept, (size_t)n) < 0)
        return;
}

void folder_log_tail(int dir_fd, off_t from, char *ret, size_t size)
{
    autofd fd = file_open_at(dir_fd, "worker.log");
    struct stat st;
    ssize_t n = 0;

    ret[0] = '\0';
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    if (st.st_size - from > (off_t)size - 1)
        from = st.st_size - ((off_t)size - 1);
    if (from < st.st_size)
        n = pread(fd, ret, size - 1, from);
    while (n > 0 && ret[n - 1] == '\n')
        n--;
    ret[n < 0 ? 0 : n] = '\0';
    for (char *at = ret; (at = strchr(at, '\n'));)
        *at = ';';
    text_mute(ret, strlen(ret), false);
}

/* ---- Records ---- */

static void record_name(const char *id, char ret[static NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%.*s" RECORD_SUFFIX, FOLDER_NAME_LIMIT, id);
}

void record_lost(const char *id, const char *why, uint64_t started_ns, struct guest_status *ret)
{
    char time[CLOCK_RFC3339NANO_SIZE];

    *ret = (struct guest_status){.id = xstrdup(id),
                                 .reason = xstrdup(CONTAINER_REASON_LOST),
                                 .message = xstrdup(why),
                                 .exit_code = CONTAINER_EXIT_LOST};
    if (started_ns) {
        clock_rfc3339nano_format(started_ns, time);
        ret->started_at = xstrdup(time);
    }
    clock_rfc3339nano_format(clock_realtime_ns(), time);
    ret->finished_at = xstrdup(time);
}

int record_read(int dir_fd, const char *id, struct guest_status *ret, struct err *e)
{
    char name[NAME_SIZE];
    autobuf text = BUF_INIT;
    struct guest_status s = {0};
    autofd fd = -EBADF;

    record_name(id, name);
    fd = file_open_at(dir_fd, name);
    if (fd == -ENOENT)
        return err_set(e, -ENOENT, "NotFound", "there is no record of the end of '%s'", id);
    if (is_shortage(fd))
        return err_errno(e, fd, "RunFolder", "cannot read the record of the end of '%s'", id);
    if (fd >= 0 && fd_read_all(fd, RECORD_LIMIT_BYTES, &text, e) == 0 &&
        guest_status_decode(buf_str(&text), text.len, &s, e) == 0) {
        *ret = s;
        return 0;
    }
    /* It did end; how is not known any more. */
    record_lost(id, "it ended, but the record of its end cannot be read", 0, ret);
    return 0;
}

int record_write(int dir_fd, const struct guest_status *s, struct err *e)
{
    char name[NAME_SIZE];
    autobuf text = BUF_INIT;
    struct json_writer w;

    record_name(s->id, name);
    json_writer_init(&w, &text, true);
    guest_status_encode(s, &w);
    TRY(json_writer_finish(&w, e));
    return file_write_at(dir_fd, name, text.data, text.len, 0600, 0, e);
}

void record_remove(int dir_fd, const char *id)
{
    char name[NAME_SIZE];

    record_name(id, name);
    unlinkat(dir_fd, name, 0);
}

struct record_walk {
    bool (*each)(void *ctx, const char *id);
    void *ctx;
};

static bool record_one(void *ctx, const char *name)
{
    const struct record_walk *w = ctx;
    size_t len = str_stem(name, RECORD_SUFFIX);
    autofree char *id = NULL;

    if (!len)
        return true;
    id = xstrndup(name, len);
    return folder_name_is_valid(id) ? w->each(w->ctx, id) : true;
}

int record_each(int dir_fd, bool (*each)(void *ctx, const char *id), void *ctx, struct err *e)
{
    struct record_walk w = {.each = each, .ctx = ctx};

    return folder_each(dir_fd, record_one, &w, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/program_record.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"

int program_record_worker(const char *path, char ret[static DIGEST_HEX_SIZE], struct err *e)
{
    autobuf boot = BUF_INIT;
    autofree char *text = NULL;
    struct digest digest;
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(e, -errno, "ProgramMissing", "cannot examine '%s'", path);
    TRY(boot_id_read(&boot, e));
    text = xasprintf("%" PRIu64 ":%" PRIu64 ":%lld:%lld.%09ld:%s", (uint64_t)st.st_dev,
                     (uint64_t)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                     st.st_mtim.tv_nsec, buf_str(&boot));
    digest_bytes(text, strlen(text), &digest);
    digest_hex_format(&digest, ret);
    return 0;
}

static int folder_open(const char *dir, int *ret_fd, struct err *e)
{
    autofree char *path = path_join(dir, "programs");

    return path_open_private(path, ret_fd, e);
}

static bool is_trusted(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & 022);
}

int program_record_find(const char *dir, const struct digest *program, const char *worker,
                        struct prepare_answer *ret, struct err *e)
{
    struct err unusable = ERR_INIT; /* then it is asked for again, and written anew */
    struct prepare_answer a = {0};
    char name[DIGEST_HEX_SIZE];
    autofd folder = -EBADF, fd = -EBADF;
    autobuf text = BUF_INIT;

    TRY(folder_open(dir, &folder, e));
    digest_hex_format(program, name);
    fd = file_open_at(folder, name);
    if (fd < 0 || !is_trusted(fd) ||
        fd_read_all(fd, PREPARE_ANSWER_LIMIT_BYTES, &text, &unusable) < 0 ||
        prepare_answer_decode(buf_str(&text), text.len, &a, &unusable) < 0)
        return 0;
    if (!a.contract || !a.worker || !str_eq(a.worker, worker)) {
        prepare_answer_done(&a);
        return 0;
    }
    *ret = a;
    return 1;
}

/* ---- Keeping ---- */

struct listing {
    int folder;
    size_t n;
    bool is_to_remove;
};

static bool see(void *ctx, const char *name)
{
    struct listing *l = ctx;

    l->n++;
    if (l->is_to_remove)
        unlinkat(l->folder, name, 0);
    return true;
}

/* Who is asked again answers from the cache in milliseconds, so it is not worth more than that. */
static void room_make(int folder)
{
    struct listing l = {.folder = folder};

    if (dir_each(folder, see, &l) < 0 || l.n < PROGRAM_RECORDS_LIMIT)
        return;
    l.is_to_remove = true;
    dir_each(folder, see, &l);
}

int program_record_keep(const char *dir, const struct digest *program, const char *worker,
                        const struct prepare_answer *a, struct err *e)
{
    struct prepare_answer kept = *a;
    char name[DIGEST_HEX_SIZE];
    autofd folder = -EBADF;
    autobuf text = BUF_INIT;

    TRY(folder_open(dir, &folder, e));
    room_make(folder);
    kept.worker = (char *)worker;
    prepare_answer_encode(&kept, &text);
    digest_hex_format(program, name);
    return file_write_at(folder, name, text.data, text.len, 0600, 0, e);
}

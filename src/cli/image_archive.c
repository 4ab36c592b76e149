/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/system.h"
#include "image/load.h"
#include "image/save.h"

/* ---- save ---- */

static enum save_format format_of(const struct image_save_options *o)
{
    if (str_eq(o->format, "oci-dir"))
        return SAVE_OCI_DIR;
    return str_eq(o->format, "docker-archive") ? SAVE_DOCKER_ARCHIVE : SAVE_OCI_ARCHIVE;
}

static int folder_write(struct save *v, const char *path, struct err *e)
{
    autofd fd = -EBADF;

    TRY(path_mkdir_p(path, 0755, e));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot open the folder '%s'", path);
    if (dir_is_empty(fd) <= 0)
        return err_set(e, -EEXIST, "BadUsage", "the folder '%s' is not empty", path);
    return save_folder(v, fd, e);
}

/* Beside it first, so that what is there is whole. */
static int file_replace(struct save *v, enum save_format format, const char *path, struct err *e)
{
    autofree char *dir = path_dir(path);
    autofree char *temporary = xasprintf("%s/.%s.XXXXXX", dir, path_base(path));
    autofd fd = mkostemp(temporary, O_CLOEXEC);
    mode_t mask = umask(0);
    int r;

    umask(mask);
    if (fd < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot write to the folder '%s'", dir);
    r = save_archive(v, format, fd, e);
    if (r >= 0 && (fchmod(fd, 0666 & ~mask) < 0 || rename(temporary, path) < 0))
        r = err_errno(e, -errno, "WriteFailed", "cannot write '%s'", path);
    if (r < 0)
        unlink(temporary);
    return r;
}

/* A pipe or a device is written to, not replaced. */
static int file_write_to(struct save *v, enum save_format format, const char *path, struct err *e)
{
    struct stat st;
    autofd fd = -EBADF;

    if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
        return file_replace(v, format, path, e);
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot write '%s'", path);
    return save_archive(v, format, fd, e);
}

static int save(const struct image_save_options *o, const struct strv *names, struct err *e)
{
    enum save_format format = format_of(o);
    autoregistries registries = {0};
    autostrv full = STRV_INIT;
    AUTO(images) images = NULL;
    AUTO(save) v = NULL;

    if (!o->output && format == SAVE_OCI_DIR)
        return err_set(e, -EINVAL, "BadUsage", "--format oci-dir needs -o FOLDER");
    if (!o->output && isatty(STDOUT_FILENO))
        return err_set(e, -EINVAL, "BadUsage",
                       "an archive is not written to a terminal; give -o FILE, or redirect it");
    TRY(image_registries_read(&registries, e));
    TRY(image_store_open(&images, e));
    for (size_t i = 0; i < names->n; i++) {
        __attribute__((cleanup(image_done))) struct image image = {0};

        TRY(image_stored_find(images, &registries, names->v[i], &image, e));
        strv_add(&full, image.name);
    }
    TRY(save_new(images, &full, &v, e));
    if (format == SAVE_OCI_DIR)
        return folder_write(v, o->output, e);
    return o->output ? file_write_to(v, format, o->output, e)
                     : save_archive(v, format, STDOUT_FILENO, e);
}

int image_save_command(int argc, char *const *argv)
{
    struct image_save_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_save, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = save(&o, &operands, &e) < 0 ? cli_fail("save", &e, image_exit_for(&e)) : 0;
    options_done(&command_save, &o);
    return status;
}

/* ---- load ---- */

struct loading {
    struct image_progress *progress;
    bool has_failed;
    struct strv names;    /* of images to compile, one for each program */
    struct strv programs; /* of these, by their digests */
};

static void loading_done(struct loading *l)
{
    if (l->progress)
        image_progress_free(l->progress);
    strv_done(&l->names);
    strv_done(&l->programs);
}

static int on_loaded(void *ctx, const struct image *i, struct err *e)
{
    char digest[DIGEST_TEXT_SIZE];
    struct loading *l = ctx;
    autobuf out = BUF_INIT;

    if (i->program && !strv_contains(&l->programs, i->program)) {
        strv_add(&l->programs, i->program);
        strv_add(&l->names, i->name);
    }
    digest_format(&i->manifest, digest);
    buf_addf(&out, "%s%s%s\n", i->name, strchr(i->name, '@') ? "" : "@",
             strchr(i->name, '@') ? "" : digest);
    return fd_write_all(STDOUT_FILENO, out.data, out.len, e);
}

static void on_failed(void *ctx, const struct err *why)
{
    struct loading *l = ctx;

    l->has_failed = true;
    cli_fail("load", why, 1);
}

static void on_progress(void *ctx, const struct image_descriptor *blob, int64_t have)
{
    struct loading *l = ctx;

    image_progress_tell(l->progress, blob, have);
}

static void on_unpacking(void *ctx, uint64_t elapsed_ms)
{
    struct loading *l = ctx;

    image_progress_unpacking(l->progress, elapsed_ms);
}

static int input_open(const char *path, int *ret_fd, struct err *e)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                  : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (fd < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "ReadFailed", "cannot open '%s'",
                         path ? path : "standard input");
    *ret_fd = fd;
    return 0;
}

/* When all is loaded: who writes into our pipe does not wait for it, and the names come at once. */
static void compile_all(const struct image_load_options *o, const struct loading *l)
{
    for (size_t i = 0; !o->is_uncompiled && i < l->names.n; i++)
        image_compile(l->names.v[i], &(struct image_compile_options){.cache_dir = o->cache_dir,
                                                                     .is_quiet = o->is_quiet,
                                                                     .verbosity = o->verbosity});
}

static int load(const struct image_load_options *o, struct loading *l, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference name = {0};
    struct load_options options = {.loaded = on_loaded,
                                   .failed = on_failed,
                                   .progress = on_progress,
                                   .unpacking = on_unpacking,
                                   .ctx = l};
    AUTO(images) images = NULL;
    autofd fd = -EBADF;

    if (!o->input && isatty(STDIN_FILENO))
        return err_set(e, -EINVAL, "BadUsage",
                       "give -i FILE, or an archive on standard input, which is a terminal");
    if (o->name) {
        TRY(reference_parse(o->name, &name, e));
        options.name = &name;
    }
    TRY(input_open(o->input, &fd, e));
    TRY(image_store_open(&images, e));
    if (image_load(images, fd, &options, e) < 0)
        return err_prefix(e, "%s", o->input ? o->input : "standard input");
    image_progress_free(take_ptr(l->progress));
    system_retain(images, NULL); /* as long as nothing is as recent as what was loaded */
    compile_all(o, l);
    return 0;
}

int image_load_command(int argc, char *const *argv)
{
    struct image_load_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    __attribute__((cleanup(loading_done))) struct loading l = {0};
    int status = cli_parse(&command_load, argc, argv, &o, &operands), r;

    if (status >= 0)
        return status;
    log_level_set((enum log_level)(LOG_LEVEL_WARN + (unsigned)o.verbosity));
    l.progress = image_progress_new("loading", o.is_quiet);
    r = load(&o, &l, &e);
    if (l.progress)
        image_progress_free(take_ptr(l.progress)); /* before an error, its line has to end */
    status = r < 0 ? cli_fail("load", &e, image_exit_for(&e)) : l.has_failed ? 1 : 0;
    options_done(&command_load, &o);
    return status;
}

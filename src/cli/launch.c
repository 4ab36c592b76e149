/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/launch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "guest/net_grant.h"
#include "store/reference.h"
#include "store/registries.h"

#define RESOLVER_FILE_LIMIT (256u << 10)

/* What follows the prefix. */
static void layout_name_parse(const char *dir, bool is_archive, struct program_name *ret)
{
    const char *digest = strstr(dir, "@sha256:");
    const char *end = dir + strcspn(dir, ":");

    if (digest && digest < end)
        end = digest;
    ret->path = xstrndup(dir, (size_t)(end - dir));
    ret->image = xstrdup(digest ? digest : *end ? end + 1 : end);
    ret->is_archive = is_archive;
}

static int reference_fill(const char *name, struct program_name *ret, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    autofree char *record = NULL, *full = NULL;

    TRY(reference_parse(name, &r, e));
    TRY(paths_images_dir(&ret->path, e));
    record = reference_store_path(&r);
    ret->record = path_join(ret->path, record);
    full = reference_format(&r);
    ret->image = xasprintf("%s%s", GUEST_IMAGE_STORED, full);
    ret->reference = ret->image + strlen(GUEST_IMAGE_STORED);
    return 0;
}

/* Of what a short name may stand for the first that is there, or else the first. */
static int short_name_fill(const char *text, struct program_name *ret, struct err *e)
{
    autoregistries registries = {0};
    autostrv names = STRV_INIT;

    TRY(registries_read(&registries, e));
    TRY(registries_names(&registries, text, NAMES_STORED, &names, e));
    for (size_t i = 0; i < names.n; i++) {
        struct program_name p = {0};
        bool is_there;

        TRY(reference_fill(names.v[i], &p, e));
        is_there = access(p.record, F_OK) == 0;
        if (i && !is_there) {
            program_name_done(&p);
            continue;
        }
        program_name_done(ret);
        *ret = p;
        if (is_there)
            break;
    }
    return 0;
}

static int reference_name_parse(const char *text, struct program_name *ret, struct err *e)
{
    struct program_name p = {0};
    int r = reference_is_short(text) ? short_name_fill(text, &p, e) : reference_fill(text, &p, e);

    if (r < 0) {
        program_name_done(&p);
        return r;
    }
    p.typed = text;
    *ret = p;
    return 0;
}

int program_name_parse(const char *text, struct program_name *ret, struct err *e)
{
    struct program_name p = {0};

    if (str_starts(text, OCI_PREFIX))
        layout_name_parse(text + strlen(OCI_PREFIX), false, &p);
    else if (str_starts(text, OCI_ARCHIVE_PREFIX))
        layout_name_parse(text + strlen(OCI_ARCHIVE_PREFIX), true, &p);
    else if (str_starts(text, GUEST_IMAGE_STORED))
        TRY(reference_name_parse(text + strlen(GUEST_IMAGE_STORED), &p, e));
    else if (reference_is_plain(text) && access(text, F_OK) < 0)
        TRY(reference_name_parse(text, &p, e));
    else
        p.path = xstrdup(text);
    *ret = p;
    return 0;
}

void program_name_done(struct program_name *p)
{
    free(p->path);
    free(p->image);
    free(p->record);
    *p = (struct program_name){0};
}

/* ---- Images of registries ---- */

#define PULLED_LIMIT 4096 /* bytes of what wherry-image says that it has fetched */

/* Lets wherry-image fetch it; what goes wrong it has said itself. *ret_name is the name in full. */
static int image_fetch(const char *name, bool is_quiet, char **ret_name, struct err *e)
{
    autofree char *path = NULL;
    autostrv argv = STRV_INIT;
    autobuf text = BUF_INIT;
    int r;

    strv_add(&argv, "pull");
    strv_add(&argv, "--no-compile"); /* who is about to use it does, in the form that he needs */
    if (is_quiet)
        strv_add(&argv, "--quiet");
    strv_add(&argv, "--");
    strv_add(&argv, name);
    TRY(paths_program_find("wherry-image", &path, e));
    r = cli_program_output(path, argv.v, PULLED_LIMIT, &text, e);
    TRY(r);
    if (r)
        return err_set(e, -ECANCELED, "PullFailed", "there is no image '%s'", name);
    if (!is_quiet)
        TRY(fd_write_all(STDERR_FILENO, buf_str(&text), text.len, e)); /* not the guest's output */
    /* A digest is part of the name only if it was asked for. */
    *ret_name = xstrndup(buf_str(&text), strcspn(buf_str(&text), strchr(name, '@') ? "\n" : "@\n"));
    return 0;
}

/* 1 when it was fetched, with its name; 0 when that was not to be done. */
static int image_provide(const struct program_name *p, const struct launch_pull *pull,
                         char **ret_name, struct err *e)
{
    const char *policy = pull->policy ? pull->policy : commands_pull_words[0];

    if (!str_eq(policy, "always") && access(p->record, F_OK) == 0)
        return 0;
    if (str_eq(policy, "never"))
        return err_set(e, -ENOENT, "NotFound",
                       "the image '%s' is not on this machine; to fetch it: wherry pull %s",
                       p->reference, p->typed);
    TRY(image_fetch(p->typed, pull->is_quiet, ret_name, e));
    return 1;
}

/* ---- Opening ---- */

static int folder_open(const char *path, int *ret_fd, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "NotRunnable",
                         "cannot open the folder '%s'", path);
    *ret_fd = fd;
    return 0;
}

static int file_open(const char *path, int *ret_fd, struct err *e)
{
    /* O_NONBLOCK, so that a FIFO is refused below instead of waited for here. */
    autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_errno(e, -errno, "NotFound", "'%s'", path);
    if (fd < 0)
        return err_errno(e, -errno, "NotRunnable", "cannot open '%s'", path);
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "NotRunnable", "cannot examine '%s'", path);
    if (S_ISDIR(st.st_mode))
        return err_set(e, -EISDIR, "NotRunnable", "'%s' is a folder, not a WebAssembly file", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "'%s' is not a regular file; save it to one first", path);
    if (!st.st_size)
        return err_set(e, -ENOEXEC, "NotRunnable", "'%s' is empty", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int launch_program_open(const struct program_name *p, int *ret_fd, struct err *e)
{
    return p->image ? folder_open(p->path, ret_fd, e) : file_open(p->path, ret_fd, e);
}

int launch_dir_open(const struct dir_grant *d, int *ret_fd, struct err *e)
{
    int fd = open(d->host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *colon = strchr(d->host, ':');

    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if (errno == ENOTDIR)
        return err_set(e, -ENOTDIR, "DirFailed", "--dir: '%s' is not a folder", d->host);
    if (errno == ENOENT && colon)
        return err_set(e, -ENOENT, "DirFailed",
                       "--dir: the folder '%s' is not there; did you mean '%.*s::%s'?", d->host,
                       (int)(colon - d->host), d->host, colon + 1);
    return err_errno(e, -errno, "DirFailed", "--dir: cannot open '%s'", d->host);
}

int launch_inherit(int fd, struct err *e)
{
    int r = fd_cloexec_set(fd, false);

    return r < 0 ? err_errno(e, r, "DescriptorFailed", "cannot pass descriptor %d on", fd) : 0;
}

int launch_dirs_add(const struct strv *texts, struct guest_spec *s, struct err *e)
{
    if (texts->n > GUEST_DIR_LIMIT)
        return err_set(e, -E2BIG, "BadUsage", "more than %d --dir", GUEST_DIR_LIMIT);
    for (size_t i = 0; i < texts->n; i++) {
        struct dir_grant d = {0};
        int fd = -EBADF, r = dir_grant_parse(texts->v[i], &d, e);

        if (r >= 0)
            r = launch_dir_open(&d, &fd, e);
        if (r >= 0)
            r = launch_inherit(fd, e);
        if (r >= 0)
            guest_spec_dir_add(s, fd, d.guest, d.is_read_only);
        dir_grant_done(&d);
        TRY(r);
    }
    return 0;
}

/* The resolver's files are read here and given as text: the guest's names do not depend on what the
 * worker can see. A missing file is an empty one. */
static char *resolver_file(const char *path)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    if (file_read(path, RESOLVER_FILE_LIMIT, &text, &e) < 0)
        return NULL;
    return buf_take(&text);
}

#define PEM_LIMIT_BYTES (1u << 20)

/* Whether anything in PEM (RFC 7468) is in the file; what it is, the engine says. */
static bool has_pem(int fd)
{
    static const char begin[] = "-----BEGIN ";
    autofree char *text = xcalloc(1, PEM_LIMIT_BYTES);
    ssize_t n = pread(fd, text, PEM_LIMIT_BYTES, 0);

    return n > 0 && memmem(text, (size_t)n, begin, strlen(begin));
}

static int pem_open(const char *option, const char *path, int *ret_fd, struct err *e)
{
    autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, "TlsFailed", "%s: cannot open '%s'", option, path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "TlsFailed", "%s: '%s' is not a regular file", option, path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int launch_pem_open(const char *option, const char *path, int *ret_fd, struct err *e)
{
    autofd fd = -EBADF;

    TRY(pem_open(option, path, &fd, e));
    if (!has_pem(fd))
        return err_set(e, -EINVAL, "TlsFailed",
                       "%s: '%s' is no PEM file: there is no line '-----BEGIN ...' in it", option,
                       path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* -1 without any. */
static int system_ca_open(void)
{
    const char *path = paths_system_ca();
    struct err e = ERR_INIT;
    int fd = -1;

    return path && pem_open("", path, &fd, &e) >= 0 ? fd : -1;
}

int launch_network_add(const struct strv *grants, const char *ca, struct guest_spec *s,
                       struct err *e)
{
    int fd = -1;

    for (size_t i = 0; i < grants->n; i++) {
        struct net_grant g;

        TRY(net_grant_parse(grants->v[i], &g, e));
        strv_add(&s->allow_net, grants->v[i]);
    }
    if (grants->n) {
        s->resolv_conf = resolver_file("/etc/resolv.conf");
        s->hosts = resolver_file("/etc/hosts");
    }
    if (ca)
        TRY(launch_pem_open("--ca", ca, &fd, e));
    else if (grants->n)
        fd = system_ca_open();
    s->ca_fd = fd;
    return fd < 0 ? 0 : launch_inherit(fd, e);
}

/* A program in an archive, or in the layers of a container's image, is then in a file like any
 * other. */
static int unpacked_provide(struct program_name *p, int *ret_fd, char **ret_command, struct err *e)
{
    char *path;
    int r = launch_unpack(p, ret_fd, &path, ret_command, e);

    if (r > 0) {
        program_name_done(p);
        p->path = path;
    }
    return r;
}

int launch_program(const char *text, const struct launch_pull *pull, struct guest_file *ret,
                   char **ret_path, struct err *e)
{
    __attribute__((cleanup(program_name_done))) struct program_name p = {0};
    autofree char *fetched = NULL, *command = NULL;
    autofd fd = -EBADF;

    TRY(program_name_parse(text, &p, e));
    if (p.reference)
        TRY(image_provide(&p, pull, &fetched, e));
    else if (p.image)
        TRY(unpacked_provide(&p, &fd, &command, e));
    if (fetched) {
        /* Of what a short name may stand for it is this one now. */
        program_name_done(&p);
        TRY(reference_fill(fetched, &p, e));
    }
    if (fd < 0)
        TRY(launch_program_open(&p, &fd, e));
    TRY(launch_inherit(fd, e));
    if (ret_path)
        TRY(path_absolute(p.path, ret_path, e));
    *ret = (struct guest_file){.fd = take_fd(&fd),
                               .image = take_ptr(p.image),
                               .command = take_ptr(command),
                               .name = xstrdup(text)};
    return 0;
}

int launch_files_add(const struct strv *paths, const struct launch_pull *pull, struct guest_job *j,
                     struct err *e)
{
    j->files = xcalloc(paths->n, sizeof(*j->files));
    for (size_t i = 0; i < paths->n; i++) {
        TRY(launch_program(paths->v[i], pull, &j->files[j->n_files], NULL, e));
        j->n_files++;
    }
    return 0;
}

int launch_cache_dir(const char *dir, char **ret, struct err *e)
{
    int r;

    if (dir)
        return path_absolute(dir, ret, e);
    r = paths_cache_dir(ret, e);
    if (r >= 0 || !str_eq(e->reason, "NoHome"))
        return r;
    *ret = NULL;
    *e = ERR_INIT;
    return 0;
}

static int variable_parse(const char *name, int (*parse)(const char *, int64_t *, struct err *),
                          int64_t *ret, struct err *e)
{
    const char *text = getenv(name);
    int64_t value;

    if (!text || !*text)
        return 0;
    if (parse(text, &value, e) < 0 || !value)
        return err_set(e, -EINVAL, "BadUsage", "%s: '%s' is no limit, such as %s", name, text,
                       parse == size_bytes_parse ? "4Gi" : "10m");
    *ret = value;
    return 0;
}

static int compile_limits_read(struct compile_limits *l, struct err *e)
{
    TRY(variable_parse("WHERRY_COMPILE_MEMORY", size_bytes_parse, &l->memory_bytes, e));
    TRY(variable_parse("WHERRY_COMPILE_CPU_TIME", duration_ms_parse, &l->cpu_ms, e));
    return variable_parse("WHERRY_COMPILE_TIME", duration_ms_parse, &l->time_ms, e);
}

int launch_job(struct guest_job *j, struct err *e)
{
    char program[] = "wherry-worker", option[] = "--spec-fd", number[16];
    autofree char *path = NULL;
    autobuf text = BUF_INIT;
    autofd fd = -EBADF;
    struct json_writer w;

    TRY(compile_limits_read(&j->compile, e));
    json_writer_init(&w, &text, false);
    guest_job_encode(j, &w);
    TRY(json_writer_finish(&w, e));
    TRY(paths_program_find(program, &path, e));
    TRY(memfd_from("guest-job", buf_str(&text), text.len, &fd, e));
    TRY(launch_inherit(fd, e));
    snprintf(number, sizeof(number), "%d", fd);
    execv(path, (char *[]){program, option, number, NULL});
    return err_errno(e, -errno, "ExecFailed", "cannot execute '%s'", path);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/image.h"
#include "cli/launch.h"

static int job_fill(const char *name, const struct image_compile_options *o, struct guest_job *j,
                    struct err *e)
{
    autofree char *dir = NULL;
    int fd;

    j->command = xstrdup("compile");
    j->is_ahead = true;
    j->is_quiet = o->is_quiet;
    j->verbosity = o->verbosity;
    TRY(launch_cache_dir(o->cache_dir, &j->cache_dir, e));
    TRY(paths_images_dir(&dir, e));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "StoreFailed", "cannot open the folder '%s'", dir);
    j->files = xcalloc(1, sizeof(*j->files));
    j->files[j->n_files++] = (struct guest_file){
        .fd = fd, .image = xasprintf("%s%s", GUEST_IMAGE_STORED, name), .name = xstrdup(name)};
    return 0;
}

/* The child. It is of no use to anybody when its parent has gone. */
static _Noreturn void worker_become(pid_t parent, struct guest_job *j)
{
    struct err e = ERR_INIT;
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (!child_end_with(parent, SIGKILL))
        _exit(1);
    if (none >= 0) {
        dup2(none, STDIN_FILENO);
        dup2(none, STDOUT_FILENO);
    }
    if (launch_inherit((int)j->files[0].fd, &e) >= 0)
        launch_job(j, &e);
    log_warn("%s is not compiled yet: %s", j->files[0].name, e.msg);
    _exit(0);
}

static int worker_run(struct guest_job *j, int *ret_status, struct err *e)
{
    pid_t parent = getpid(), pid = fork();
    int r;

    if (pid < 0)
        return err_errno(e, -errno, "ForkFailed", "cannot start a process");
    if (pid == 0)
        worker_become(parent, j);
    r = child_wait(pid, ret_status);
    return r < 0 ? err_errno(e, r, "ForkFailed", "cannot wait for a process") : 0;
}

void image_compile(const char *name, const struct image_compile_options *o)
{
    const char *never = getenv("WHERRY_NO_COMPILE");
    struct guest_job j = GUEST_JOB_INIT;
    struct err e = ERR_INIT;
    int status = 0, r;

    if (never && *never)
        return;
    r = job_fill(name, o, &j, &e);
    if (r >= 0 && j.cache_dir)
        r = worker_run(&j, &status, &e);
    if (r < 0)
        log_warn("%s is not compiled yet: %s", name, e.msg);
    else if (WIFSIGNALED(status)) /* any other failure the worker has told */
        log_warn("%s is not compiled yet, its first run tries again: wherry-worker was ended by "
                 "signal %d",
                 name, WTERMSIG(status));
    if (j.n_files)
        close((int)j.files[0].fd);
    guest_job_done(&j);
}

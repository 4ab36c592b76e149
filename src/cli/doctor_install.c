/* SPDX-License-Identifier: Apache-2.0 */
/* Wherry's own folders, its worker and the engine in it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/version.h"
#include "cli/cli.h"
#include "cli/doctor.h"

#define SPACE_WANTED_BYTES (500ULL << 20)

/* The nearest ancestor of `path` that exists. */
static char *existing_ancestor(const char *path)
{
    char *at = xstrdup(path);

    while (access(at, F_OK) < 0 && !str_eq(at, "/") && !str_eq(at, ".")) {
        char *up = path_dir(at);

        free(at);
        at = up;
    }
    return at;
}

/* By trying: root passes every access() check, also where nothing can be made. */
static bool is_writable(const char *dir)
{
    autofree char *probe = path_join(dir, ".wherry-doctor-XXXXXX");

    return mkdtemp(probe) && !rmdir(probe);
}

static void check_folder(struct report *r, const char *name, const char *why, const char *path)
{
    autofree char *fix = xasprintf("mkdir -p -m 0700 '%s' && chown %u '%s' && chmod go-w '%s'",
                                   path, (unsigned)geteuid(), path, path);
    autofree char *ancestor = existing_ancestor(path);
    struct stat st;

    if (stat(path, &st) < 0) {
        bool is_possible = is_writable(ancestor);

        report_add(r, is_possible ? VERDICT_OK : VERDICT_FAIL, name, why, fix,
                   is_possible ? "%s (will be made when needed)"
                               : "%s is not there and cannot be made",
                   path);
        return;
    }
    if (!S_ISDIR(st.st_mode))
        report_add(r, VERDICT_FAIL, name, why, fix, "%s is not a folder", path);
    else if (st.st_uid != geteuid() && st.st_uid != 0)
        report_add(r, VERDICT_FAIL, name, why, fix, "%s belongs to uid %u", path,
                   (unsigned)st.st_uid);
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        report_add(r, VERDICT_FAIL, name, why, fix, "others may write to %s (mode %04o)", path,
                   (unsigned)st.st_mode & 07777);
    else if (!is_writable(path))
        report_add(r, VERDICT_FAIL, name, why, fix, "%s: %s", path, err_text(errno));
    else
        report_add(r, VERDICT_OK, name, why, NULL, "%s (mode %04o)", path,
                   (unsigned)st.st_mode & 07777);
}

static void check_space(struct report *r, const char *path)
{
    autofree char *ancestor = existing_ancestor(path);
    autofree char *fix = xasprintf("delete what is old: rm -r '%s', or choose another folder with "
                                   "--cache-dir",
                                   path);
    char text[SIZE_TEXT_SIZE];
    struct statvfs fs;
    uint64_t bytes;

    if (statvfs(ancestor, &fs) < 0)
        return;
    bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    size_bytes_format(bytes, text);
    report_add(r, bytes < SPACE_WANTED_BYTES ? VERDICT_WARN : VERDICT_OK, "cache space",
               "compiled code is about three times as large as the program", fix, "%s free", text);
}

void doctor_folders(struct report *r, const char *cache_dir)
{
    static const char cache_why[] = "compiled code is kept there and executed, so nobody else may "
                                    "write to it; without it every run compiles anew";
    autofree char *cache = NULL;
    autofree char *run = NULL;
    struct err e = ERR_INIT;

    if (cache_dir)
        cache = xstrdup(cache_dir);
    else if (paths_cache_dir(&cache, &e) < 0)
        report_add(r, VERDICT_FAIL, "cache folder", cache_why, "export HOME=/path/of/your/home",
                   "%s", e.msg);
    if (cache) {
        check_folder(r, "cache folder", cache_why, cache);
        check_space(r, cache);
    }
    if (paths_run_dir(&run, &e) == 0)
        check_folder(r, "run folder", "sockets and records of running workers are there", run);
}

/* Runs argv and collects both of its outputs; the exit status, 128 + signal, or -errno. */
static int run_capture(char *const *argv, struct buf *out)
{
    struct err e = ERR_INIT;
    int pipe_fds[2];
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        alarm(60); /* survives exec: a worker that hangs must not hang the doctor */
        if (dup2(pipe_fds[1], STDOUT_FILENO) >= 0 && dup2(pipe_fds[1], STDERR_FILENO) >= 0)
            execv(argv[0], argv);
        _exit(127);
    }
    close(pipe_fds[1]);
    if (pid > 0 && fd_read_all(pipe_fds[0], 65536, out, &e) < 0)
        buf_addstr(out, e.msg);
    close(pipe_fds[0]);
    if (pid < 0)
        return -errno;
    return child_wait_exit(pid);
}

static void first_line_only(struct buf *b)
{
    b->len = strcspn(buf_str(b), "\n");
    if (b->data)
        b->data[b->len] = 0;
}

static bool check_worker(struct report *r)
{
    static const char why[] = "the worker runs the guests; it must be of the same release";
    char version[] = "--version";
    autofree char *path = NULL;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (paths_program_find("wherry-worker", &path, &e) < 0) {
        report_add(r, VERDICT_FAIL, "worker", why, "install wherry again: make install", "%s",
                   e.msg);
        return false;
    }
    int status = run_capture((char *[]){path, version, NULL}, &out);
    first_line_only(&out);
    if (status != 0 || !strstr(buf_str(&out), wherry_version)) {
        report_add(r, VERDICT_FAIL, "worker", why, "install wherry again: make install",
                   "%s is not of version %s: %s", path, wherry_version, buf_str(&out));
        return false;
    }
    report_add(r, VERDICT_OK, "worker", why, NULL, "%s, %s", path, buf_str(&out));
    return true;
}

/*
 * (module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
 *         (memory (export "memory") 1)
 *         (func (export "_start") i32.const 42 call 0))
 */
static const unsigned char probe_module[] = {
    0x00, 'a',  's',  'm',  0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x60, 0x01, 0x7f, 0x00, 0x60,
    0x00, 0x00, 0x02, 0x24, 0x01, 0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',
    'h',  'o',  't',  '_',  'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x09, 'p',  'r',  'o',
    'c',  '_',  'e',  'x',  'i',  't',  0x00, 0x00, 0x03, 0x02, 0x01, 0x01, 0x05, 0x03, 0x01, 0x00,
    0x01, 0x07, 0x13, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00, 0x06, '_',  's',
    't',  'a',  'r',  't',  0x00, 0x01, 0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x2a, 0x10, 0x00, 0x0b,
};

#define PROBE_STATUS 42

void doctor_engine(struct report *r)
{
    static const char why[] = "a program of 96 bytes was compiled and run";
    const char *known = getenv(CLI_PROGRAM_VARIABLE);
    autofree char *program = known ? xstrdup(known) : NULL;
    char run[] = "run", no_cache[] = "--no-cache", quiet[] = "--quiet", file[64];
    autofd fd = -EBADF;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    uint64_t start;
    int status;

    if (!check_worker(r))
        return;
    if (!program && paths_program_find("wherry", &program, &e) < 0) {
        report_add(r, VERDICT_WARN, "engine", why, "start the doctor as 'wherry doctor'", "%s",
                   e.msg);
        return;
    }
    if (memfd_from("probe", probe_module, sizeof(probe_module), &fd, &e) < 0 ||
        fd_cloexec_set(fd, false) < 0) {
        report_add(r, VERDICT_FAIL, "engine", why, "see 'memfd_create' above", "%s", e.msg);
        return;
    }
    snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
    start = clock_monotonic_ns();
    status = run_capture((char *[]){program, run, no_cache, quiet, file, NULL}, &out);
    first_line_only(&out);
    if (status == PROBE_STATUS)
        report_add(r, VERDICT_OK, "engine", why, NULL, "%s; compiled and ran a program in %.1f ms",
                   WHERRY_ENGINE, (double)(clock_monotonic_ns() - start) / 1e6);
    else
        report_add(r, VERDICT_FAIL, "engine", why,
                   "run 'wherry run -vv' on a program of yours and report what it says",
                   "ended with status %d instead of %d: %s", status, PROBE_STATUS, buf_str(&out));
}

void doctor_containerd(struct report *r)
{
    static const char why[] = "pods of the RuntimeClass run only where containerd has the handler";
    static const char *const sockets[] = {"/run/containerd/containerd.sock",
                                          "/run/k3s/containerd/containerd.sock"};
    const char *known = getenv(CLI_PROGRAM_VARIABLE);
    char install[] = "install", target[] = "containerd", check[] = "--check";
    autofree char *program = known ? xstrdup(known) : NULL;
    autobuf out = BUF_INIT;
    bool has_any = false;
    int status;

    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++)
        has_any |= !access(sockets[i], F_OK);
    if (!has_any || !program)
        return;
    status = run_capture((char *[]){program, install, target, check, NULL}, &out);
    first_line_only(&out);
    report_add(r, status ? VERDICT_WARN : VERDICT_OK, "containerd", why,
               "wherry install containerd --apply, when pods shall run by it", "%s", buf_str(&out));
}

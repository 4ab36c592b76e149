/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tries to read something outside of /work, by every way that a path can take. Prints `contained`
 * and exits with 0, or prints `escaped` with the way out and exits with 1.
 *
 * `escape try ROUNDS` tries the last way, a folder that becomes a link, that many times (2000
 * without arguments). `escape swap ROUNDS` only keeps exchanging the two, for another guest on the
 * same folder to try its luck against meanwhile.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

#define BASE   "/work/escape"
#define UP     "../../../../../../../../.."
#define INSIDE "inside"

static bool is_out;

/* What is inside is known, so anything else that can be read came from outside. */
static void judge(int fd, const char *way)
{
    char buf[sizeof(INSIDE)] = {0};
    ssize_t n;

    if (fd < 0)
        return;
    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    if (n > 0 && strcmp(buf, INSIDE) != 0) {
        printf("escaped: %s\n", way);
        is_out = true;
    }
}

static void put_inside(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, INSIDE, strlen(INSIDE)) < 0)
        perror(path);
    close(fd);
}

/*
 * Without libc, which resolves paths itself before it asks the host: every path, from every low
 * descriptor, with and without following links.
 */
static void try_paths(void)
{
    static const char *paths[] = {
        "etc/passwd", /* works where the host gave more than /work */
        "/etc/passwd",
        "../etc/passwd",
        "../../etc/passwd",
        UP "/etc/passwd",
        "escape/" UP "/etc/passwd",
        "escape/../../etc/passwd",
        "./.././../etc/passwd",
        "//etc/passwd",
        "..//..//..//..//etc//passwd",
        "escape/etc/passwd/../../../../../../etc/passwd",
        "/proc/self/root/etc/passwd",
        "/dev/../etc/passwd",
        "..",
        "../",
        "../..",
        "/",
    };

    for (int dir = 0; dir < 8; dir++) {
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
            for (unsigned flags = 0; flags < 2; flags++) {
                char text[128];
                __wasi_filestat_t st;
                __wasi_fd_t fd = -1;

                snprintf(text, sizeof(text), "path '%s' from %d", paths[i], dir);
                if (__wasi_path_open(dir, flags, paths[i], 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd) ==
                    0)
                    judge(fd, text);
                if (__wasi_path_filestat_get(dir, flags, paths[i], &st) == 0) {
                    printf("escaped: stat of %s\n", text);
                    is_out = true;
                }
            }
        }
    }
}

static void try_links(void)
{
    static const char *targets[] = {
        "/", "/etc", "..", "../..", UP, UP "/etc", "../escape/../../etc", "/proc/self/root/etc",
    };
    static const char *tails[] = {"etc/passwd", "passwd", "../etc/passwd", "../../etc/passwd"};

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (symlink(targets[i], BASE "/try") < 0)
            continue;
        for (size_t k = 0; k < sizeof(tails) / sizeof(tails[0]); k++) {
            char path[128];

            snprintf(path, sizeof(path), BASE "/try/%s", tails[k]);
            judge(open(path, O_RDONLY), targets[i]);
        }
        unlink(BASE "/try");
    }
    if (symlink("/etc/passwd", BASE "/try") == 0 || symlink(UP "/etc/passwd", BASE "/try") == 0)
        judge(open(BASE "/try", O_RDONLY), "a link to the file");
    unlink(BASE "/try");
    if (link("/work/" UP "/etc/passwd", BASE "/try") == 0)
        judge(open(BASE "/try", O_RDONLY), "a second name for the file");
    unlink(BASE "/try");
}

/* A folder that is moved up while it is open: its `..` now are fewer than when it was opened. */
static void try_moved_folder(void)
{
    int dir;

    mkdir(BASE "/a", 0755);
    mkdir(BASE "/a/b", 0755);
    mkdir(BASE "/a/b/c", 0755);
    dir = open(BASE "/a/b/c", O_RDONLY | O_DIRECTORY);
    rename(BASE "/a/b/c", "/work/escape-moved");
    judge(openat(dir, UP "/etc/passwd", O_RDONLY), "`..` of a moved folder");
    judge(openat(dir, "../../../etc/passwd", O_RDONLY), "`..` of a moved folder");
    judge(openat(dir, "../../etc/passwd", O_RDONLY), "`..` of a moved folder");
    close(dir);
    rmdir("/work/escape-moved");
    rmdir(BASE "/a/b");
    rmdir(BASE "/a");
}

/* `slot` is in turn a folder with etc/passwd in it and a link out; the other one waits beside it.
 */
static void swap(bool to_link)
{
    rename(BASE "/slot", to_link ? BASE "/folder" : BASE "/link");
    rename(to_link ? BASE "/link" : BASE "/folder", BASE "/slot");
}

static void try_swap(int n_rounds)
{
    for (int i = 0; i < n_rounds && !is_out; i++) {
        judge(open(BASE "/slot/etc/passwd", O_RDONLY), "a folder that became a link");
        swap(i % 2 == 0);
        judge(open(BASE "/slot/etc/passwd", O_RDONLY), "a folder that became a link");
    }
}

static void base_make(void)
{
    mkdir(BASE, 0755);
    mkdir(BASE "/slot", 0755);
    mkdir(BASE "/slot/etc", 0755);
    put_inside(BASE "/slot/etc/passwd");
    symlink(UP, BASE "/link");
}

static void base_remove(void)
{
    static const char *places[] = {BASE "/slot", BASE "/folder", BASE "/link"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char path[64];

        if (unlink(places[i]) == 0)
            continue;
        snprintf(path, sizeof(path), "%s/etc/passwd", places[i]);
        unlink(path);
        snprintf(path, sizeof(path), "%s/etc", places[i]);
        rmdir(path);
        rmdir(places[i]);
    }
    rmdir(BASE);
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 2 ? atoi(argv[2]) : 2000;

    if (argc > 1 && strcmp(argv[1], "swap") == 0) {
        for (int i = 0; i < n_rounds; i++)
            swap(i % 2 == 0);
        return 0;
    }

    base_make();
    try_paths();
    try_links();
    try_moved_folder();
    try_swap(n_rounds);
    base_remove();
    if (!is_out)
        printf("contained\n");
    return is_out ? 1 : 0;
}

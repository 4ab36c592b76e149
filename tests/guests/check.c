/* SPDX-License-Identifier: Apache-2.0 */

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int n_failed;

/* Flushes each line: a check that ends the guest must not take the lines before it along. */
bool check_true(bool held, const char *what, const char *expr)
{
    int error = errno;

    if (held) {
        printf("ok %s\n", what);
    } else {
        n_failed++;
        printf("FAIL %s: %s", what, expr);
        if (error != 0)
            printf(" (errno %d, %s)", error, strerror(error));
        printf("\n");
    }
    fflush(stdout);
    return held;
}

bool check_errno(long long result, int wanted, const char *what, const char *call)
{
    int error = errno;
    bool held = result == -1 && error == wanted;

    if (held) {
        printf("ok %s\n", what);
    } else {
        n_failed++;
        printf("FAIL %s: %s gave %lld, errno %d (%s), not errno %d (%s)\n", what, call, result,
               error, strerror(error), wanted, strerror(wanted));
    }
    fflush(stdout);
    return held;
}

int check_status(void)
{
    return n_failed == 0 ? 0 : 1;
}

/* Reading starts again after each removal: a host need not keep cookies valid meanwhile. */
static int tree_remove(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return -1;
    if (!S_ISDIR(st.st_mode))
        return unlink(path);

    for (;;) {
        char child[PATH_MAX];
        struct dirent *entry;
        DIR *dir = opendir(path);

        if (!dir)
            return -1;
        do {
            entry = readdir(dir);
        } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
        if (entry)
            snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        closedir(dir);
        if (!entry)
            return rmdir(path);
        if (tree_remove(child) < 0)
            return -1;
    }
}

void work_make(const char *path)
{
    tree_remove(path);
    CHECK("makes its folder", mkdir(path, 0755) == 0);
}

void work_remove(const char *path)
{
    CHECK("removes its folder", tree_remove(path) == 0);
}

bool file_put(const char *path, const char *text)
{
    ssize_t size = (ssize_t)strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    bool is_written;

    if (fd < 0)
        return false;
    is_written = write(fd, text, (size_t)size) == size;
    return close(fd) == 0 && is_written;
}

bool file_get(const char *path, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY);

    text[0] = '\0';
    if (fd < 0)
        return false;
    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    return close(fd) == 0 && n >= 0;
}

bool file_is(const char *path, const char *text)
{
    char found[4096];

    return file_get(path, found, sizeof(found)) && strcmp(found, text) == 0;
}

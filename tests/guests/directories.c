/* SPDX-License-Identifier: Apache-2.0 */

/* Folders: making, listing with cookies, moving and removing them. */

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

#define DIR_PATH WORK "/directories"
#define MANY     DIR_PATH "/many"
#define N_MANY   500

static void check_make_remove(void)
{
    struct stat st;

    CHECK("makes a folder", mkdir(DIR_PATH "/a", 0755) == 0);
    CHECK("it is a folder", stat(DIR_PATH "/a", &st) == 0 && S_ISDIR(st.st_mode));
    CHECK_FAILS("refuses to make it twice", mkdir(DIR_PATH "/a", 0755), EEXIST);
    CHECK_FAILS("refuses a missing parent", mkdir(DIR_PATH "/x/y", 0755), ENOENT);
    file_put(DIR_PATH "/f", "file");
    CHECK_FAILS("refuses a file as the parent", mkdir(DIR_PATH "/f/y", 0755), ENOTDIR);
    CHECK_FAILS("refuses a name that is too long",
                mkdir(DIR_PATH
                      "/0123456789012345678901234567890123456789012345678901234567890123456789"
                      "0123456789012345678901234567890123456789012345678901234567890123456789"
                      "0123456789012345678901234567890123456789012345678901234567890123456789"
                      "0123456789012345678901234567890123456789012345678901234567890123456789",
                      0755),
                ENAMETOOLONG);

    mkdir(DIR_PATH "/a/b", 0755);
    CHECK_FAILS("refuses to remove what is not empty", rmdir(DIR_PATH "/a"), ENOTEMPTY);
    CHECK_FAILS("refuses to remove a file as a folder", rmdir(DIR_PATH "/f"), ENOTDIR);
    CHECK("refuses to unlink a folder",
          unlink(DIR_PATH "/a/b") == -1 && (errno == EISDIR || errno == EPERM));
    CHECK("removes", rmdir(DIR_PATH "/a/b") == 0 && rmdir(DIR_PATH "/a") == 0);
    CHECK_FAILS("refuses to remove twice", rmdir(DIR_PATH "/a"), ENOENT);
}

static void check_relative(void)
{
    struct stat st;
    int dir, fd;

    mkdir(DIR_PATH "/r", 0755);
    dir = open(DIR_PATH "/r", O_RDONLY | O_DIRECTORY);
    CHECK("opens below a descriptor",
          (fd = openat(dir, "inner", O_WRONLY | O_CREAT, 0644)) >= 0 && close(fd) == 0);
    CHECK("finds below a descriptor", fstatat(dir, "inner", &st, 0) == 0);
    CHECK("`..` within the folder works", stat(DIR_PATH "/r/../r/./inner", &st) == 0);
    CHECK("a descriptor follows its folder",
          rename(DIR_PATH "/r", DIR_PATH "/moved") == 0 && fstatat(dir, "inner", &st, 0) == 0);
    CHECK("removes below a descriptor", unlinkat(dir, "inner", 0) == 0);
    close(dir);
    rmdir(DIR_PATH "/moved");
}

static void check_rename(void)
{
    mkdir(DIR_PATH "/a", 0755);
    mkdir(DIR_PATH "/a/b", 0755);
    mkdir(DIR_PATH "/a/b/c", 0755);
    mkdir(DIR_PATH "/x", 0755);
    file_put(DIR_PATH "/a/b/c/f", "deep");
    CHECK("moves a tree", rename(DIR_PATH "/a/b", DIR_PATH "/x/b") == 0);
    CHECK("with what is in it", file_is(DIR_PATH "/x/b/c/f", "deep"));
    CHECK("renames over an empty folder",
          rename(DIR_PATH "/x", DIR_PATH "/a") == 0 && file_is(DIR_PATH "/a/b/c/f", "deep"));
    mkdir(DIR_PATH "/x", 0755);
    CHECK("refuses to rename over a full one",
          rename(DIR_PATH "/x", DIR_PATH "/a") == -1 && (errno == ENOTEMPTY || errno == EEXIST));
    CHECK_FAILS("refuses to move a folder into itself", rename(DIR_PATH "/a", DIR_PATH "/a/b/a"),
                EINVAL);
    CHECK_FAILS("refuses a folder over a file", rename(DIR_PATH "/x", DIR_PATH "/a/b/c/f"),
                ENOTDIR);
    CHECK_FAILS("refuses a file over a folder", rename(DIR_PATH "/a/b/c/f", DIR_PATH "/x"), EISDIR);
}

/* Counts each name that is one of ours; `ret_others` counts the rest but `.` and `..`. */
static void list(DIR *dir, unsigned char *seen, int *ret_others)
{
    struct dirent *entry;

    *ret_others = 0;
    while ((entry = readdir(dir))) {
        char *end = entry->d_name;
        long n = *end == 'e' ? strtol(end + 1, &end, 10) : -1;

        if (n >= 0 && n < N_MANY && *end == '\0' && entry->d_type == DT_REG)
            seen[n]++;
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (*ret_others)++;
    }
}

static bool is_all_once(const unsigned char *seen)
{
    for (int i = 0; i < N_MANY; i++) {
        if (seen[i] != 1)
            return false;
    }
    return true;
}

static void check_list(void)
{
    unsigned char seen[N_MANY] = {0};
    struct dirent *entry;
    char name[64];
    long middle = 0;
    int n_others;
    DIR *dir;

    mkdir(MANY, 0755);
    for (int i = 0; i < N_MANY; i++) {
        snprintf(name, sizeof(name), MANY "/e%d", i);
        file_put(name, "");
    }
    CHECK("opens a folder", (dir = opendir(MANY)) != NULL);
    if (!dir)
        return;
    list(dir, seen, &n_others);
    CHECK("lists every entry once", is_all_once(seen) && n_others == 0);

    memset(seen, 0, sizeof(seen));
    rewinddir(dir);
    for (int i = 0; i < N_MANY / 2; i++)
        readdir(dir);
    middle = telldir(dir);
    entry = readdir(dir);
    snprintf(name, sizeof(name), "%s", entry ? entry->d_name : "");
    list(dir, seen, &n_others);
    seekdir(dir, middle);
    entry = readdir(dir);
    CHECK("a place in the list is found again", entry && strcmp(entry->d_name, name) == 0);
    closedir(dir);

    CHECK("an empty folder has no entries",
          mkdir(DIR_PATH "/empty", 0755) == 0 && (dir = opendir(DIR_PATH "/empty")) != NULL);
    list(dir, seen, &n_others);
    CHECK("and lists none", n_others == 0);
    closedir(dir);
    CHECK("refuses to list a file", opendir(MANY "/e0") == NULL && errno == ENOTDIR);
}

/*
 * Straight from the host, with a buffer for few entries: what does not fit is cut off, the buffer
 * is then full, and the next call goes on from the cookie of the last whole entry.
 */
static void check_cookies(void)
{
    unsigned char seen[N_MANY] = {0}, buf[200];
    int dir = open(MANY, O_RDONLY | O_DIRECTORY);
    __wasi_dircookie_t cookie = __WASI_DIRCOOKIE_START;
    __wasi_size_t used = sizeof(buf);
    bool is_progress = true;

    while (used == sizeof(buf) && is_progress) {
        size_t at = 0;

        is_progress = false;
        if (__wasi_fd_readdir(dir, buf, sizeof(buf), cookie, &used) != 0)
            break;
        while (used - at >= sizeof(__wasi_dirent_t)) {
            char name[16] = "";
            __wasi_dirent_t entry;

            memcpy(&entry, buf + at, sizeof(entry));
            at += sizeof(entry);
            if (entry.d_namlen > used - at)
                break;
            if (entry.d_namlen < sizeof(name))
                memcpy(name, buf + at, entry.d_namlen);
            at += entry.d_namlen;
            if (name[0] == 'e' && atoi(name + 1) < N_MANY)
                seen[atoi(name + 1)]++;
            cookie = entry.d_next;
            is_progress = true;
        }
    }
    CHECK("a small buffer sees every entry once", is_all_once(seen));
    CHECK("no buffer gets no entries", __wasi_fd_readdir(dir, buf, 0, 0, &used) == 0 && used == 0);
    close(dir);
    CHECK("refuses to list a bad descriptor",
          __wasi_fd_readdir(999, buf, sizeof(buf), 0, &used) == EBADF);
}

int main(void)
{
    work_make(DIR_PATH);
    check_make_remove();
    check_relative();
    check_rename();
    check_list();
    check_cookies();
    work_remove(DIR_PATH);
    return check_status();
}

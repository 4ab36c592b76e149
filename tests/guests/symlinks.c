/* SPDX-License-Identifier: Apache-2.0 */

/* Symbolic links: what they name, who follows them, and that none leads out of the folder. */

#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_PATH WORK "/symlinks"
#define L        DIR_PATH "/link"
#define TARGET   DIR_PATH "/target"

static void check_read(void)
{
    struct stat st;
    char buf[64];

    file_put(TARGET, "content");
    CHECK("makes a link", symlink("target", L) == 0);
    CHECK_FAILS("refuses to make it twice", symlink("target", L), EEXIST);
    CHECK("tells what it names",
          readlink(L, buf, sizeof(buf)) == 6 && memcmp(buf, "target", 6) == 0);
    CHECK("cuts what does not fit", readlink(L, buf, 3) == 3 && memcmp(buf, "tar", 3) == 0);
    CHECK_FAILS("refuses to read a file as a link", readlink(TARGET, buf, sizeof(buf)), EINVAL);
    CHECK("lstat sees the link", lstat(L, &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 6);
    CHECK("stat sees the file", stat(L, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 7);
    CHECK("open follows", file_is(L, "content"));
    CHECK("writes go to the file", file_put(L, "changed") && file_is(TARGET, "changed"));
    CHECK("O_NOFOLLOW does not follow",
          open(L, O_RDONLY | O_NOFOLLOW) == -1 && (errno == ELOOP || errno == EMLINK));
    CHECK("renames the link, not the file", rename(L, DIR_PATH "/link2") == 0 &&
                                                lstat(DIR_PATH "/link2", &st) == 0 &&
                                                S_ISLNK(st.st_mode) && file_is(TARGET, "changed"));
    CHECK("unlinks the link, not the file",
          unlink(DIR_PATH "/link2") == 0 && file_is(TARGET, "changed"));
}

static void check_folders(void)
{
    struct stat st;

    mkdir(DIR_PATH "/dir", 0755);
    file_put(DIR_PATH "/dir/f", "inside");
    CHECK("links a folder", symlink("dir", DIR_PATH "/dirlink") == 0 &&
                                stat(DIR_PATH "/dirlink", &st) == 0 && S_ISDIR(st.st_mode));
    CHECK("a path goes through it", file_is(DIR_PATH "/dirlink/f", "inside"));
    CHECK("a link up and down again stays inside",
          symlink("../dir/../target", DIR_PATH "/dir/up") == 0 &&
              file_is(DIR_PATH "/dir/up", "changed"));
    CHECK("refuses to remove it as a folder", rmdir(DIR_PATH "/dirlink") == -1);
    CHECK("O_NOFOLLOW does not open a folder through it",
          open(DIR_PATH "/dirlink", O_RDONLY | O_DIRECTORY | O_NOFOLLOW) == -1);
}

static void check_chains(void)
{
    char from[16], to[64];

    symlink("target", DIR_PATH "/chain0");
    for (int i = 1; i < 20; i++) {
        snprintf(from, sizeof(from), "chain%d", i - 1);
        snprintf(to, sizeof(to), DIR_PATH "/chain%d", i);
        symlink(from, to);
    }
    CHECK("follows a chain of 20", file_is(DIR_PATH "/chain19", "changed"));
    symlink("ring2", DIR_PATH "/ring1");
    symlink("ring1", DIR_PATH "/ring2");
    CHECK_FAILS("gives up on a ring", open(DIR_PATH "/ring1", O_RDONLY), ELOOP);
}

static void check_dangling(void)
{
    struct stat st;

    CHECK("links what is not there", symlink("nothing", DIR_PATH "/dangling") == 0);
    CHECK_FAILS("open of it", open(DIR_PATH "/dangling", O_RDONLY), ENOENT);
    CHECK_FAILS("stat of it", stat(DIR_PATH "/dangling", &st), ENOENT);
    CHECK("lstat of it", lstat(DIR_PATH "/dangling", &st) == 0 && S_ISLNK(st.st_mode));
    CHECK_FAILS("O_EXCL takes it for a file that is there",
                open(DIR_PATH "/dangling", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
}

/* A host may refuse to make such a link or to follow it. */
static void check_refused(const char *what, const char *target)
{
    struct stat st;

    unlink(L);
    if (symlink(target, L) == 0) {
        check_true(open(L, O_RDONLY) == -1 && errno != ENOENT, what, "open() is refused");
        check_true(stat(L, &st) == -1 && errno != ENOENT, what, "stat() is refused");
        check_true(open(L, O_WRONLY | O_CREAT, 0644) == -1, what, "creating is refused");
    } else {
        check_true(errno == EPERM || errno == ENOTCAPABLE, what, "symlink() is refused");
    }
}

static void check_escapes(void)
{
    struct stat st;

    check_refused("a link to the root is refused", "/");
    check_refused("a link to an absolute file is refused", "/etc/passwd");
    check_refused("a link to the host's other folders is refused", "../../../../../../../etc");
    check_refused("a link above the folder is refused", "../..");
    check_refused("a link above and back is refused", "dir/../../../../etc/passwd");

    symlink("../../..", DIR_PATH "/dir/out");
    CHECK("no path goes through such a link", open(DIR_PATH "/dir/out/x", O_RDONLY) == -1);
    CHECK("nor is anything made there", mkdir(DIR_PATH "/dir/out/x", 0755) == -1);
    CHECK("nor found", stat(DIR_PATH "/dir/out/.", &st) == -1);
    CHECK("a plain `..` above the folder is refused", open(WORK "/../etc", O_RDONLY) == -1);
}

int main(void)
{
    work_make(DIR_PATH);
    check_read();
    check_folders();
    check_chains();
    check_dangling();
    check_escapes();
    work_remove(DIR_PATH);
    return check_status();
}

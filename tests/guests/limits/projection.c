/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the folders of a pod's volumes. `show PATH...` prints "PATH: content" of each file, and of
 * a folder its names; `watch DIR N` opens DIR/..data N times and reads all files through it, which
 * have to hold the same: it prints how many versions it saw. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES 4

static int show(const char *path)
{
    char text[256] = "";
    DIR *d = opendir(path);
    struct dirent *entry;
    FILE *f;

    if (d) {
        printf("%s:", path);
        while ((entry = readdir(d)))
            if (entry->d_name[0] != '.')
                printf(" %s", entry->d_name);
        printf("\n");
        return closedir(d);
    }
    f = fopen(path, "r");
    if (!f) {
        printf("%s: %s\n", path, strerror(errno));
        return 1;
    }
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    printf("%s: %s\n", path, text);
    return fclose(f);
}

/* The character that all files hold; 0 when they were replaced meanwhile, -1 for a mix. */
static int look(int dir)
{
    int data = openat(dir, "..data", O_RDONLY | O_DIRECTORY), seen = 0;
    char name[8], text[4096];

    for (int i = 0; i < FILES && data >= 0; i++) {
        int fd;
        ssize_t n;

        snprintf(name, sizeof(name), "f%d", i);
        fd = openat(data, name, O_RDONLY);
        n = fd < 0 ? 0 : read(fd, text, sizeof(text));
        if (fd >= 0)
            close(fd);
        if (n <= 0) {
            close(data);
            return fd < 0 ? 0 : -1;
        }
        for (ssize_t k = 0; k < n; k++)
            if (text[k] != text[0])
                seen = -1;
        seen = i == 0 ? text[0] : seen == text[0] ? seen : -1;
    }
    if (data >= 0)
        close(data);
    return data >= 0 ? seen : 0;
}

static int watch(const char *path, int n)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY), last = 0, versions = 0;

    for (int i = 0; i < n; i++) {
        int seen = look(dir);

        if (seen < 0) {
            printf("a mix\n");
            return 1;
        }
        versions += seen && seen != last;
        last = seen ? seen : last;
    }
    printf("%d versions\n", versions);
    return 0;
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc == 4 && !strcmp(argv[1], "watch"))
        return watch(argv[2], atoi(argv[3]));
    for (int i = 2; i < argc; i++)
        status |= show(argv[i]);
    return status;
}

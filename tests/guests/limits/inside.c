/* SPDX-License-Identifier: Apache-2.0 */

/* What a container's guest sees and may do; each word pair of the arguments is one thing to do. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show(const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

    if (n < 0)
        printf("%s: %s\n", path, strerror(errno));
    else
        printf("%s: %.*s", path, (int)n, text);
    if (fd >= 0)
        close(fd);
}

static void make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    printf("make %s: %s\n", path, fd < 0 ? strerror(errno) : "done");
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *what = argv[i], *with = argv[i + 1];

        if (!strcmp(what, "show"))
            show(with);
        else if (!strcmp(what, "make"))
            make(with);
        else if (!strcmp(what, "env"))
            printf("%s=%s\n", with, getenv(with) ? getenv(with) : "");
        else if (!strcmp(what, "tty"))
            printf("tty %d\n", isatty(atoi(with)));
        else if (!strcmp(what, "sleep"))
            sleep((unsigned)atoi(with));
        else if (!strcmp(what, "exit"))
            return atoi(with);
        fflush(stdout);
    }
    return 0;
}

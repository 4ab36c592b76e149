/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the file argv[1] for reading, which waits for ever on a FIFO that nobody writes to, and
 * says so before and after. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd;

    if (argc < 2)
        return 2;
    puts("opening");
    fflush(stdout);
    fd = open(argv[1], O_RDONLY);
    puts(fd < 0 ? "failed" : "opened");
    return fd < 0;
}

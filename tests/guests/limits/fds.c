/* SPDX-License-Identifier: Apache-2.0 */

/* Opens files until it fails, then prints how many and why. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_PATH "/work/fds"

int main(void)
{
    int n = 0, error;

    while (open(FILE_PATH, O_RDWR | O_CREAT, 0644) >= 0)
        n++;
    error = errno;
    unlink(FILE_PATH);
    printf("%d files, then errno %d (%s)\n", n, error, strerror(error));
    return 0;
}

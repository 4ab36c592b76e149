/* SPDX-License-Identifier: Apache-2.0 */

/* Copies stdin to stdout until stdin ends. */

#include <unistd.h>

int main(void)
{
    static char buf[64 * 1024];
    ssize_t n;

    while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
        for (ssize_t done = 0, put; done < n; done += put) {
            put = write(STDOUT_FILENO, buf + done, (size_t)(n - done));
            if (put < 0)
                return 1;
        }
    }
    return n < 0 ? 1 : 0;
}

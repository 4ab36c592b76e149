/* SPDX-License-Identifier: Apache-2.0 */

/* Writes argv[1] bytes to stdout, in numbered lines of 64 bytes, as fast as they are taken. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE  64
#define BLOCK (1024 * LINE)

static void block_fill(char *block, unsigned long long first)
{
    for (int i = 0; i < BLOCK / LINE; i++) {
        char *line = block + i * LINE;
        int n = snprintf(line, LINE, "%012llu ", first + (unsigned)i);

        memset(line + n, 'x', LINE - 1 - (size_t)n);
        line[LINE - 1] = '\n';
    }
}

int main(int argc, char **argv)
{
    static char block[BLOCK];
    unsigned long long size = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

    for (unsigned long long done = 0; done < size;) {
        size_t at = (size_t)(done % BLOCK);
        size_t left = size - done < BLOCK - at ? (size_t)(size - done) : BLOCK - at;
        ssize_t n;

        if (at == 0)
            block_fill(block, done / LINE);
        n = write(STDOUT_FILENO, block + at, left);
        if (n < 0) {
            fprintf(stderr, "flood: %llu bytes, then %s\n", done, strerror(errno));
            return 1;
        }
        done += (unsigned long long)n;
    }
    return 0;
}

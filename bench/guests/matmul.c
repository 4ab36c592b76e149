/* SPDX-License-Identifier: Apache-2.0 */

/* Multiplies square matrices of doubles: nested loops over arrays. Argument: rounds. */

#include <stdio.h>
#include <stdlib.h>

#define SIZE 400

static double a[SIZE][SIZE], b[SIZE][SIZE], product[SIZE][SIZE];

static void multiply(void)
{
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++)
            product[i][j] = 0;
        for (int k = 0; k < SIZE; k++) { /* before j: rows are read in the order they lie */
            for (int j = 0; j < SIZE; j++)
                product[i][j] += a[i][k] * b[k][j];
        }
    }
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 1 ? atoi(argv[1]) : 40;
    double sum = 0;

    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            a[i][j] = (i * 7 + j * 3) % 11 - 5;
            b[i][j] = (i * 5 + j * 13) % 17 - 8;
        }
    }
    for (int n = 0; n < n_rounds; n++) {
        multiply();
        a[n % SIZE][0] = product[n % SIZE][n % SIZE]; /* each round needs the one before */
    }
    for (int i = 0; i < SIZE; i++)
        sum += product[i][i];
    printf("%.0f\n", sum);
    return 0;
}

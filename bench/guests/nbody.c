/* SPDX-License-Identifier: Apache-2.0 */

/* Planets around a sun, in double precision with square roots. Argument: steps. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define N_BODIES 5

struct body {
    double at[3], speed[3], mass;
};

/* A made system, not ours: what counts is that it neither collapses nor flies apart. */
static void bodies_make(struct body *bodies)
{
    bodies[0] = (struct body){.mass = 40};
    for (int i = 1; i < N_BODIES; i++) {
        double radius = 3.0 * i, angle = 1.3 * i, speed = sqrt(bodies[0].mass / radius);

        bodies[i] = (struct body){
            .at = {radius * cos(angle), radius * sin(angle), 0.1 * i},
            .speed = {-speed * sin(angle), speed * cos(angle),  0      },
            .mass = 0.01 * i,
        };
    }
}

static void advance(struct body *bodies, double dt)
{
    for (int i = 0; i < N_BODIES; i++) {
        for (int k = i + 1; k < N_BODIES; k++) {
            struct body *a = &bodies[i], *b = &bodies[k];
            double d[3], square = 0, pull;

            for (int c = 0; c < 3; c++) {
                d[c] = a->at[c] - b->at[c];
                square += d[c] * d[c];
            }
            pull = dt / (square * sqrt(square));
            for (int c = 0; c < 3; c++) {
                a->speed[c] -= d[c] * b->mass * pull;
                b->speed[c] += d[c] * a->mass * pull;
            }
        }
    }
    for (int i = 0; i < N_BODIES; i++) {
        for (int c = 0; c < 3; c++)
            bodies[i].at[c] += dt * bodies[i].speed[c];
    }
}

static double energy(const struct body *bodies)
{
    double sum = 0;

    for (int i = 0; i < N_BODIES; i++) {
        for (int c = 0; c < 3; c++)
            sum += 0.5 * bodies[i].mass * bodies[i].speed[c] * bodies[i].speed[c];
        for (int k = i + 1; k < N_BODIES; k++) {
            double square = 0;

            for (int c = 0; c < 3; c++)
                square += (bodies[i].at[c] - bodies[k].at[c]) * (bodies[i].at[c] - bodies[k].at[c]);
            sum -= bodies[i].mass * bodies[k].mass / sqrt(square);
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    long n_steps = argc > 1 ? atol(argv[1]) : 16000000;
    struct body bodies[N_BODIES];

    bodies_make(bodies);
    for (long i = 0; i < n_steps; i++)
        advance(bodies, 0.001);
    printf("%.12f\n", energy(bodies));
    return 0;
}

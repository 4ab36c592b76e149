/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/resource.h>

/*
 * What programs share that run several commands in turn and compare them. Taking turns makes a slow
 * moment of the machine hit all of them alike.
 */

#define PAIRS_COMMANDS_MAX 8

struct pairs_sample {
    double wall_us, cpu_us, user_us;
};

double pairs_now_us(void);

/* The CPU times of a sample from what the kernel accounted. */
struct pairs_sample pairs_sample_make(double wall_us, const struct rusage *used);

/*
 * The main function of `NAME N COMMAND... -- COMMAND... [-- ...]`: runs the commands in turn, N
 * rounds, each after `warm_up` runs that do not count, and prints a line per command: its number,
 * then minimum and quartiles of each clock. `run_once` runs one, and ends the program when that
 * fails: figures of a failure mean nothing. Returns the exit status.
 */
int pairs_main(int argc, char **argv, const char *name, size_t rounds_max, int warm_up,
               struct pairs_sample (*run_once)(char **argv));

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

/* Cuts argv at "--" into commands; returns how many, 0 for a mistake. */
int pairs_split(char **argv, char **commands[PAIRS_COMMANDS_MAX]);

/* One line: the command's number, then minimum and quartiles of each clock. */
void pairs_print(int command, const struct pairs_sample *samples, size_t n);

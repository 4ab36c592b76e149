/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * The program wherry-install: `wherry install TARGET` and `wherry uninstall TARGET`. A target is a
 * container tool that has to be told of wherry; each has two functions in the table of install.c,
 * which parse argv and return the exit status.
 */
int install_containerd(int argc, char *const *argv);
int uninstall_containerd(int argc, char *const *argv);

/* Processes (install_running.c). */

/* A containerd of this mount namespace that uses the configuration: its pid, 0 when there is none;
 * *ret_age_ms is for how long it has run. `usual` is whether this configuration is the one that
 * containerd takes when it is told none. */
pid_t running_containerd(const char *config, bool is_usual, long long *ret_age_ms);

/* How many processes run the program of that name. */
unsigned running_count(const char *program);

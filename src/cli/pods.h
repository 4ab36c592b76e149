/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "cli/commands.h"
#include "cli/commands_pods.h"

/*
 * The program wherry-pods: the commands that speak to the agent. Each returns its exit status.
 */
int pods_exec(int argc, char *const *argv);
int pods_port_forward(int argc, char *const *argv);
int pods_copy(int argc, char *const *argv);

/* "NAME" or, as kubectl has it, "pod/NAME": the name, within `text`. */
const char *pods_name(const char *text);

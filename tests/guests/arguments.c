/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Arguments and environment arrive as they were given. To be started with exactly these arguments
 *     '' 'two words' 'äöü €😀' '--name=a=b' "quo'te\"s" ''
 * and with these variables among the environment
 *     EMPTY=  SPACED='two words'  UTF8='äöü €😀'  EQUALS=a=b
 */

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

extern char **environ;

static void check_arguments(int argc, char **argv)
{
    static const char *wanted[] = {"", "two words", "äöü €😀", "--name=a=b", "quo'te\"s", ""};
    const int n_wanted = (int)(sizeof(wanted) / sizeof(wanted[0]));
    __wasi_size_t n, size, used = 0;
    char what[32];

    CHECK("there is a program name", argc > 0 && argv[0][0] != '\0');
    CHECK("the number of arguments", argc == n_wanted + 1);
    CHECK("NULL ends them", argv[argc] == NULL);
    for (int i = 0; i < n_wanted && i + 1 < argc; i++) {
        snprintf(what, sizeof(what), "argument %d", i + 1);
        check_true(strcmp(argv[i + 1], wanted[i]) == 0, what, argv[i + 1]);
    }

    for (int i = 0; i < argc; i++)
        used += strlen(argv[i]) + 1;
    CHECK("the host tells their number and size",
          __wasi_args_sizes_get(&n, &size) == 0 && n == (__wasi_size_t)argc && size == used);
}

static void check_variable(const char *name, const char *wanted)
{
    const char *value = getenv(name);

    check_true(value && strcmp(value, wanted) == 0, name, value ? value : "is not set");
}

static void check_environment(void)
{
    __wasi_size_t n, size, n_seen = 0;
    bool is_well_formed = true;

    check_variable("EMPTY", "");
    check_variable("SPACED", "two words");
    check_variable("UTF8", "äöü €😀");
    check_variable("EQUALS", "a=b");
    CHECK("nothing is set that was not given", getenv("NOT_GIVEN") == NULL);
    for (char **entry = environ; *entry; entry++, n_seen++)
        is_well_formed = is_well_formed && strchr(*entry, '=') && **entry != '=';
    CHECK("each is NAME=VALUE", is_well_formed);
    CHECK("the host tells their number", __wasi_environ_sizes_get(&n, &size) == 0 && n == n_seen);
}

int main(int argc, char **argv)
{
    check_arguments(argc, argv);
    check_environment();
    return check_status();
}

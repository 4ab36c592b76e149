/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A WASI 0.1 command that answers one HTTP request the way of CGI (RFC 3875): the request comes in
 * variables and on stdin, the answer goes to stdout. The last segment of PATH_INFO says what it
 * does;
 * ../README.md has the list.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const char *variable_get(const char *name)
{
    const char *value = getenv(name);

    return value ? value : "";
}

static void head_print(void)
{
    printf("Content-Type: text/plain\n\n");
}

static void hello(void)
{
    head_print();
    printf("Hello from CGI!\n");
}

static void env(void)
{
    head_print();
    for (char **variable = environ; *variable; variable++)
        printf("%s\n", *variable);
}

static void echo(void)
{
    static char block[65536];
    const char *type = variable_get("CONTENT_TYPE");
    ssize_t n;

    printf("Content-Type: %s\n\n", *type ? type : "application/octet-stream");
    fflush(stdout);
    while ((n = read(STDIN_FILENO, block, sizeof(block))) > 0) { /* as it arrives, unlike fread() */
        fwrite(block, 1, (size_t)n, stdout);
        fflush(stdout);
    }
}

static void status(void)
{
    printf("Status: 404 Not Found\nContent-Type: text/plain\n\nnothing here\n");
}

static void redirect(void)
{
    printf("Location: /elsewhere\n\n");
}

/* The end of the head is missing. */
static void bad(void)
{
    printf("Content-Type: text/plain\nthis is no header");
}

static void trap(void)
{
    __builtin_trap();
}

static void loop(void)
{
    for (;;)
        __asm__ volatile("");
}

/* What a program does that fails: a line on stderr, a status, and no answer. */
static void fail(void)
{
    fprintf(stderr, "cgi: failing as asked\n");
    exit(3);
}

static void big(void)
{
    static char block[65536];
    size_t n_left = strtoul(variable_get("QUERY_STRING"), NULL, 10);

    memset(block, 'x', sizeof(block));
    head_print();
    while (n_left > 0) {
        size_t n = n_left < sizeof(block) ? n_left : sizeof(block);

        if (fwrite(block, 1, n, stdout) != n)
            exit(1); /* nobody listens any more */
        n_left -= n;
    }
}

static void trap_late(void)
{
    big();
    fflush(stdout);
    __builtin_trap();
}

static const struct {
    const char *name;
    void (*run)(void);
} paths[] = {
    {"hello",     hello    },
    {"env",       env      },
    {"echo",      echo     },
    {"status",    status   },
    {"redirect",  redirect },
    {"bad",       bad      },
    {"trap",      trap     },
    {"trap-late", trap_late},
    {"loop",      loop     },
    {"fail",      fail     },
    {"big",       big      },
};

int main(void)
{
    const char *path = variable_get("PATH_INFO");
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(name, paths[i].name) == 0) {
            paths[i].run();
            return 0;
        }
    }
    printf("Status: 404 Not Found\nContent-Type: text/plain\n\nno such path\n");
    return 0;
}

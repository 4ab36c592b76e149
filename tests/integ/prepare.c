/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepares programs as a supervisor does: prepare WORKER CACHE_DIR FILE..., all at once. Says a
 * line for each, in the order in which they are done: FILE CONTRACT DIGEST INODE (of the code's
 * file) or FILE REASON TEXT. With "-" for a FILE the ones before it are awaited first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "container/guest/program.h"

struct request {
    const char *file;
};

static void done(void *ctx, const struct err *e, struct prepared *p)
{
    const char *file = ((struct request *)ctx)->file;
    char digest[DIGEST_TEXT_SIZE];
    struct stat st;

    if (e) {
        dprintf(STDOUT_FILENO, "%s %s %s\n", file, e->reason, e->msg);
        return;
    }
    digest_format(&p->digest, digest);
    BUG_ON(fstat(p->code_fd, &st) < 0);
    dprintf(STDOUT_FILENO, "%s %s %s %llu\n", file, contract_word(p->contract), digest,
            (unsigned long long)st.st_ino);
}

int main(int argc, char **argv)
{
    autofree struct request *requests = xcalloc((size_t)argc, sizeof(*requests));
    AUTO(programs) programs = NULL;
    struct loop *l;
    struct err e = ERR_INIT;

    if (argc < 4 || loop_open(&l, &e) < 0)
        return 2;
    programs = programs_new(l, argv[1], argv[2]);
    for (int i = 3; i < argc; i++) {
        autofd fd = open(argv[i], O_RDONLY | O_CLOEXEC);

        if (*argv[i] == '-') {
            loop_run(l);
            continue;
        }
        requests[i].file = argv[i];
        program_prepare(programs, fd, NULL, done, &requests[i]);
    }
    loop_run(l);
    programs_free(take_ptr(programs));
    loop_free(l);
    return 0;
}

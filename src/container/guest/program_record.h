/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "guest/prepare.h"

/*
 * What workers answered about programs (guest/prepare.h), kept beside the compile cache in
 * DIR/programs/, one small file for each program, named by its digest. With it a program's code is
 * found in the cache without a process that has the engine.
 *
 * An answer holds for the worker that gave it, and on this boot: other versions and other CPUs have
 * other code. The folder is trusted as the cache is (store/cache.h), and everything in it may be
 * deleted at any time. All functions may be called on any thread.
 */

#define PROGRAM_RECORDS_LIMIT 4096 /* files; then all are forgotten */

/* Which worker answers: the file at this path as it is now, and the boot. "ProgramMissing". */
int program_record_worker(const char *path, char ret[static DIGEST_HEX_SIZE], struct err *e);

/* 1 with the answer of that worker, zeroed before; 0 when there is none. "UntrustedFolder", or the
 * errno of a folder that cannot be used. */
int program_record_find(const char *dir, const struct digest *program, const char *worker,
                        struct prepare_answer *ret, struct err *e);

/* Keeps the answer of that worker; in the place of another one's. The same errors. */
int program_record_keep(const char *dir, const struct digest *program, const char *worker,
                        const struct prepare_answer *a, struct err *e);

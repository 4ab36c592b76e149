/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/*
 * What a worker answers to the job "prepare", as one line of JSON on its standard output: what the
 * program is and where in the compile cache its machine code is, or why there is none. Supervisors
 * keep the former (container/guest/program_record.h).
 */
#define PREPARE_ANSWER_LIMIT_BYTES (16u << 10)

/* Heap strings; either the first two or the next two, and NULL for what it does not say. */
struct prepare_answer {
    char *contract; /* contract_word() */
    char *code;     /* the cache's key */
    char *reason;
    char *message;
    char *worker; /* kept: which worker answered */
};

void prepare_answer_done(struct prepare_answer *a);

/* Appends the line. */
void prepare_answer_encode(const struct prepare_answer *a, struct buf *ret);

/* Decodes into a zeroed *a and checks the words: "BadJson", "BadAnswer". */
int prepare_answer_decode(const char *json, size_t len, struct prepare_answer *a, struct err *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a worker's answer or the record of one: an error, or an answer whose code is a plain
 * name and that survives another round. */
#include "base/util.h"
#include "guest/contract.h"
#include "guest/prepare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prepare_answer a = {0}, back = {0};
    autobuf line = BUF_INIT;
    struct err e = ERR_INIT;

    if (prepare_answer_decode((const char *)data, size, &a, &e) < 0) {
        BUG_ON(!e.code || !*e.msg || a.code || a.reason);
        return 0;
    }
    BUG_ON(!a.reason == !a.code);
    BUG_ON(a.code && (strchr(a.code, '/') || contract_parse(a.contract) == CONTRACT_UNKNOWN));
    prepare_answer_encode(&a, &line);
    /* Escapes may make it longer than what was taken. */
    if (line.len <= PREPARE_ANSWER_LIMIT_BYTES)
        BUG_ON(prepare_answer_decode(buf_str(&line), line.len, &back, &e) < 0);
    prepare_answer_done(&back);
    prepare_answer_done(&a);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on the standard input of `start`: never an error, version 3 only for parameters with
 * our id, and an answer that is JSON or a bare address. */
#include <stdint.h>

#include "base/json_value.h"
#include "shim/command/bootstrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct shim_flags flags = {.action = SHIM_START, .namespace = "n", .id = "c"};
    AUTO(json_value) v = NULL;
    autobuf answer = BUF_INIT;
    struct err e = ERR_INIT;
    struct bootstrap b = {0};

    BUG_ON(bootstrap_parse(&flags, data, size, &b, &e) < 0);
    BUG_ON(!b.socket_dir || (b.version != 2 && b.version != 3) || (b.is_plain && b.version == 3));
    bootstrap_answer(&b, "/s", &answer);
    if (b.is_plain)
        BUG_ON(!str_eq(buf_str(&answer), "unix:///s"));
    else
        BUG_ON(json_value_parse(buf_str(&answer), answer.len, (struct json_limits){4096, 4}, &v,
                                &e) < 0);
    bootstrap_done(&b);
    return 0;
}

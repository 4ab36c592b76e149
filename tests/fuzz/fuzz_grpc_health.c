/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/util.h"
#include "wire/grpc_health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says how much of the rest is grpc-message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;

    if (size < 2)
        return 0;

    size_t len = data[0] < size - 2 ? data[0] : size - 2;
    autofree char *message = xstrndup((const char *)data + 2, len);
    char status[] = {(char)data[1], 0};
    struct grpc_health_response r = {
        .http_status = 200,
        .grpc_status = status,
        .grpc_message = message,
        .body = {(const char *)data + 2 + len, size - 2 - len},
    };

    if (grpc_health_check(&r, &e) < 0 && (!e.reason || !*e.msg))
        abort();
    return 0;
}

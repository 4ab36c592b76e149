/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a traceparent header or a request id: what is accepted is written again, and reads
 * back the same. */
#include "base/err.h"
#include "base/util.h"
#include "worker/http/trace_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct trace_context t, again, child;
    char written[TRACE_CONTEXT_SIZE];

    if (request_id_is_sane(text, size))
        BUG_ON(!size || size > REQUEST_ID_LIMIT || memchr(text, '\n', size));
    if (!trace_context_parse(text, size, &t))
        return 0;
    trace_context_format(&t, written);
    BUG_ON(strlen(written) != TRACE_CONTEXT_SIZE - 1);
    BUG_ON(memcmp(written + 2, text + 2, TRACE_CONTEXT_SIZE - 5) != 0);
    BUG_ON(!trace_context_parse(written, TRACE_CONTEXT_SIZE - 1, &again));
    BUG_ON(memcmp(&t, &again, sizeof(t)) != 0);
    trace_context_child(&t, &child);
    BUG_ON(memcmp(child.trace_id, t.trace_id, sizeof(t.trace_id)) != 0 || child.flags != t.flags);
    return 0;
}

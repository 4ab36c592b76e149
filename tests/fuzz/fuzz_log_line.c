/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record of a log: none, or parts that lie in it. */
#include "base/clock.h"
#include "base/err.h"
#include "pod/logs/log_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(struct text part, const char *text, size_t size)
{
    BUG_ON(part.data < text || part.data + part.len > text + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* On the heap, without a NUL behind it, so that reading too far is seen. */
    char *text = xcalloc(size ? size : 1, 1);
    struct log_line line = {0};
    int64_t time_ns;

    if (size)
        memcpy(text, data, size);
    if (log_line_parse(text, size, &line)) {
        check_part(line.time, text, size);
        check_part(line.text, text, size);
        BUG_ON(line.text.data + line.text.len != text + size);
        BUG_ON(line.text.data - text > LOG_LINE_HEAD_LIMIT);
        BUG_ON(line.stream != 1 && line.stream != 2);
        BUG_ON(!clock_rfc3339_parse(line.time.data, line.time.len, &time_ns));
        BUG_ON(time_ns != line.time_ns);
    } else {
        BUG_ON(line.stream || line.text.data);
    }
    if (clock_rfc3339_parse(text, size, &time_ns) && time_ns >= 0) {
        char again[CLOCK_RFC3339NANO_SIZE];
        int64_t again_ns;

        clock_rfc3339nano_format((uint64_t)time_ns, again);
        BUG_ON(!clock_rfc3339_parse(again, strlen(again), &again_ns) || again_ns != time_ns);
    }
    free(text);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_line.h"

#include "base/clock.h"

/* Takes what stands before the next blank off *rest; no text without a blank. */
static struct text word_take(struct text *rest)
{
    const char *blank = rest->len ? memchr(rest->data, ' ', rest->len) : NULL;
    struct text word = {NULL, 0};

    if (!blank)
        return word;
    word = (struct text){rest->data, (size_t)(blank - rest->data)};
    rest->data += word.len + 1;
    rest->len -= word.len + 1;
    return word;
}

bool log_line_parse(const char *data, size_t len, struct log_line *ret)
{
    struct text head = {data, len < LOG_LINE_HEAD_LIMIT ? len : LOG_LINE_HEAD_LIMIT};
    struct text time = word_take(&head), stream = word_take(&head), tags = word_take(&head);
    int64_t time_ns;
    int which = text_eq(stream, "stdout") ? 1 : text_eq(stream, "stderr") ? 2 : 0;

    if (!tags.len || !which || (*tags.data != 'F' && *tags.data != 'P') ||
        (tags.len > 1 && tags.data[1] != ':') ||
        !clock_rfc3339_parse(time.data, time.len, &time_ns))
        return false;
    *ret = (struct log_line){
        .time = time,
        .time_ns = time_ns,
        .stream = which,
        .is_partial = *tags.data == 'P',
        .text = {head.data, len - (size_t)(head.data - data)},
    };
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_line.h"

#define DATE_TIME_SIZE (sizeof "2026-11-24T00:31:02" - 1)

/* `n` digits, or -1. */
static int digits(const char *s, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

/* Days since 1970 in the Gregorian calendar; years are reckoned from March, so that the leap day
 * is their last. */
static int64_t days_of(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static bool date_time_parse(const char *s, int64_t *ret_s)
{
    static const char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = digits(s, 4), month = digits(s + 5, 2), day = digits(s + 8, 2);
    int hour = digits(s + 11, 2), minute = digits(s + 14, 2), second = digits(s + 17, 2);

    if (s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':')
        return false;
    if (year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return false;
    /* 60 is a leap second. */
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    *ret_s = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* "Z" or "+hh:mm" to its end: the seconds that it is ahead of UTC. */
static bool zone_parse(const char *s, size_t len, int *ret_s)
{
    int hours, minutes;

    if (len == 1 && *s == 'Z') {
        *ret_s = 0;
        return true;
    }
    if (len != sizeof "+hh:mm" - 1 || (*s != '+' && *s != '-') || s[3] != ':')
        return false;
    hours = digits(s + 1, 2);
    minutes = digits(s + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *ret_s = (hours * 3600 + minutes * 60) * (*s == '-' ? -1 : 1);
    return true;
}

bool log_time_parse(const char *data, size_t len, int64_t *ret_ns)
{
    int64_t seconds, fraction_ns = 0;
    size_t at = DATE_TIME_SIZE;
    int ahead_s;

    if (len < DATE_TIME_SIZE + 1 || !date_time_parse(data, &seconds))
        return false;
    if (data[at] == '.') {
        int64_t unit_ns = 100000000;

        for (at++; at < len && data[at] >= '0' && data[at] <= '9'; at++) {
            fraction_ns += (data[at] - '0') * unit_ns;
            unit_ns /= 10;
        }
        if (at == DATE_TIME_SIZE + 1 || at > DATE_TIME_SIZE + 10)
            return false;
    }
    if (!zone_parse(data + at, len - at, &ahead_s))
        return false;
    *ret_ns = (seconds - ahead_s) * 1000000000 + fraction_ns;
    return true;
}

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
        (tags.len > 1 && tags.data[1] != ':') || !log_time_parse(time.data, time.len, &time_ns))
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

/* SPDX-License-Identifier: Apache-2.0 */

/* Makes a JSON document and parses it: bytes, branches and recursion. Argument: rounds. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_RECORDS 20000
#define RECORD    160 /* the most that a record takes */

static char text[N_RECORDS * RECORD];

struct parser {
    const char *at;
    uint64_t sum; /* of everything that was seen: two parsers that agree on it agree */
};

static void see(struct parser *p, uint64_t value)
{
    p->sum = (p->sum ^ value) * 0x100000001b3;
}

static void blanks_skip(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\n')
        p->at++;
}

static bool string_parse(struct parser *p)
{
    for (p->at++; *p->at != '"'; p->at++) {
        if (*p->at == '\0')
            return false;
        if (*p->at == '\\')
            p->at++;
        see(p, (uint8_t)*p->at);
    }
    p->at++;
    return true;
}

static bool number_parse(struct parser *p)
{
    int64_t whole = 0, scale = 1;
    bool is_negative = *p->at == '-';

    if (is_negative)
        p->at++;
    for (; *p->at >= '0' && *p->at <= '9'; p->at++)
        whole = whole * 10 + (*p->at - '0');
    if (*p->at == '.') {
        for (p->at++; *p->at >= '0' && *p->at <= '9'; p->at++, scale *= 10)
            whole = whole * 10 + (*p->at - '0');
    }
    see(p, (uint64_t)(is_negative ? -whole : whole));
    see(p, (uint64_t)scale);
    return true;
}

static bool word_parse(struct parser *p, const char *word)
{
    size_t size = strlen(word);

    if (strncmp(p->at, word, size) != 0)
        return false;
    p->at += size;
    see(p, size);
    return true;
}

static bool value_parse(struct parser *p);

/* An object, or an array if `has_names` is false. */
static bool members_parse(struct parser *p, char end, bool has_names)
{
    p->at++;
    blanks_skip(p);
    while (*p->at != end) {
        if (has_names) {
            if (*p->at != '"' || !string_parse(p))
                return false;
            blanks_skip(p);
            if (*p->at++ != ':')
                return false;
        }
        if (!value_parse(p))
            return false;
        if (*p->at == ',')
            p->at++;
        else if (*p->at != end)
            return false;
        blanks_skip(p);
    }
    p->at++;
    see(p, (uint8_t)end);
    return true;
}

static bool value_parse(struct parser *p)
{
    bool is_good;

    blanks_skip(p);
    switch (*p->at) {
    case '{':
        is_good = members_parse(p, '}', true);
        break;
    case '[':
        is_good = members_parse(p, ']', false);
        break;
    case '"':
        is_good = string_parse(p);
        break;
    case 't':
        is_good = word_parse(p, "true");
        break;
    case 'f':
        is_good = word_parse(p, "false");
        break;
    case 'n':
        is_good = word_parse(p, "null");
        break;
    default:
        is_good = (*p->at == '-' || (*p->at >= '0' && *p->at <= '9')) && number_parse(p);
    }
    blanks_skip(p);
    return is_good;
}

static void text_make(void)
{
    char *at = text;

    *at++ = '[';
    for (int i = 0; i < N_RECORDS; i++) {
        at += snprintf(at, RECORD,
                       "%s{\"id\": %d, \"name\": \"item \\\"%d\\\"\", \"price\": %d.%02d,\n"
                       "  \"tags\": [\"a%d\", \"b%d\", null], \"sold\": %s, \"at\": {\"x\": %d}}",
                       i == 0 ? "" : ", ", i, i * 7919 % 1000, i % 977, i % 100, i % 13, i % 29,
                       i % 3 == 0 ? "true" : "false", -i);
    }
    memcpy(at, "]", 2);
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 1 ? atoi(argv[1]) : 300;
    struct parser p = {0};

    text_make();
    for (int i = 0; i < n_rounds; i++) {
        p.at = text;
        if (!value_parse(&p) || *p.at != '\0') {
            printf("not JSON at byte %td\n", p.at - text);
            return 1;
        }
    }
    printf("%016llx\n", (unsigned long long)p.sum);
    return 0;
}

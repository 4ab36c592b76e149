/* SPDX-License-Identifier: Apache-2.0 */
/* echo and printf */
#include "toolbox/toolbox.h"

#include <ctype.h>
#include <stdio.h>

static const char escape_letters[] = "abefnrtv\\", escape_values[] = "\a\b\033\f\n\r\t\v\\";

bool unescape(const char *text, bool is_echo, struct buf *out)
{
    while (*text) {
        const char *letter;
        int value = 0, digits = 0;

        if (*text != '\\' || !text[1]) {
            buf_addc(out, *text++);
            continue;
        }
        text++;
        letter = strchr(escape_letters, *text);
        if (letter) {
            buf_addc(out, escape_values[letter - escape_letters]);
            text++;
            continue;
        }
        if (*text == 'c' && is_echo)
            return false;
        if (is_echo && *text == '0')
            text++;
        else if (is_echo || *text < '0' || *text > '7') {
            buf_addc(out, '\\');
            continue;
        }
        for (; digits < 3 && *text >= '0' && *text <= '7'; digits++)
            value = value * 8 + (*text++ - '0');
        buf_addc(out, (char)value);
    }
    return true;
}

/* As dash: always with escapes, and -n. */
int tool_echo(struct job *j)
{
    autobuf out = BUF_INIT;
    bool is_short = j->argc > 1 && str_eq(j->argv[1], "-n");

    for (int i = is_short ? 2 : 1; i < j->argc; i++) {
        if (i > (is_short ? 2 : 1))
            buf_addc(&out, ' ');
        if (!unescape(j->argv[i], true, &out)) {
            is_short = true;
            break;
        }
    }
    if (!is_short)
        buf_addc(&out, '\n');
    return stream_write(j->out, out.data, out.len) < 0;
}

struct print {
    struct job *job;
    int next; /* the argument at hand */
    int status;
    bool is_over;
    struct buf out;
};

static const char *argument(struct print *p)
{
    return p->next < p->job->argc ? p->job->argv[p->next++] : NULL;
}

static long long number_argument(struct print *p)
{
    const char *text = argument(p);
    long long value;
    char *end;

    if (!text || !*text)
        return 0;
    if (*text == '"' || *text == '\'')
        return (unsigned char)text[1];
    errno = 0;
    value = *text == '-' ? strtoll(text, &end, 0) : (long long)strtoull(text, &end, 0);
    if (*end || end == text || errno) {
        job_error(p->job, "%s: %s", text,
                  errno == ERANGE ? "Numerical result out of range"
                  : end == text   ? "expected numeric value"
                                  : "not completely converted");
        p->status = 1;
    }
    return value;
}

static double float_argument(struct print *p)
{
    const char *text = argument(p);

    return text ? strtod(text, NULL) : 0;
}

/* Text in a field: `left` bytes at the left of `width`. */
static void add_padded(struct print *p, const char *text, size_t len, int width, bool is_left)
{
    size_t pad = width > 0 && (size_t)width > len ? (size_t)width - len : 0;

    for (size_t i = 0; !is_left && i < pad; i++)
        buf_addc(&p->out, ' ');
    buf_add(&p->out, text, len);
    for (size_t i = 0; is_left && i < pad; i++)
        buf_addc(&p->out, ' ');
}

struct directive {
    char flags[8];
    int width, precision; /* negative precision: none */
};

static void add_text(struct print *p, const struct directive *d, char conversion)
{
    const char *text = argument(p);
    autobuf escaped = BUF_INIT;
    size_t len;

    text = text ? text : "";
    len = strlen(text);
    if (conversion == 'b') {
        p->is_over = !unescape(text, true, &escaped);
        text = buf_str(&escaped);
        len = escaped.len;
    } else if (conversion == 'c') {
        len = len ? 1 : 0;
    }
    if (d->precision >= 0 && (size_t)d->precision < len)
        len = (size_t)d->precision;
    add_padded(p, text, len, d->width, strchr(d->flags, '-'));
}

static void add_number(struct print *p, const struct directive *d, char conversion)
{
    bool is_float = strchr("eEfFgG", conversion);
    /* The format is made of checked parts. */
    autofree char *format =
        d->precision >= 0 ? xasprintf("%%%s%d.%d%s%c", d->flags, d->width, d->precision,
                                      is_float ? "" : "ll", conversion)
        : d->width ? xasprintf("%%%s%d%s%c", d->flags, d->width, is_float ? "" : "ll", conversion)
                   : xasprintf("%%%s%s%c", d->flags, is_float ? "" : "ll", conversion);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (is_float)
        buf_addf(&p->out, format, float_argument(p));
    else
        buf_addf(&p->out, format, number_argument(p));
#pragma GCC diagnostic pop
}

static int size_of(struct print *p, const char **at)
{
    int value = 0;

    if (**at == '*') {
        long long n = number_argument(p);

        (*at)++;
        return n < -4096 ? -4096 : n > 4096 ? 4096 : (int)n;
    }
    for (; isdigit((unsigned char)**at); (*at)++)
        value = value < 4096 ? value * 10 + (**at - '0') : 4096;
    return value > 4096 ? 4096 : value;
}

/* One directive behind its '%'; where the format goes on, NULL after a reported mistake. */
static const char *add_directive(struct print *p, const char *at)
{
    struct directive d = {.precision = -1};

    while (*at && strchr("-+ #0", *at)) {
        if (strlen(d.flags) < sizeof(d.flags) - 1)
            d.flags[strlen(d.flags)] = *at;
        at++;
    }
    d.width = size_of(p, &at);
    if (d.width < 0) {
        d.width = -d.width;
        if (strlen(d.flags) < sizeof(d.flags) - 1)
            d.flags[strlen(d.flags)] = '-';
    }
    if (*at == '.') {
        at++;
        d.precision = size_of(p, &at);
    }
    if (*at && strchr("sbc", *at)) {
        add_text(p, &d, *at);
    } else if (*at && strchr("diouxXeEfFgG", *at)) {
        add_number(p, &d, *at);
    } else {
        job_error(p->job, "%%%.1s: invalid directive", at);
        p->status = 2;
        return NULL;
    }
    return at + 1;
}

static void print_once(struct print *p, const char *format)
{
    for (const char *at = format; at && *at && !p->is_over;) {
        const char *percent = strchr(at, '%');
        autofree char *literal = xstrndup(at, percent ? (size_t)(percent - at) : strlen(at));

        unescape(literal, false, &p->out);
        if (!percent)
            return;
        at = percent + 1;
        if (*at == '%') {
            buf_addc(&p->out, '%');
            at++;
        } else {
            at = add_directive(p, at);
            p->is_over = p->is_over || !at;
        }
    }
}

int tool_printf(struct job *j)
{
    struct print p = {.job = j, .next = 1};
    const char *format;
    int before;

    if (p.next < j->argc && str_eq(j->argv[p.next], "--"))
        p.next++;
    format = argument(&p);
    if (!format)
        return job_error(j, "usage: printf format [arg ...]") + 1;
    do {
        before = p.next;
        print_once(&p, format);
        if (stream_write(j->out, p.out.data, p.out.len) < 0 && !p.status)
            p.status = 1;
        buf_clear(&p.out);
    } while (!p.is_over && p.next < j->argc && p.next > before);
    buf_done(&p.out);
    return p.status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/prometheus.h"

#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"

#define DOUBLE_SIZE 40

static bool name_is_valid(const char *name, const char *extra)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

    if (!*name || !(strchr(first, *name) || strchr(extra, *name)))
        return false;
    for (const char *c = name + 1; *c; c++)
        if (!(strchr(first, *c) || strchr(extra, *c) || (*c >= '0' && *c <= '9')))
            return false;
    return true;
}

/* The text with a backslash before each of its characters that `special` names. */
static void escaped_add(struct buf *out, const char *text, const char *special)
{
    for (;;) {
        size_t plain = strcspn(text, special);

        text_lossy_add((struct text){text, plain}, out);
        if (!text[plain])
            return;
        buf_addc(out, '\\');
        buf_addc(out, text[plain] == '\n' ? 'n' : text[plain]);
        text += plain + 1;
    }
}

static void double_format(double value, char ret[static DOUBLE_SIZE])
{
    char text[DOUBLE_SIZE];
    size_t to = 0;

    if (!isfinite(value)) {
        snprintf(ret, DOUBLE_SIZE, "%s", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    /* The decimal point is the locale's, and may be several bytes long. */
    for (const char *c = text; *c; c++) {
        if (strchr("0123456789+-e", *c))
            ret[to++] = *c;
        else if (!to || ret[to - 1] != '.')
            ret[to++] = '.';
    }
    ret[to] = 0;
}

static void label_add(struct buf *out, bool is_first, const char *name, const char *value)
{
    BUG_ON(!name_is_valid(name, ""));
    buf_addc(out, is_first ? '{' : ',');
    buf_addstr(out, name);
    buf_addstr(out, "=\"");
    escaped_add(out, value, "\\\"\n");
    buf_addc(out, '"');
}

/* Everything before the value; `le` is a bucket's bound or NULL. */
static void sample_begin(struct buf *out, const char *name, const char *suffix,
                         const struct prometheus_label *labels, const char *le)
{
    bool is_first = true;

    BUG_ON(!name_is_valid(name, ":"));
    buf_addstr(out, name);
    buf_addstr(out, suffix);
    for (; labels && labels->name; labels++, is_first = false)
        label_add(out, is_first, labels->name, labels->value);
    if (le) {
        label_add(out, is_first, "le", le);
        is_first = false;
    }
    buf_addstr(out, is_first ? " " : "} ");
}

static void uint_end(struct buf *out, uint64_t value)
{
    text_uint_add(value, out);
    buf_addc(out, '\n');
}

static void double_end(struct buf *out, double value)
{
    char text[DOUBLE_SIZE];

    double_format(value, text);
    buf_addstr(out, text);
    buf_addc(out, '\n');
}

void prometheus_family(struct buf *out, const char *name, enum prometheus_type type,
                       const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    BUG_ON(!name_is_valid(name, ":"));
    buf_addf(out, "# HELP %s ", name);
    escaped_add(out, help, "\\\n");
    buf_addf(out, "\n# TYPE %s %s\n", name, types[type]);
}

void prometheus_uint(struct buf *out, const char *name, const struct prometheus_label *labels,
                     uint64_t value)
{
    sample_begin(out, name, "", labels, NULL);
    uint_end(out, value);
}

void prometheus_double(struct buf *out, const char *name, const struct prometheus_label *labels,
                       double value)
{
    sample_begin(out, name, "", labels, NULL);
    double_end(out, value);
}

void prometheus_histogram(struct buf *out, const char *name, const struct prometheus_label *labels,
                          const struct prometheus_histogram *h)
{
    char bound[DOUBLE_SIZE];
    uint64_t sum = 0;

    for (size_t i = 0; i <= h->n_bounds; i++) {
        bool is_last = i == h->n_bounds;

        BUG_ON(!is_last && (!isfinite(h->bounds[i]) || (i && h->bounds[i] <= h->bounds[i - 1])));
        sum += h->counts[i];
        double_format(is_last ? HUGE_VAL : h->bounds[i], bound);
        sample_begin(out, name, "_bucket", labels, bound);
        uint_end(out, sum);
    }
    sample_begin(out, name, "_sum", labels, NULL);
    double_end(out, h->sum);
    sample_begin(out, name, "_count", labels, NULL);
    uint_end(out, sum);
}

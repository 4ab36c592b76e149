/* SPDX-License-Identifier: Apache-2.0 */
#include "load_report.h"

#include <stdio.h>

#include "base/json.h"

static const char *const failure_names[FAILURE_KINDS] = {
    [FAILURE_CONNECT] = "connect error", [FAILURE_RESET] = "reset",
    [FAILURE_STATUS] = "wrong status",   [FAILURE_BODY] = "wrong body",
    [FAILURE_SHORT] = "short body",      [FAILURE_TIMEOUT] = "timeout",
    [FAILURE_ANSWER] = "bad answer",
};

static const struct {
    const char *name;
    uint64_t per_100000;
} quantiles[] = {
    {"p50",   50000},
    {"p90",   90000},
    {"p99",   99000},
    {"p99.9", 99900}
};

static size_t bucket_of(uint64_t ns)
{
    if (ns < 1U << LOAD_BUCKETS_SHIFT)
        return (size_t)ns;
    unsigned power = 63U - (unsigned)__builtin_clzll(ns);
    unsigned shift = power - LOAD_BUCKETS_SHIFT;
    return ((size_t)shift << LOAD_BUCKETS_SHIFT) + (size_t)(ns >> shift);
}

/* The middle of what the bucket holds. */
static double bucket_ns(size_t bucket)
{
    if (bucket < 2U << LOAD_BUCKETS_SHIFT)
        return (double)bucket;
    unsigned shift = (unsigned)(bucket >> LOAD_BUCKETS_SHIFT) - 1;
    uint64_t low = (uint64_t)(bucket - ((size_t)shift << LOAD_BUCKETS_SHIFT)) << shift;
    return (double)low + (double)(UINT64_C(1) << shift) / 2;
}

void load_report_latency(struct load_report *r, uint64_t latency_ns)
{
    r->buckets[bucket_of(latency_ns)]++;
    r->latency_n++;
    r->latency_sum_ns += latency_ns;
    if (latency_ns > r->latency_max_ns)
        r->latency_max_ns = latency_ns;
}

void load_report_failure(struct load_report *r, enum load_failure kind, const char *fmt, ...)
{
    r->failures[kind]++;
    if (r->n_reasons == LOAD_REASONS_MAX)
        return;
    char *reason = r->reasons[r->n_reasons++];
    int n = snprintf(reason, LOAD_REASON_SIZE, "%s: ", failure_names[kind]);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason + n, LOAD_REASON_SIZE - (size_t)n, fmt, ap);
    va_end(ap);
}

uint64_t load_report_failures(const struct load_report *r)
{
    uint64_t n = 0;

    for (int i = 0; i < FAILURE_KINDS; i++)
        n += r->failures[i];
    return n;
}

static double quantile_us(const struct load_report *r, uint64_t per_100000)
{
    uint64_t rank = (r->latency_n * per_100000 + 99999) / 100000;
    uint64_t seen = 0;

    for (size_t i = 0; i < LOAD_BUCKETS; i++) {
        seen += r->buckets[i];
        if (seen >= rank && seen > 0) {
            double ns = bucket_ns(i);
            return (ns < (double)r->latency_max_ns ? ns : (double)r->latency_max_ns) / 1e3;
        }
    }
    return 0;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double per_second(const struct load_report *r, uint64_t n)
{
    return ratio((double)n * 1e9, (double)r->wall_ns);
}

void load_report_format(const struct load_report *r, struct buf *out)
{
    uint64_t failures = load_report_failures(r);

    buf_addf(out, "requests  %llu in %.3f s, %llu failed\n", (unsigned long long)r->requests,
             (double)r->wall_ns / 1e9, (unsigned long long)failures);
    for (int i = 0; i < FAILURE_KINDS; i++) {
        if (r->failures[i] > 0)
            buf_addf(out, "  %-15s %llu\n", failure_names[i], (unsigned long long)r->failures[i]);
    }
    for (int i = 0; i < r->n_reasons; i++)
        buf_addf(out, "  %s\n", r->reasons[i]);
    buf_addf(out, "rate      %.0f/s, %.3f MB/s received\n", per_second(r, r->requests - failures),
             per_second(r, r->bytes) / 1e6);
    buf_addf(out, "latency   ");
    for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
        buf_addf(out, "%s %.1f us, ", quantiles[i].name, quantile_us(r, quantiles[i].per_100000));
    buf_addf(out, "max %.1f us\n", (double)r->latency_max_ns / 1e3);
    buf_addf(out, "own CPU   %.3f s, %.2f us a request\n", (double)r->cpu_ns / 1e9,
             ratio((double)r->cpu_ns / 1e3, (double)r->requests));
}

static void key_double(struct json_writer *w, const char *key, double value)
{
    json_key(w, key);
    json_double(w, value);
}

static void encode_failures(const struct load_report *r, struct json_writer *w)
{
    json_key_uint(w, "failures", load_report_failures(r));
    json_key(w, "failed");
    json_begin_object(w);
    for (int i = 0; i < FAILURE_KINDS; i++) {
        if (r->failures[i] > 0)
            json_key_uint(w, failure_names[i], r->failures[i]);
    }
    json_end_object(w);
    json_key(w, "reasons");
    json_begin_array(w);
    for (int i = 0; i < r->n_reasons; i++)
        json_str(w, r->reasons[i]);
    json_end_array(w);
}

void load_report_encode(const struct load_report *r, struct buf *out)
{
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key_uint(&w, "requests", r->requests);
    encode_failures(r, &w);
    json_key_uint(&w, "reconnects", r->reconnects);
    json_key_uint(&w, "bytes", r->bytes);
    json_key_uint(&w, "body_bytes", r->body_bytes);
    key_double(&w, "wall_s", (double)r->wall_ns / 1e9);
    key_double(&w, "cpu_s", (double)r->cpu_ns / 1e9);
    key_double(&w, "requests_per_s", per_second(r, r->requests - load_report_failures(r)));
    key_double(&w, "bytes_per_s", per_second(r, r->bytes));
    json_key(&w, "latency_us");
    json_begin_object(&w);
    key_double(&w, "mean", ratio((double)r->latency_sum_ns / 1e3, (double)r->latency_n));
    for (size_t i = 0; i < ARRAY_SIZE(quantiles); i++)
        key_double(&w, quantiles[i].name, quantile_us(r, quantiles[i].per_100000));
    key_double(&w, "max", (double)r->latency_max_ns / 1e3);
    json_end_object(&w);
    json_end_object(&w);
    json_writer_finish(&w, &e);
    buf_addc(out, '\n');
}

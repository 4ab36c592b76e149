/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/access_log.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

#define NS_PER_S 1000000000ULL

/* ---- Combined format ---- */

/* "[26/Nov/2026:10:52:24 +0000]"; made anew only when the second changes. */
static void combined_time_add(uint64_t realtime_ns, struct buf *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static _Thread_local time_t cached_second = -1;
    static _Thread_local char cached[64];
    time_t second = (time_t)(realtime_ns / NS_PER_S);

    if (second != cached_second) {
        struct tm tm;

        gmtime_r(&second, &tm);
        snprintf(cached, sizeof(cached), "[%02d/%.3s/%d:%02d:%02d:%02d +0000]", tm.tm_mday,
                 months + 3 * (size_t)tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        cached_second = second;
    }
    buf_addstr(out, cached);
}

static void escaped_add(struct text t, char lowest, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t plain = 0;

    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.data[i];

        if (c >= (unsigned char)lowest && c < 0x7f && c != '"' && c != '\\')
            continue;
        buf_add(out, t.data + plain, i - plain);
        buf_add(out, (const char[]){'\\', 'x', digits[c >> 4], digits[c & 15]}, 4);
        plain = i + 1;
    }
    buf_add(out, t.data + plain, t.len - plain);
}

/* A word outside of quotes: a space would begin the next one. */
static void word_add(struct text t, struct buf *out)
{
    if (t.len)
        escaped_add(t, '!', out);
    else
        buf_addc(out, '-');
}

static void quoted_add(struct text t, struct buf *out)
{
    buf_addstr(out, " \"");
    if (t.len)
        escaped_add(t, ' ', out);
    else
        buf_addc(out, '-');
    buf_addc(out, '"');
}

/* What could not be read as a request has no method, and is "-" as a whole. */
static void request_line_add(const struct access_record *r, struct buf *out)
{
    if (!r->method.len) {
        quoted_add(r->method, out);
        return;
    }
    buf_addstr(out, " \"");
    escaped_add(r->method, ' ', out);
    buf_addc(out, ' ');
    escaped_add(r->path, ' ', out);
    buf_addc(out, ' ');
    escaped_add(r->protocol, ' ', out);
    buf_addc(out, '"');
}

static void number_add(const char *before, uint64_t n, struct buf *out)
{
    buf_addstr(out, before);
    text_uint_add(n, out);
}

void access_log_text(const struct access_record *r, struct buf *out)
{
    word_add(r->peer, out);
    buf_addstr(out, " - - ");
    combined_time_add(r->realtime_ns, out);
    request_line_add(r, out);
    number_add(" ", r->status, out);
    number_add(" ", r->body_out_bytes, out);
    quoted_add(r->referer, out);
    quoted_add(r->user_agent, out);
    buf_addstr(out, " request_id=");
    word_add(r->request_id, out);
    number_add(" duration_us=", r->duration_us, out);
    number_add(" cpu_us=", r->cpu_us, out);
    buf_addstr(out, " reason=");
    word_add(r->reason, out);
    buf_addc(out, '\n');
}

/* ---- JSON ---- */

static void member_begin(const char *name, struct buf *out)
{
    buf_addstr(out, ",\"");
    buf_addstr(out, name);
    buf_addstr(out, "\":");
}

/* Most texts are ASCII without anything to escape; only the others need the writer. */
static bool is_plain(struct text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.data[i] < ' ' || t.data[i] > '~' || t.data[i] == '"' || t.data[i] == '\\')
            return false;
    return true;
}

static void any_text_add(struct text t, struct buf *out)
{
    autobuf valid = BUF_INIT;
    struct err e = ERR_INIT;
    struct json_writer w;

    text_lossy_add(t, &valid);
    json_writer_init(&w, out, false);
    json_strn(&w, buf_str(&valid), valid.len);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

static void text_member(const char *name, struct text t, struct buf *out)
{
    if (!t.data)
        return;
    member_begin(name, out);
    if (!is_plain(t)) {
        any_text_add(t, out);
        return;
    }
    buf_addc(out, '"');
    buf_add(out, t.data, t.len);
    buf_addc(out, '"');
}

static void number_member(const char *name, uint64_t n, struct buf *out)
{
    member_begin(name, out);
    text_uint_add(n, out);
}

void access_log_json(const struct access_record *r, struct buf *out)
{
    char time[CLOCK_RFC3339NANO_SIZE];

    clock_rfc3339nano_format(r->realtime_ns, time);
    buf_addstr(out, "{\"time\":\"");
    buf_addstr(out, time);
    buf_addc(out, '"');
    text_member("peer", r->peer, out);
    text_member("method", r->method, out);
    text_member("path", r->path, out);
    text_member("protocol", r->protocol, out);
    text_member("host", r->host, out);
    text_member("user_agent", r->user_agent, out);
    text_member("referer", r->referer, out);
    text_member("request_id", r->request_id, out);
    text_member("trace_id", r->trace_id, out);
    text_member("reason", r->reason, out);
    text_member("service", r->service, out);
    number_member("status", r->status, out);
    number_member("body_in_bytes", r->body_in_bytes, out);
    number_member("body_out_bytes", r->body_out_bytes, out);
    number_member("duration_us", r->duration_us, out);
    number_member("cpu_us", r->cpu_us, out);
    buf_addstr(out, "}\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor.h"

#include <stdio.h>

#include "base/fds.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"

static const char *const verdict_names[] = {"ok", "warn", "fail"};

void report_add(struct report *r, enum verdict verdict, const char *name, const char *why,
                const char *fix, const char *detail_fmt, ...)
{
    autobuf detail = BUF_INIT;
    va_list ap;

    va_start(ap, detail_fmt);
    buf_vaddf(&detail, detail_fmt, ap);
    va_end(ap);
    r->items = xrealloc(r->items, r->n + 1, sizeof(r->items[0]));
    r->items[r->n++] = (struct finding){
        .verdict = verdict,
        .name = name,
        .why = why,
        .detail = buf_take(&detail),
        .fix = fix && verdict != VERDICT_OK ? xstrdup(fix) : NULL,
    };
}

void report_done(struct report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->items[i].detail);
        free(r->items[i].fix);
    }
    free(r->items);
    *r = (struct report){0};
}

long long doctor_number(const char *path, long long fallback)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    char *end;
    long long value;

    if (file_read(path, 64, &text, &e) < 0)
        return fallback;
    value = strtoll(buf_str(&text), &end, 10);
    return end == buf_str(&text) ? fallback : value;
}

static size_t count(const struct report *r, enum verdict verdict)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += r->items[i].verdict == verdict;
    return n;
}

static void print_text(const struct report *r, bool is_verbose, struct buf *out)
{
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[1;31m"};
    bool has_colour = log_has_colour(STDOUT_FILENO);

    for (size_t i = 0; i < r->n; i++) {
        const struct finding *f = &r->items[i];

        buf_addf(out, "%s%-4s%s  %s: %s\n", has_colour ? colours[f->verdict] : "",
                 verdict_names[f->verdict], has_colour ? "\033[0m" : "", f->name, f->detail);
        if (f->verdict != VERDICT_OK || is_verbose)
            buf_addf(out, "      why: %s\n", f->why);
        if (f->fix)
            buf_addf(out, "      fix: %s\n", f->fix);
    }
    buf_addf(out, "\n%zu ok, %zu warnings, %zu failed\n", count(r, VERDICT_OK),
             count(r, VERDICT_WARN), count(r, VERDICT_FAIL));
}

static int print_json(const struct report *r, struct buf *out, struct err *e)
{
    struct json_writer w;

    json_writer_init(&w, out, true);
    json_begin_object(&w);
    json_key_bool(&w, "ok", count(r, VERDICT_FAIL) == 0);
    json_key(&w, "checks");
    json_begin_array(&w);
    for (size_t i = 0; i < r->n; i++) {
        const struct finding *f = &r->items[i];

        json_begin_object(&w);
        json_key_str(&w, "name", f->name);
        json_key_str(&w, "status", verdict_names[f->verdict]);
        json_key_str(&w, "detail", f->detail);
        json_key_str(&w, "why", f->why);
        json_key_str(&w, "fix", f->fix);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

int main(int argc, char **argv)
{
    struct doctor_options o = {0};
    struct report r = {0};
    struct err e = ERR_INIT;
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    int status = cli_parse(&command_doctor, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    doctor_kernel(&r);
    doctor_namespaces(&r);
    doctor_cgroups(&r);
    doctor_limits(&r);
    doctor_folders(&r, o.cache_dir);
    doctor_engine(&r);
    doctor_containerd(&r);
    if (str_eq(o.output, "json")) {
        if (print_json(&r, &out, &e) < 0)
            status = cli_fail("doctor", &e, GUEST_EXIT_WHERRY);
    } else {
        print_text(&r, o.is_verbose, &out);
    }
    if (status < 0)
        status = cli_print(&out);
    if (!status && count(&r, VERDICT_FAIL))
        status = 1;
    report_done(&r);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/system.h"
#include "store/check.h"

struct checking {
    const char *folder; /* that is being examined */
    struct buf out;
    struct json_writer json;
    bool is_json, has_line;
};

static void line_end(struct checking *c)
{
    if (c->has_line)
        dprintf(STDERR_FILENO, "\r\x1b[K");
    c->has_line = false;
}

static void progress(void *ctx, int64_t bytes, int64_t all)
{
    struct checking *c = ctx;
    char done[SIZE_TEXT_SIZE], total[SIZE_TEXT_SIZE];

    line_end(c);
    if (bytes == all)
        return;
    size_bytes_format((uint64_t)bytes, done);
    size_bytes_format((uint64_t)all, total);
    dprintf(STDERR_FILENO, "checking: %s of %s", done, total);
    c->has_line = true;
}

static void found(void *ctx, const struct check_finding *f)
{
    struct checking *c = ctx;

    if (!c->is_json) {
        buf_addf(&c->out, "%s: %s: %s%s%s\n", c->folder, f->path, f->what, f->done ? "; " : "",
                 f->done ? f->done : "");
        return;
    }
    json_begin_object(&c->json);
    json_key_str(&c->json, "in", c->folder);
    json_key_str(&c->json, "path", f->path);
    json_key_str(&c->json, "problem", f->what);
    json_key_str(&c->json, "repair", f->done);
    json_end_object(&c->json);
}

static void text_end(const struct check_result *r, bool is_repair, struct buf *out)
{
    buf_addf(out, "%zu images, %zu blobs and %zu entries of the compile cache were examined: ",
             r->n_images, r->n_blobs, r->n_code);
    if (!r->n_found)
        buf_addstr(out, "all is well\n");
    else if (is_repair)
        buf_addf(out, "%zu found, %zu repaired\n", r->n_found, r->n_found - r->n_left);
    else
        buf_addf(out, "%zu found; to repair: wherry system check --repair\n", r->n_found);
}

static int check(const struct system_check_options *o, struct checking *c, struct check_result *r,
                 struct err *e)
{
    struct check_options options = {.is_repair = o->is_repair, .found = found, .ctx = c};
    AUTO(images) images = NULL;
    AUTO(cache) cache = NULL;

    TRY(system_open(o->cache_dir, &images, &cache, e));
    if (!o->is_quiet && isatty(STDERR_FILENO))
        options.progress = progress;
    if (str_eq(o->output, "json")) {
        json_writer_init(&c->json, &c->out, true);
        json_begin_array(&c->json);
        c->is_json = true;
    }
    c->folder = "images";
    TRY(images_check(images, &options, r, e));
    c->folder = "compile cache";
    if (cache)
        TRY(cache_check(cache, &options, r, e));
    if (c->is_json) {
        json_end_array(&c->json);
        TRY(json_writer_finish(&c->json, e));
    } else {
        text_end(r, o->is_repair, &c->out);
    }
    return cli_print(&c->out) ? -EIO : 0;
}

int system_check(int argc, char *const *argv)
{
    struct system_check_options o = {0};
    struct checking c = {0};
    struct check_result r = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_system_check, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (check(&o, &c, &r, &e) < 0) {
        line_end(&c);
        status = e.code ? cli_fail("system check", &e, GUEST_EXIT_WHERRY) : GUEST_EXIT_WHERRY;
    } else {
        status = r.n_left ? 1 : 0;
    }
    buf_done(&c.out);
    options_done(&command_system_check, &o);
    return status;
}

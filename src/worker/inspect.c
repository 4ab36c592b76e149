/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/fds.h"
#include "base/strv.h"
#include "worker/code.h"
#include "worker/jobs.h"

static void item_text(struct buf *out, const struct artifact_item *i, const char *missing)
{
    buf_addf(out, "  %-9s %s%s%s%s%s\n", i->kind, i->space ? i->space : "", i->space ? " " : "",
             i->name, i->type[0] ? " " : "", i->type);
    if (missing)
        buf_addf(out, "            not offered by wherry; by %s\n", missing);
}

/* Which of the two forms of its code are in the cache. */
struct compiled {
    bool is_known, for_run, for_serve;
};

static struct compiled compiled_find(const struct guest_job *j, const struct program *p,
                                     struct cache *cache)
{
    struct code_options o = {.cache = cache, .stop_fd = -1, .code_fd = -1};
    struct compiled c = {.is_known = j->cache_dir};

    c.for_run = code_is_cached(p, &o);
    o.is_interruptible = true;
    c.for_serve = code_is_cached(p, &o);
    return c;
}

/* Only one that is there: to look makes nothing. */
static struct cache *cache_find_folder(const struct guest_job *j)
{
    return j->cache_dir && access(j->cache_dir, F_OK) == 0 ? job_cache_open(j) : NULL;
}

static void text_out(const struct guest_file *f, const struct program *p, const char *digest,
                     const struct compiled *c, struct buf *out)
{
    const struct artifact *a = &p->artifact;
    char size[SIZE_TEXT_SIZE];
    autostrv needs = STRV_INIT;

    size_bytes_format(p->len, size);
    contract_needs(a, &needs);
    buf_addf(out, "%s\n", f->name);
    buf_addf(out, "Contract:  %s: %s\n", contract_name(p->contract), p->why);
    buf_addf(out, "Size:      %s (%zu bytes)\n", size, p->len);
    buf_addf(out, "Digest:    %s\n", digest);
    if (c->is_known)
        buf_addf(out, "Compiled:  %s%s%s%s\n", c->for_run ? "for run" : "",
                 c->for_run && c->for_serve ? ", " : "", c->for_serve ? "for serve" : "",
                 c->for_run || c->for_serve ? "" : "not yet");
    guest_command_describe(&p->command, 10, out);
    buf_addstr(out, "May need:  ");
    for (size_t i = 0; i < needs.n; i++)
        buf_addf(out, "%s%s\n", i ? "           " : "", needs.v[i]);
    if (!needs.n)
        buf_addstr(out, "nothing\n");
    buf_addf(out, "Imports:%s\n", a->n_imports ? "" : "   none");
    for (size_t i = 0; i < a->n_imports; i++)
        item_text(out, &a->imports[i], contract_import_missing(a, &a->imports[i]));
    buf_addf(out, "Exports:%s\n", a->n_exports ? "" : "   none");
    for (size_t i = 0; i < a->n_exports; i++)
        item_text(out, &a->exports[i], NULL);
}

static void items_json(struct json_writer *w, const char *key, const struct artifact *a,
                       const struct artifact_item *items, size_t n)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        if (items[i].space)
            json_key_str(w, "module", items[i].space);
        json_key_str(w, "name", items[i].name);
        json_key_str(w, "kind", items[i].kind);
        if (items[i].type[0])
            json_key_str(w, "type", items[i].type);
        if (items == a->imports) {
            const char *missing = contract_import_missing(a, &items[i]);

            json_key_bool(w, "offered", !missing);
            if (missing)
                json_key_str(w, "offered_by", missing);
        }
        json_end_object(w);
    }
    json_end_array(w);
}

static void json_out(const struct guest_file *f, const struct program *p, const char *digest,
                     const struct compiled *c, struct json_writer *w)
{
    const struct artifact *a = &p->artifact;
    autostrv needs = STRV_INIT;

    contract_needs(a, &needs);
    json_begin_object(w);
    json_key_str(w, "file", f->name);
    json_key_str(w, "contract", contract_name(p->contract));
    json_key_str(w, "reason", p->why);
    json_key_bool(w, "component", a->is_component);
    json_key_uint(w, "size", p->len);
    json_key_str(w, "digest", digest);
    if (c->is_known) {
        json_key(w, "compiled");
        json_begin_object(w);
        json_key_bool(w, "run", c->for_run);
        json_key_bool(w, "serve", c->for_serve);
        json_end_object(w);
    }
    if (p->command.entrypoint.n) {
        json_key(w, "command");
        guest_command_encode(&p->command, w);
    }
    json_key_strings(w, "may_need", &needs);
    items_json(w, "imports", a, a->imports, a->n_imports);
    items_json(w, "exports", a, a->exports, a->n_exports);
    json_end_object(w);
}

int job_inspect(const struct guest_job *j)
{
    AUTO(cache) cache = cache_find_folder(j);
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    int status = 0;

    for (size_t i = 0; i < j->n_files; i++) {
        const struct guest_file *f = &j->files[i];
        char digest[DIGEST_TEXT_SIZE];
        struct compiled compiled;
        struct json_writer w;
        struct program p;
        struct digest d;

        if (program_open(f->fd, f->image, f->command, true, &p, &e) < 0) {
            status = job_fail(j, f->name, &e);
            continue;
        }
        program_digest(&p, &d);
        digest_format(&d, digest);
        compiled = compiled_find(j, &p, cache);
        json_writer_init(&w, &out, true);
        if (j->is_json) {
            json_out(f, &p, digest, &compiled, &w);
            json_writer_finish(&w, &e);
        } else {
            text_out(f, &p, digest, &compiled, &out);
        }
        program_done(&p);
    }
    if (fd_write_all(STDOUT_FILENO, buf_str(&out), out.len, &e) < 0)
        return job_fail(j, "standard output", &e);
    return status;
}

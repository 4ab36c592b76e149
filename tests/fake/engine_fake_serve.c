/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_fake_serve.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/util.h"

struct engine_service {
    atomic_int refs;
};

static atomic_int all_refs;

int fake_service_refs(void)
{
    return atomic_load(&all_refs);
}

int engine_service_new(struct engine *en, struct engine_code *c,
                       const struct engine_service_options *o, struct engine_service **ret,
                       struct err *e)
{
    (void)en;
    (void)c;
    (void)o;
    (void)e;
    *ret = xcalloc(1, sizeof(**ret));
    engine_service_ref(*ret);
    return 0;
}

struct engine_service *engine_service_ref(struct engine_service *s)
{
    atomic_fetch_add(&s->refs, 1);
    atomic_fetch_add(&all_refs, 1);
    return s;
}

void engine_service_unref(struct engine_service *s)
{
    if (!s)
        return;
    atomic_fetch_sub(&all_refs, 1);
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        free(s);
}

struct text engine_request_header(const struct engine_request *r, const char *name)
{
    const struct fake_header *h = r->headers;

    for (; h && h->name; h++)
        if (str_eq(h->name, name))
            return text_of(h->value);
    return (struct text){0};
}

void engine_request_headers(const struct engine_request *r,
                            void (*each)(void *ctx, struct text name, struct text value), void *ctx)
{
    const struct fake_header *h = r->headers;

    for (; h && h->name; h++)
        each(ctx, text_of(h->name), text_of(h->value));
}

void engine_cgi_status(struct engine_cgi_head *h, unsigned status)
{
    h->status = status;
}

void engine_cgi_header(struct engine_cgi_head *h, struct text name, struct text value)
{
    size_t used = strlen(h->lines);

    snprintf(h->lines + used, sizeof(h->lines) - used, "%.*s: %.*s\n", (int)name.len, name.data,
             (int)value.len, value.data);
}

/* ---- A server that serves nobody ---- */

int engine_server_new(const struct engine_server_options *o, struct engine_server **ret,
                      struct err *e)
{
    (void)o;
    (void)ret;
    return err_set(e, -ENOTSUP, "FakeEngine", "the stand-in engine serves nobody");
}

int engine_server_tls(struct engine_server *s, const char *cert, size_t cert_len, const char *key,
                      size_t key_len, struct err *e)
{
    (void)s;
    (void)cert;
    (void)cert_len;
    (void)key;
    (void)key_len;
    return err_set(e, -ENOTSUP, "FakeEngine", "the stand-in engine serves nobody");
}

int engine_server_run(struct engine_server *s, unsigned thread, uint64_t idle_ms, bool *ret_is_idle,
                      struct err *e)
{
    (void)s;
    (void)thread;
    (void)idle_ms;
    (void)ret_is_idle;
    return err_set(e, -ENOTSUP, "FakeEngine", "the stand-in engine serves nobody");
}

void engine_server_drain(struct engine_server *s)
{
    (void)s;
}

void engine_server_stop(struct engine_server *s)
{
    (void)s;
}

void engine_server_figures(const struct engine_server *s, struct engine_server_figures *ret)
{
    (void)s;
    *ret = (struct engine_server_figures){.connections = 3};
}

void engine_server_free(struct engine_server *s)
{
    (void)s;
}

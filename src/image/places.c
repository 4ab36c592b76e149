/* SPDX-License-Identifier: Apache-2.0 */
#include "image/places.h"

#include "base/buf.h"
#include "base/log.h"

#define CAUSE_LIMIT 150 /* bytes of what one of several places said */

struct causes {
    struct buf text;
    size_t n;
};

static void cause_add(struct causes *c, const char *name, const struct err *e)
{
    log_info("%s: %s", name, e->msg);
    buf_addf(&c->text, "%s%.*s", c->n++ ? "; " : "", CAUSE_LIMIT, e->msg);
}

/* What another place does not help against. */
static bool is_of_this_machine(const struct err *e)
{
    return str_eq(e->reason, "DiskFull") || str_eq(e->reason, "StoreFailed") ||
           str_eq(e->reason, "BadAuthFile");
}

struct asking {
    const struct registries *registries;
    place_ask_fn ask;
    void *ctx;
    struct causes causes;
};

/* 1 when one has it; 0 when each place has failed, *e from the last. */
static int name_ask(struct asking *a, const char *name, bool is_last_name, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    autosources sources = {0};

    TRY(reference_parse(name, &r, e));
    if (registries_sources(a->registries, &r, &sources, e) < 0) {
        cause_add(&a->causes, name, e);
        return 0;
    }
    for (size_t i = 0; i < sources.n; i++) {
        bool is_last = is_last_name && i + 1 == sources.n;
        int result;

        *e = ERR_INIT;
        result = a->ask(a->ctx, &r, &sources.v[i], is_last, e);
        if (result >= 0)
            return 1;
        if (is_of_this_machine(e))
            return result;
        cause_add(&a->causes, name, e);
    }
    return 0;
}

int places_ask(const struct strv *names, const struct registries *registries, place_ask_fn ask,
               void *ctx, struct err *e)
{
    struct asking a = {.registries = registries, .ask = ask, .ctx = ctx};
    int r = 0;

    for (size_t i = 0; i < names->n && !r; i++) {
        *e = ERR_INIT;
        r = name_ask(&a, names->v[i], i + 1 == names->n, e);
    }
    if (!r)
        r = a.causes.n == 1
                ? e->code
                : err_set(e, e->code, e->reason, "%.150s: none of %zu places has it: %s",
                          names->v[0], a.causes.n, buf_str(&a.causes.text));
    buf_done(&a.causes.text);
    return r < 0 ? r : 0;
}

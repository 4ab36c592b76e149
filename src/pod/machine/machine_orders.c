/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "pod/machine/machine_state.h"

struct pod_order *pod_order_add(struct pod_turn *t, enum pod_order_kind kind, size_t container)
{
    struct pod_orders *o = t->orders;
    struct pod_order *added;

    if (o->n == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 16;
        o->v = xrealloc(o->v, o->cap, sizeof(*o->v));
    }
    added = &o->v[o->n++];
    *added = (struct pod_order){.kind = kind, .container = container};
    if (container != POD_ORDER_OF_POD)
        added->attempt = t->m->c[container].attempt;
    return added;
}

void pod_say(struct pod_turn *t, bool is_warning, size_t container, const char *reason,
             const char *fmt, ...)
{
    struct pod_order *o = pod_order_add(t, POD_ORDER_EVENT, container);
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    o->is_warning = is_warning;
    o->reason = reason;
    o->text = buf_take(&text);
}

void pod_orders_clear(struct pod_orders *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->v[i].text);
    o->n = 0;
}

void pod_orders_done(struct pod_orders *o)
{
    pod_orders_clear(o);
    free(o->v);
    *o = POD_ORDERS_INIT;
}

char *pod_text_copy(const char *text)
{
    autobuf out = BUF_INIT;
    struct text part;

    if (!text)
        return NULL;
    part = (struct text){text, strnlen(text, POD_TEXT_LIMIT)};
    /* Not within a character. */
    if (part.len == POD_TEXT_LIMIT && text[part.len])
        while (part.len && ((unsigned char)text[part.len] & 0xc0) == 0x80)
            part.len--;
    text_lossy_add(part, &out);
    return buf_take(&out);
}

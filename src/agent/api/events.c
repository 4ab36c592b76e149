/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/events.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"

/* Kubernetes' limit of an event's message. */
#define TEXT_LIMIT 1024

const char *const event_fields[] = {"metadata.name",
                                    "metadata.namespace",
                                    "involvedObject.kind",
                                    "involvedObject.namespace",
                                    "involvedObject.name",
                                    "involvedObject.uid",
                                    "involvedObject.fieldPath",
                                    "reason",
                                    "type",
                                    NULL};

struct event {
    struct event *next, *prev; /* the one that happened last is the last */
    char *name;                /* made of all that makes two events the same */
    char *kind, *space, *object, *uid, *path, *reason, *text;
    bool is_warning;
    uint64_t first_ns, last_ns; /* realtime */
    uint64_t due_ns;            /* when it is forgotten, monotonic */
    int64_t count;
};

struct events {
    struct events_options options;
    struct event *first, *last;
    size_t n;
    struct loop_timer *timer;
    char *host;
};

static void event_free(struct event *v)
{
    free(v->name);
    free(v->kind);
    free(v->space);
    free(v->object);
    free(v->uid);
    free(v->path);
    free(v->reason);
    free(v->text);
    free(v);
}

static void unlink_event(struct events *s, struct event *v)
{
    *(v->prev ? &v->prev->next : &s->first) = v->next;
    *(v->next ? &v->next->prev : &s->last) = v->prev;
    v->next = v->prev = NULL;
    s->n--;
}

static void append_event(struct events *s, struct event *v)
{
    v->prev = s->last;
    *(s->last ? &s->last->next : &s->first) = v;
    s->last = v;
    s->n++;
}

/* ---- As Kubernetes has them ---- */

static void metadata_write(struct json_writer *w, const struct event *v, uint64_t version)
{
    char number[TEXT_UINT_SIZE + 1] = "", time[CLOCK_RFC3339_SIZE];
    struct text t = text_uint_format(version, number);

    clock_rfc3339_format((int64_t)v->first_ns, time);
    json_key(w, "metadata");
    json_begin_object(w);
    json_key_str(w, "name", v->name);
    json_key_str(w, "namespace", v->space);
    json_key(w, "resourceVersion");
    json_strn(w, t.data, t.len);
    json_key_str(w, "creationTimestamp", time);
    json_end_object(w);
}

static void subject_write(struct json_writer *w, const struct event *v)
{
    json_key(w, "involvedObject");
    json_begin_object(w);
    json_key_str(w, "kind", v->kind);
    json_key_str(w, "namespace", v->space);
    json_key_str(w, "name", v->object);
    json_key_str(w, "uid", v->uid);
    json_key_str(w, "apiVersion", "v1");
    if (*v->path)
        json_key_str(w, "fieldPath", v->path);
    json_end_object(w);
}

static void event_write(const struct events *s, const struct event *v, uint64_t version,
                        struct buf *out)
{
    char time[CLOCK_RFC3339_SIZE];
    struct json_writer w;

    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key_str(&w, "kind", "Event");
    json_key_str(&w, "apiVersion", "v1");
    metadata_write(&w, v, version);
    subject_write(&w, v);
    json_key_str(&w, "reason", v->reason);
    json_key_str(&w, "message", v->text);
    json_key(&w, "source");
    json_begin_object(&w);
    json_key_str(&w, "component", "wherry-agent");
    json_key_str(&w, "host", s->host);
    json_end_object(&w);
    clock_rfc3339_format((int64_t)v->first_ns, time);
    json_key_str(&w, "firstTimestamp", time);
    clock_rfc3339_format((int64_t)v->last_ns, time);
    json_key_str(&w, "lastTimestamp", time);
    json_key_int(&w, "count", v->count);
    json_key_str(&w, "type", v->is_warning ? "Warning" : "Normal");
    json_key(&w, "eventTime");
    json_null_value(&w);
    json_key_str(&w, "reportingComponent", "wherry-agent");
    json_key_str(&w, "reportingInstance", s->host);
    json_end_object(&w);
}

static struct watch_item *item_make(struct events *s, const struct event *v)
{
    uint64_t version = s->options.version(s->options.ctx);
    const char *values[] = {v->name,  v->space,  v->kind,
                            v->space, v->object, v->uid,
                            v->path,  v->reason, v->is_warning ? "Warning" : "Normal"};
    struct pod_pair pairs[ARRAY_SIZE(values)];
    struct pod_pairs none = {0}, fields = {pairs, ARRAY_SIZE(pairs)};
    struct buf json = BUF_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        pairs[i] = (struct pod_pair){event_fields[i], values[i]};
    event_write(s, v, version, &json);
    return watch_item_new(version, &none, &fields, &json);
}

/* ---- The row ---- */

static void timer_renew(struct events *s)
{
    if (s->first)
        loop_timer_set(s->timer, s->first->due_ns);
    else
        loop_timer_clear(s->timer);
}

static void drop_first(struct events *s)
{
    struct event *v = s->first;

    unlink_event(s, v);
    watch_feed_remove(s->options.feed, item_make(s, v));
    event_free(v);
}

static void on_age(void *ctx)
{
    struct events *s = ctx;
    uint64_t now = clock_monotonic_ns();

    while (s->first && s->first->due_ns <= now)
        drop_first(s);
    timer_renew(s);
}

struct events *events_new(const struct events_options *o)
{
    struct events *s = xcalloc(1, sizeof(*s));

    s->options = *o;
    if (!s->options.age_ns)
        s->options.age_ns = EVENTS_AGE_NS;
    s->host = xstrdup(o->host);
    s->timer = loop_timer_new(o->loop, on_age, s);
    return s;
}

void events_free(struct events *s)
{
    if (!s)
        return;
    while (s->first) {
        struct event *v = s->first;

        unlink_event(s, v);
        event_free(v);
    }
    loop_timer_free(s->timer);
    free(s->host);
    free(s);
}

/* Text of strangers that is UTF-8, and not too long. */
static char *text_copy(const char *text, size_t limit)
{
    struct buf b = BUF_INIT;
    size_t len = strnlen(text, limit);

    /* Not in the middle of a character. */
    while (len && len == limit && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    text_lossy_add((struct text){text, len}, &b);
    return buf_take(&b);
}

static char *name_make(const struct event_subject *about, const char *path, bool is_warning,
                       const char *reason, const char *text)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest d;
    autobuf key = BUF_INIT;

    buf_addf(&key, "%s\n%s\n%s\n%s\n%s\n%d\n%s\n%s", about->kind, about->space, about->name,
             about->uid, path, is_warning, reason, text);
    digest_bytes(key.data, key.len, &d);
    digest_hex_format(&d, hex);
    return xasprintf("%s.%.16s", about->name, hex);
}

static struct event *event_find(const struct events *s, const char *space, const char *name)
{
    /* Most are new, and the feed knows that quickly. */
    if (!watch_feed_find(s->options.feed, space, name))
        return NULL;
    for (struct event *v = s->last; v; v = v->prev)
        if (str_eq(v->name, name) && str_eq(v->space, space))
            return v;
    return NULL;
}

void events_add(struct events *s, const struct event_subject *about, bool is_warning,
                const char *reason, const char *text)
{
    autofree char *path =
        about->container ? xasprintf("spec.containers{%s}", about->container) : xstrdup("");
    autofree char *copy = text_copy(text, TEXT_LIMIT);
    autofree char *name = name_make(about, path, is_warning, reason, copy);
    struct event *v = event_find(s, about->space, name);

    if (v) {
        unlink_event(s, v);
    } else {
        if (s->n == EVENTS_LIMIT)
            drop_first(s);
        v = xcalloc(1, sizeof(*v));
        *v = (struct event){.name = take_ptr(name),
                            .kind = xstrdup(about->kind),
                            .space = xstrdup(about->space),
                            .object = xstrdup(about->name),
                            .uid = xstrdup(about->uid),
                            .path = take_ptr(path),
                            .reason = xstrdup(reason),
                            .text = take_ptr(copy),
                            .is_warning = is_warning,
                            .first_ns = clock_realtime_ns()};
    }
    v->count++;
    v->last_ns = clock_realtime_ns();
    v->due_ns = clock_monotonic_ns() + s->options.age_ns;
    append_event(s, v);
    watch_feed_put(s->options.feed, item_make(s, v));
    timer_renew(s);
}

size_t events_count(const struct events *s)
{
    return s->n;
}

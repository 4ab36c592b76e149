/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "manifest/objects.h"

static void pairs_write(struct json_writer *w, const char *key, const struct pod_pairs *p)
{
    if (!p->n)
        return;
    json_key(w, key);
    json_begin_object(w);
    for (size_t i = 0; i < p->n; i++)
        json_key_str(w, p->v[i].name, p->v[i].value);
    json_end_object(w);
}

static void key_write(struct json_writer *w, const char *key, const char *value)
{
    if (value)
        json_key_str(w, key, value);
}

static void metadata_write(struct json_writer *w, const struct object *o)
{
    json_key(w, "metadata");
    json_begin_object(w);
    json_key_str(w, "name", o->name);
    json_key_str(w, "namespace", o->space);
    key_write(w, "uid", o->uid);
    key_write(w, "resourceVersion", o->version);
    key_write(w, "creationTimestamp", o->created);
    key_write(w, "deletionTimestamp", o->deleted);
    if (o->deletion_grace_s >= 0)
        json_key_int(w, "deletionGracePeriodSeconds", o->deletion_grace_s);
    pairs_write(w, "labels", &o->labels);
    pairs_write(w, "annotations", &o->annotations);
    json_end_object(w);
}

/* At least as long as the text, but for what has to be escaped in labels and annotations. */
static size_t room_for(const struct object *o, const char *status)
{
    size_t room = 1024 + strlen(o->name) + strlen(o->space) + (status ? strlen(status) : 0);

    for (size_t i = 0; i < o->labels.n; i++)
        room += strlen(o->labels.v[i].name) + strlen(o->labels.v[i].value) + 8;
    for (size_t i = 0; i < o->annotations.n; i++)
        room += strlen(o->annotations.v[i].name) + 6 * strlen(o->annotations.v[i].value) + 8;
    for (size_t i = 0; i < o->n_parts; i++)
        room += strlen(o->parts[i].key) + o->parts[i].len + 8;
    return room;
}

void object_encode(const struct object *o, const char *status, struct buf *out)
{
    struct json_writer w;

    buf_reserve(out, room_for(o, status));
    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key_str(&w, "apiVersion", "v1");
    json_key_str(&w, "kind", object_kind_name(o->kind));
    metadata_write(&w, o);
    for (size_t i = 0; i < o->n_parts; i++) {
        json_key(&w, o->parts[i].key);
        json_raw(&w, o->parts[i].json, o->parts[i].len);
    }
    if (status) {
        json_key(&w, "status");
        json_raw(&w, status, strlen(status));
    }
    json_end_object(&w);
}

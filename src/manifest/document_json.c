/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that were read: finding things in them, and writing them as JSON. */
#include "base/json.h"
#include "manifest/document.h"

const struct document_node *document_find(const struct document_node *map, const char *key)
{
    if (map && map->type == DOCUMENT_MAP)
        for (size_t i = 0; i < map->n; i++)
            if (str_eq(map->entries[i].key, key))
                return map->entries[i].value;
    return NULL;
}

/* A key may have dots in it ("wherry.dev/allow-net"): the longest that fits is meant. */
static const struct document_entry *member_locate(const struct document_node *map, const char *path,
                                                  size_t *ret_len)
{
    const struct document_entry *best = NULL;

    for (size_t i = 0; i < map->n; i++) {
        size_t len = strlen(map->entries[i].key);

        if (strncmp(path, map->entries[i].key, len) == 0 && strchr(".[:", path[len]) &&
            (!best || len > *ret_len)) {
            best = &map->entries[i];
            *ret_len = len;
        }
    }
    return best;
}

static const struct document_entry *step_locate(const struct document_node *node, const char **path)
{
    const struct document_entry *found = NULL;
    size_t len = 0;

    if (**path == '.' && node->type == DOCUMENT_MAP) {
        found = member_locate(node, *path + 1, &len);
        *path += 1 + len;
    } else if (**path == '[' && node->type == DOCUMENT_LIST) {
        char *end;
        unsigned long i = strtoul(*path + 1, &end, 10);

        found = *end == ']' && i < node->n ? &node->entries[i] : NULL;
        *path = end + (*end == ']');
    }
    return found;
}

void document_locate(const struct document_node *root, const char *path, unsigned *ret_line,
                     unsigned *ret_column)
{
    const struct document_entry *entry;

    *ret_line = root->line;
    *ret_column = root->column;
    path += *path == '$';
    for (; (entry = step_locate(root, &path)); root = entry->value) {
        *ret_line = entry->line;
        *ret_column = entry->column;
    }
}

/* The writer's place, as a text that grows and shrinks. */
struct writing {
    struct json_writer w;
    struct buf path;
    const struct document_edit *edits;
    size_t n_edits;
};

static const struct document_edit *edit_find(const struct writing *w, const char *key)
{
    for (size_t i = 0; i < w->n_edits; i++)
        if (str_eq(w->edits[i].key, key) && str_eq(w->edits[i].path, buf_str(&w->path)))
            return &w->edits[i];
    return NULL;
}

static void node_write(struct writing *w, const struct document_node *node);

static void map_write(struct writing *w, const struct document_node *map)
{
    size_t len = w->path.len;

    json_begin_object(&w->w);
    for (size_t i = 0; i < map->n; i++) {
        const struct document_entry *entry = &map->entries[i];

        if (w->n_edits && edit_find(w, entry->key))
            continue;
        json_key(&w->w, entry->key);
        if (w->n_edits)
            buf_addf(&w->path, ".%s", entry->key);
        node_write(w, entry->value);
        w->path.len = len;
        if (w->n_edits)
            buf_terminate(&w->path);
    }
    for (size_t i = 0; i < w->n_edits; i++) {
        const struct document_edit *edit = &w->edits[i];

        if (!edit->json || !str_eq(edit->path, buf_str(&w->path)))
            continue;
        json_key(&w->w, edit->key);
        json_raw(&w->w, edit->json, strlen(edit->json));
    }
    json_end_object(&w->w);
}

static void list_write(struct writing *w, const struct document_node *list)
{
    size_t len = w->path.len;

    json_begin_array(&w->w);
    for (size_t i = 0; i < list->n; i++) {
        if (w->n_edits)
            buf_addf(&w->path, "[%zu]", i);
        node_write(w, list->entries[i].value);
        w->path.len = len;
        if (w->n_edits)
            buf_terminate(&w->path);
    }
    json_end_array(&w->w);
}

static void node_write(struct writing *w, const struct document_node *node)
{
    switch (node->type) {
    case DOCUMENT_MAP:
        map_write(w, node);
        break;
    case DOCUMENT_LIST:
        list_write(w, node);
        break;
    case DOCUMENT_STRING:
        json_str(&w->w, node->text);
        break;
    case DOCUMENT_NULL:
    case DOCUMENT_BOOL:
    case DOCUMENT_NUMBER:
        json_raw(&w->w, node->text, strlen(node->text));
        break;
    }
}

void document_json_add(const struct document_node *node, const char *at,
                       const struct document_edit *edits, size_t n_edits, struct buf *out)
{
    struct writing w = {.edits = edits, .n_edits = n_edits};
    size_t room = node->bytes;

    for (size_t i = 0; i < n_edits; i++)
        room += strlen(edits[i].key) + (edits[i].json ? strlen(edits[i].json) : 0) + 8;
    buf_reserve(out, room);
    if (n_edits)
        buf_addstr(&w.path, at);
    json_writer_init(&w.w, out, false);
    node_write(&w, node);
    buf_done(&w.path);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Events of libyaml to trees. */
#include "manifest/document.h"

#include <stdio.h>
#include <yaml.h>

#include "manifest/document_scalar.h"

#define TAG "tag:yaml.org,2002:"

struct anchor {
    char *name;
    const struct document_node *node; /* NULL while it is being read */
};

struct document_reader {
    yaml_parser_t parser;
    const char *name;
    struct text text;
    size_t documents, nodes, bytes, merged; /* so far, for the limits */
    struct arena *arena;                    /* of the document that is being read */
    struct anchor anchors[DOCUMENT_LIMIT_ANCHORS];
    size_t n_anchors;
    bool is_done;
};

/* The entries of one list or map while it is read: first those that are written in it, then those
 * that merge keys bring. */
struct entries {
    struct document_entry *v;
    size_t n, cap, n_own;
};

static int bad(const struct document_reader *r, int code, yaml_mark_t at, struct err *e,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static int bad(const struct document_reader *r, int code, yaml_mark_t at, struct err *e,
               const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    text_mute(text.data, text.len, false);
    return err_set(e, code, code == -EFBIG ? "TooLarge" : "BadYaml", "%.150s:%zu:%zu: %.300s",
                   r->name, at.line + 1, at.column + 1, buf_str(&text));
}

int document_reader_open(struct text text, const char *name, struct document_reader **ret,
                         struct err *e)
{
    struct document_reader *r;

    if (text.len > DOCUMENT_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge", "%.150s: larger than %u MiB", name,
                       DOCUMENT_LIMIT_BYTES >> 20);
    r = xcalloc(1, sizeof(*r));
    BUG_ON(!yaml_parser_initialize(&r->parser));
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)(text.data ? text.data : ""),
                                 text.len);
    /* UTF-16 is refused with its place, instead of guessed. */
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    r->name = name;
    r->text = text;
    *ret = r;
    return 0;
}

static void arena_end(struct arena *a)
{
    if (a)
        arena_wipe(a);
    arena_free(a);
}

static void anchors_clear(struct document_reader *r)
{
    while (r->n_anchors)
        free(r->anchors[--r->n_anchors].name);
}

void document_reader_free(struct document_reader *r)
{
    if (!r)
        return;
    anchors_clear(r);
    arena_end(r->arena);
    yaml_parser_delete(&r->parser);
    free(r);
}

void document_free(struct document *d)
{
    struct arena *a = d ? d->arena : NULL;

    arena_end(a);
}

/* ---- Events ---- */

static void event_done(yaml_event_t *ev)
{
    if (ev->type == YAML_SCALAR_EVENT)
        explicit_bzero(ev->data.scalar.value, ev->data.scalar.length);
    yaml_event_delete(ev);
}

#define autoevent __attribute__((cleanup(event_done))) yaml_event_t

/* Of the reader libyaml only says how many bytes came before. */
static yaml_mark_t offset_mark(const struct document_reader *r, size_t offset)
{
    yaml_mark_t m = {0};

    for (size_t i = 0; i < offset && i < r->text.len; i++) {
        m.column++;
        if (r->text.data[i] == '\n')
            m = (yaml_mark_t){.line = m.line + 1};
    }
    return m;
}

static int event_next(struct document_reader *r, yaml_event_t *ev, struct err *e)
{
    const yaml_parser_t *p = &r->parser;
    const char *context;

    if (yaml_parser_parse(&r->parser, ev))
        return 0;
    memset(ev, 0, sizeof(*ev));
    if (p->error == YAML_READER_ERROR)
        return bad(r, -EINVAL, offset_mark(r, p->problem_offset), e,
                   "not UTF-8 text, or a character that YAML does not allow (%s)", p->problem);
    BUG_ON(p->error == YAML_MEMORY_ERROR);
    context = p->context;
    return bad(r, -EINVAL, p->problem_mark, e, "%s%s%s%s", p->problem ? p->problem : "bad syntax",
               context ? " (" : "", context ? context : "", context ? ")" : "");
}

/* ---- Sizes ---- */

static size_t string_bytes(const char *s)
{
    size_t bytes = 2;

    for (; *s; s++)
        bytes += (unsigned char)*s < 0x20 ? 6 : *s == '"' || *s == '\\' ? 2 : 1;
    return bytes;
}

/* Counts what a value adds to the list or map around it. */
static int size_add(const struct document_reader *r, struct document_node *n, const char *key,
                    const struct document_node *value, yaml_mark_t at, struct err *e)
{
    n->nodes += value->nodes;
    n->bytes += value->bytes + (key ? string_bytes(key) + 2 : 1);
    if (value->depth + 1 > n->depth)
        n->depth = value->depth + 1;
    if (r->nodes + n->nodes > DOCUMENT_LIMIT_NODES)
        return bad(r, -EFBIG, at, e, "more than %d values, with those that aliases stand for",
                   DOCUMENT_LIMIT_NODES);
    if (r->bytes + n->bytes > DOCUMENT_LIMIT_JSON)
        return bad(r, -EFBIG, at, e, "more than %u MiB, with what aliases stand for",
                   DOCUMENT_LIMIT_JSON >> 20);
    if (n->depth > DOCUMENT_LIMIT_DEPTH)
        return bad(r, -EFBIG, at, e, "nested deeper than %d levels", DOCUMENT_LIMIT_DEPTH);
    return 0;
}

static struct document_node *node_new(struct document_reader *r, yaml_mark_t at)
{
    struct document_node *n = arena_alloc(r->arena, sizeof(*n));

    n->line = (unsigned)at.line + 1;
    n->column = (unsigned)at.column + 1;
    n->nodes = 1;
    n->bytes = 2;
    return n;
}

/* ---- Anchors ---- */

static int anchor_add(struct document_reader *r, const yaml_char_t *name, yaml_mark_t at,
                      struct anchor **ret, struct err *e)
{
    *ret = NULL;
    if (!name)
        return 0;
    if (r->n_anchors == DOCUMENT_LIMIT_ANCHORS)
        return bad(r, -EFBIG, at, e, "more than %d anchors in one document",
                   DOCUMENT_LIMIT_ANCHORS);
    *ret = &r->anchors[r->n_anchors++];
    **ret = (struct anchor){.name = xstrdup((const char *)name)};
    return 0;
}

static int alias_find(struct document_reader *r, const yaml_event_t *ev,
                      const struct document_node **ret, struct err *e)
{
    const char *name = (const char *)ev->data.alias.anchor;

    /* The last one of a name counts. */
    for (size_t i = r->n_anchors; i-- > 0;) {
        if (!str_eq(r->anchors[i].name, name))
            continue;
        if (!r->anchors[i].node)
            return bad(r, -EINVAL, ev->start_mark, e, "an alias inside of what it stands for");
        *ret = r->anchors[i].node;
        return 0;
    }
    /* Neither here nor for tags is the text quoted: it may be a password without its quotes. */
    return bad(r, -EINVAL, ev->start_mark, e,
               "an alias without an anchor before it; write text that begins with '*' in quotes");
}

/* ---- Scalars ---- */

static bool is_tag(const char *tag, const char *name)
{
    return str_starts(tag, TAG) && str_eq(tag + strlen(TAG), name);
}

static int tag_bad(const struct document_reader *r, yaml_mark_t at, struct err *e)
{
    return bad(r, -EINVAL, at, e, "an unknown tag; write text that begins with '!' in quotes");
}

/* A tag may say what a word has to be; it never turns it into something else, but for a string. */
static int tag_check(struct document_reader *r, const char *tag, const struct document_node *n,
                     yaml_mark_t at, struct err *e)
{
    bool is_fit = is_tag(tag, "null")    ? n->type == DOCUMENT_NULL
                  : is_tag(tag, "bool")  ? n->type == DOCUMENT_BOOL
                  : is_tag(tag, "float") ? n->type == DOCUMENT_NUMBER
                  : is_tag(tag, "int")   ? n->type == DOCUMENT_NUMBER && !strpbrk(n->text, ".e")
                                         : false;

    if (is_fit)
        return 0;
    if (is_tag(tag, "null") || is_tag(tag, "bool") || is_tag(tag, "float") || is_tag(tag, "int"))
        return bad(r, -EINVAL, at, e, "the value is no !!%s", tag + strlen(TAG));
    return tag_bad(r, at, e);
}

static int scalar_read(struct document_reader *r, const yaml_event_t *ev,
                       const struct document_node **ret, struct err *e)
{
    const char *tag = (const char *)ev->data.scalar.tag;
    const char *value = (const char *)ev->data.scalar.value;
    struct document_node *n = node_new(r, ev->start_mark);
    struct anchor *anchor = NULL;
    bool is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

    TRY(anchor_add(r, ev->data.scalar.anchor, ev->start_mark, &anchor, e));
    if (strlen(value) != ev->data.scalar.length)
        return bad(r, -EINVAL, ev->start_mark, e, "a text with a NUL character");
    n->type = DOCUMENT_STRING;
    n->text = arena_strndup(r->arena, value, ev->data.scalar.length);
    if (tag ? !str_eq(tag, "!") && !is_tag(tag, "str") : is_plain) {
        if (document_word_resolve(r->arena, n->text, n) < 0)
            return bad(r, -EINVAL, ev->start_mark, e, "'%s' is a number that JSON does not have",
                       n->text);
        if (tag)
            TRY(tag_check(r, tag, n, ev->start_mark, e));
    }
    n->bytes = string_bytes(n->text);
    if (anchor)
        anchor->node = n;
    *ret = n;
    return 0;
}

/* ---- Lists and maps ---- */

static void entries_add(struct entries *s, struct document_entry entry)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->v = xrealloc(s->v, s->cap, sizeof(*s->v));
    }
    s->v[s->n++] = entry;
}

static int node_read(struct document_reader *r, const yaml_event_t *ev, int depth,
                     const struct document_node **ret, struct err *e);

static int collection_begin(struct document_reader *r, const yaml_event_t *ev, int depth,
                            const yaml_char_t *anchor, const yaml_char_t *tag, const char *kind,
                            struct anchor **ret, struct err *e)
{
    if (depth > DOCUMENT_LIMIT_DEPTH)
        return bad(r, -EFBIG, ev->start_mark, e, "nested deeper than %d levels",
                   DOCUMENT_LIMIT_DEPTH);
    if (tag && !str_eq((const char *)tag, "!") && !is_tag((const char *)tag, kind))
        return tag_bad(r, ev->start_mark, e);
    return anchor_add(r, anchor, ev->start_mark, ret, e);
}

static void entries_move(struct document_reader *r, struct entries *s, struct document_node *n)
{
    n->entries = arena_array(r->arena, s->n, sizeof(*n->entries));
    n->n = s->n;
    if (s->n)
        memcpy(n->entries, s->v, s->n * sizeof(*s->v));
}

static int list_read_into(struct document_reader *r, int depth, struct document_node *n,
                          struct entries *s, struct err *e)
{
    for (;;) {
        const struct document_node *value = NULL;
        autoevent ev = {0};

        TRY(event_next(r, &ev, e));
        if (ev.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        TRY(node_read(r, &ev, depth + 1, &value, e));
        TRY(size_add(r, n, NULL, value, ev.start_mark, e));
        entries_add(s, (struct document_entry){.line = (unsigned)ev.start_mark.line + 1,
                                               .column = (unsigned)ev.start_mark.column + 1,
                                               .value = value});
    }
}

static int list_read(struct document_reader *r, const yaml_event_t *ev, int depth,
                     const struct document_node **ret, struct err *e)
{
    struct document_node *n = node_new(r, ev->start_mark);
    struct entries s = {0};
    struct anchor *anchor = NULL;
    int result;

    TRY(collection_begin(r, ev, depth, ev->data.sequence_start.anchor, ev->data.sequence_start.tag,
                         "seq", &anchor, e));
    n->type = DOCUMENT_LIST;
    result = list_read_into(r, depth, n, &s, e);
    if (result == 0) {
        entries_move(r, &s, n);
        if (anchor)
            anchor->node = n;
        *ret = n;
    }
    free(s.v);
    return result;
}

/* What a merge key brings, behind what is there: a map, or a list of maps of which the first wins.
 */
static int merge_add(struct document_reader *r, const struct document_node *value, yaml_mark_t at,
                     struct entries *s, struct err *e)
{
    if (value->type == DOCUMENT_MAP) {
        /* Counted here too: what is merged is held until the map ends. */
        r->merged += value->n;
        if (r->merged > DOCUMENT_LIMIT_MERGED)
            return bad(r, -EFBIG, at, e, "merge keys bring more than %d values",
                       DOCUMENT_LIMIT_MERGED);
        for (size_t i = 0; i < value->n; i++)
            entries_add(s, value->entries[i]);
        return 0;
    }
    if (value->type != DOCUMENT_LIST)
        return bad(r, -EINVAL, at, e, "'<<' wants a map, or a list of maps");
    for (size_t i = 0; i < value->n; i++) {
        if (value->entries[i].value->type != DOCUMENT_MAP)
            return bad(r, -EINVAL, at, e, "'<<' wants a map, or a list of maps");
        TRY(merge_add(r, value->entries[i].value, at, s, e));
    }
    return 0;
}

static int key_read(struct document_reader *r, const yaml_event_t *ev, const char **ret,
                    struct err *e)
{
    const struct document_node *key = NULL;

    if (ev->type == YAML_SCALAR_EVENT)
        TRY(scalar_read(r, ev, &key, e));
    else if (ev->type == YAML_ALIAS_EVENT)
        TRY(alias_find(r, ev, &key, e));
    else
        return bad(r, -EINVAL, ev->start_mark, e, "a key has to be a string, not a list or map");
    BUG_ON(!key);
    if (key->type == DOCUMENT_LIST || key->type == DOCUMENT_MAP || key->type == DOCUMENT_NULL)
        return bad(r, -EINVAL, ev->start_mark, e, "a key has to be a string");
    *ret = key->text;
    return 0;
}

static bool is_merge(const yaml_event_t *ev)
{
    return ev->type == YAML_SCALAR_EVENT && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!ev->data.scalar.tag || is_tag((const char *)ev->data.scalar.tag, "merge")) &&
           str_eq((const char *)ev->data.scalar.value, "<<");
}

static int map_read_into(struct document_reader *r, int depth, struct document_node *n,
                         struct entries *own, struct entries *merged, struct err *e)
{
    for (;;) {
        struct document_entry entry = {0};
        autoevent key = {0};
        autoevent ev = {0};

        TRY(event_next(r, &key, e));
        if (key.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (!is_merge(&key))
            TRY(key_read(r, &key, &entry.key, e));
        TRY(event_next(r, &ev, e));
        TRY(node_read(r, &ev, depth + 1, &entry.value, e));
        if (!entry.key) {
            TRY(merge_add(r, entry.value, ev.start_mark, merged, e));
            continue;
        }
        TRY(size_add(r, n, entry.key, entry.value, ev.start_mark, e));
        entry.line = (unsigned)key.start_mark.line + 1;
        entry.column = (unsigned)key.start_mark.column + 1;
        entries_add(own, entry);
    }
}

static int entry_compare(const void *a, const void *b, void *ctx)
{
    const struct document_entry *v = ctx;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    int order = strcmp(v[i].key, v[j].key);

    return order ? order : (i > j) - (i < j);
}

/* Leaves the first entry of each key; of those that are the map's own there must not be two. */
static int entries_unite(struct document_reader *r, struct document_node *n, struct entries *s,
                         struct err *e)
{
    autofree size_t *order = xcalloc(s->n + 1, sizeof(*order));
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++)
        order[i] = i;
    qsort_r(order, s->n, sizeof(*order), entry_compare, s->v);
    for (size_t i = 1, first = 0; i < s->n; i++) {
        const struct document_entry *a = &s->v[order[first]], *b = &s->v[order[i]];

        if (!str_eq(a->key, b->key)) {
            first = i;
            continue;
        }
        if (order[i] < s->n_own)
            return bad(r, -EINVAL, (yaml_mark_t){.line = b->line - 1, .column = b->column - 1}, e,
                       "the key '%.80s' is there twice, first in line %u", b->key, a->line);
        s->v[order[i]].value = NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (!s->v[i].value)
            continue;
        if (i >= s->n_own)
            TRY(size_add(r, n, s->v[i].key, s->v[i].value,
                         (yaml_mark_t){.line = n->line - 1, .column = n->column - 1}, e));
        s->v[kept++] = s->v[i];
    }
    s->n = kept;
    return 0;
}

static int map_read(struct document_reader *r, const yaml_event_t *ev, int depth,
                    const struct document_node **ret, struct err *e)
{
    struct document_node *n = node_new(r, ev->start_mark);
    struct entries own = {0}, merged = {0};
    struct anchor *anchor = NULL;
    int result;

    TRY(collection_begin(r, ev, depth, ev->data.mapping_start.anchor, ev->data.mapping_start.tag,
                         "map", &anchor, e));
    n->type = DOCUMENT_MAP;
    result = map_read_into(r, depth, n, &own, &merged, e);
    own.n_own = own.n;
    for (size_t i = 0; result == 0 && i < merged.n; i++)
        entries_add(&own, merged.v[i]);
    if (result == 0)
        result = entries_unite(r, n, &own, e);
    if (result == 0) {
        entries_move(r, &own, n);
        if (anchor)
            anchor->node = n;
        *ret = n;
    }
    free(own.v);
    free(merged.v);
    return result;
}

static int node_read(struct document_reader *r, const yaml_event_t *ev, int depth,
                     const struct document_node **ret, struct err *e)
{
    /* The enumeration is libyaml's; a value begins with nothing but these. */
    if (ev->type == YAML_SCALAR_EVENT)
        return scalar_read(r, ev, ret, e);
    if (ev->type == YAML_SEQUENCE_START_EVENT)
        return list_read(r, ev, depth, ret, e);
    if (ev->type == YAML_MAPPING_START_EVENT)
        return map_read(r, ev, depth, ret, e);
    BUG_ON(ev->type != YAML_ALIAS_EVENT);
    return alias_find(r, ev, ret, e);
}

/* ---- Documents ---- */

static int document_read(struct document_reader *r, const yaml_event_t *start,
                         const struct document_node **ret, struct err *e)
{
    autoevent first = {0};
    autoevent end = {0};

    if (r->documents++ == DOCUMENT_LIMIT)
        return bad(r, -EFBIG, start->start_mark, e, "more than %d documents", DOCUMENT_LIMIT);
    TRY(event_next(r, &first, e));
    TRY(node_read(r, &first, 1, ret, e));
    TRY(event_next(r, &end, e));
    BUG_ON(!*ret || end.type != YAML_DOCUMENT_END_EVENT);
    r->nodes += (*ret)->nodes;
    r->bytes += (*ret)->bytes;
    return 0;
}

int document_next(struct document_reader *r, struct document **ret, struct err *e)
{
    *ret = NULL;
    while (!r->is_done) {
        const struct document_node *root = NULL;
        autoevent ev = {0};

        /* Until the document is whole: an error ends the reading. */
        r->is_done = true;
        TRY(event_next(r, &ev, e));
        if (ev.type == YAML_STREAM_END_EVENT)
            break;
        r->is_done = false;
        if (ev.type != YAML_DOCUMENT_START_EVENT)
            continue;
        r->is_done = true;
        if (!r->arena)
            r->arena = arena_new();
        anchors_clear(r);
        TRY(document_read(r, &ev, &root, e));
        BUG_ON(!root);
        r->is_done = false;
        if (root->type == DOCUMENT_NULL)
            continue;
        *ret = arena_alloc(r->arena, sizeof(**ret));
        (*ret)->arena = take_ptr(r->arena);
        (*ret)->root = root;
        break;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: what was decoded can be written, and reads back the same. */
#include <stdint.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct item {
    char *name;
    int64_t number;
};

struct thing {
    char *text;
    struct strv list;
    struct item *items;
    size_t n_items;
};

static const struct json_field item_fields[] = {
    JSON_FIELD("name", FIELD_STRING, struct item, name),
    JSON_FIELD("number", FIELD_INT64, struct item, number),
    {0},
};
static const struct json_field thing_fields[] = {
    JSON_FIELD("text", FIELD_STRING, struct thing, text),
    JSON_FIELD("list", FIELD_STRINGS, struct thing, list),
    {.name = "items",
                                                 .type = FIELD_OBJECTS,
                                                 .offset = offsetof(struct thing, items),
                                                 .count_offset = offsetof(struct thing, n_items),
                                                 .elem_size = sizeof(struct item),
                                                 .fields = item_fields},
    {0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct json_limits limits = {.bytes = 65536, .depth = 20};
    struct thing t = {0}, again = {0};
    struct json_writer w;
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    if (json_decode((const char *)data, size, limits, thing_fields, 0, &t, &e) < 0) {
        BUG_ON(t.text || t.list.v || t.items || !e.msg[0]);
        return 0;
    }
    json_writer_init(&w, &out, false);
    json_begin_object(&w);
    json_key_str(&w, "text", t.text);
    json_key_strings(&w, "list", &t.list);
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
    BUG_ON(json_decode(out.data, out.len, (struct json_limits){1 << 20, 20}, thing_fields,
                       JSON_REFUSE_UNKNOWN, &again, &e) < 0);
    BUG_ON((t.text != NULL) != (again.text != NULL) || again.list.n != t.list.n);
    BUG_ON(t.text && !str_eq(t.text, again.text));
    json_fields_done(thing_fields, &t);
    json_fields_done(thing_fields, &again);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/yaml_write.h"

#include <ctype.h>
#include <yaml.h>

#include "base/arena.h"
#include "manifest/document_scalar.h"

static int sink(void *out, unsigned char *data, size_t len)
{
    buf_add(out, data, len);
    return 1;
}

/* The emitter refuses only what is no document, which no caller can bring about. */
static void emit(yaml_emitter_t *em, yaml_event_t *ev, int is_made)
{
    BUG_ON(!is_made || !yaml_emitter_emit(em, ev));
}

static void scalar(yaml_emitter_t *em, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t ev;

    emit(em, &ev,
         yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
                                      1, 1, style));
}

/* Readers of YAML 1.1 see more in words than document.h does: dates, 1:30 (base 60), merge keys. */
static bool is_ambiguous(const char *text)
{
    AUTO(arena) a = arena_new();
    struct document_node n;

    if (document_word_resolve(a, text, &n) < 0 || n.type != DOCUMENT_STRING)
        return true;
    if (str_eq(text, "<<") || str_eq(text, "="))
        return true;
    return isdigit((unsigned char)text[text[0] == '-' || text[0] == '+']) &&
           (strchr(text, ':') || strchr(text, '-'));
}

static void string(yaml_emitter_t *em, const char *text, bool is_key)
{
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

    if (!is_key && strchr(text, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;
    else if (is_ambiguous(text))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    scalar(em, text, style);
}

static void value_write(yaml_emitter_t *em, const struct json_value *v);

static void list_write(yaml_emitter_t *em, const struct json_value *v)
{
    yaml_event_t ev;

    emit(em, &ev,
         yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE));
    for (size_t i = 0; i < json_value_count(v); i++)
        value_write(em, json_value_item(v, i));
    emit(em, &ev, yaml_sequence_end_event_initialize(&ev));
}

static void map_write(yaml_emitter_t *em, const struct json_value *v)
{
    struct json_value_each i = {0};
    yaml_event_t ev;

    emit(em, &ev, yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE));
    while (json_value_next(v, &i)) {
        string(em, i.key, true);
        value_write(em, i.value);
    }
    emit(em, &ev, yaml_mapping_end_event_initialize(&ev));
}

/* As deep as the JSON's limit allows. */
static void value_write(yaml_emitter_t *em,
                        const struct json_value *v) /* NOLINT(misc-no-recursion) */
{
    autobuf number = BUF_INIT;

    switch (json_value_type(v)) {
    case JSON_VALUE_MAP:
        map_write(em, v);
        break;
    case JSON_VALUE_LIST:
        list_write(em, v);
        break;
    case JSON_VALUE_STRING:
        string(em, json_value_str(v, ""), false);
        break;
    case JSON_VALUE_NUMBER:
        json_value_number_add(v, &number);
        scalar(em, buf_str(&number), YAML_PLAIN_SCALAR_STYLE);
        break;
    case JSON_VALUE_BOOL:
        scalar(em, json_value_bool(v, "") ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
        break;
    case JSON_VALUE_NULL:
        scalar(em, "null", YAML_PLAIN_SCALAR_STYLE);
        break;
    }
}

void yaml_write(const struct json_value *v, struct buf *out)
{
    yaml_emitter_t em;
    yaml_event_t ev;

    BUG_ON(!yaml_emitter_initialize(&em));
    yaml_emitter_set_output(&em, sink, out);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    emit(&em, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
    emit(&em, &ev, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
    value_write(&em, v);
    emit(&em, &ev, yaml_document_end_event_initialize(&ev, 1));
    emit(&em, &ev, yaml_stream_end_event_initialize(&ev));
    yaml_emitter_delete(&em);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is in force, and where it comes from, for people and for programs. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/json.h"
#include "base/text.h"

static const void *field_of(const struct option_spec *o, const void *target)
{
    return (const char *)target + o->offset;
}

static bool number_is_there(const struct option_spec *o, const struct option_number *n)
{
    return n->is_set || o->default_text;
}

/* Nothing for an empty list and what has no value. */
static void value_add(const struct option_spec *o, const void *target, struct buf *out)
{
    const void *field = field_of(o, target);
    const struct option_number *n = field;
    const struct strv *list = field;
    char duration[DURATION_SIZE];

    switch (o->type) {
    case OPTION_HELP:
        return;
    case OPTION_FLAG:
        buf_addstr(out, *(const bool *)field ? "true" : "false");
        return;
    case OPTION_COUNT:
        buf_addf(out, "%d", *(const int *)field);
        return;
    case OPTION_STRING:
        if (*(const char *const *)field)
            buf_addstr(out, *(const char *const *)field);
        return;
    case OPTION_STRINGS:
        for (size_t i = 0; i < list->n; i++)
            buf_addf(out, "%s%s", i ? "," : "", list->v[i]);
        return;
    case OPTION_INT:
    case OPTION_SIZE:
    case OPTION_DURATION_MS:
        if (!number_is_there(o, n))
            return;
        if (o->type == OPTION_DURATION_MS)
            duration_ms_format(n->value, duration);
        else
            snprintf(duration, sizeof(duration), "%" PRId64, n->value);
        buf_addstr(out, duration);
        return;
    }
}

static void text_write(struct json_writer *w, const char *text)
{
    autobuf clean = BUF_INIT;

    text_lossy_add(text_of(text), &clean);
    json_strn(w, buf_str(&clean), clean.len);
}

static void value_write(struct json_writer *w, const struct option_spec *o, const void *target)
{
    const void *field = field_of(o, target);
    const struct strv *list = field;
    autobuf text = BUF_INIT;

    value_add(o, target, &text);
    if (o->type == OPTION_STRINGS) {
        json_begin_array(w);
        for (size_t i = 0; i < list->n; i++)
            text_write(w, list->v[i]);
        json_end_array(w);
    } else if (o->type == OPTION_STRING ? !*(const char *const *)field : !text.len) {
        json_null_value(w);
    } else if (o->type == OPTION_STRING || o->type == OPTION_DURATION_MS) {
        text_write(w, buf_str(&text));
    } else {
        json_raw(w, text.data, text.len);
    }
}

static void json_show(const struct config *c, const void *target, struct buf *out)
{
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, out, true);
    json_begin_array(&w);
    for (size_t i = 0; i < c->n; i++) {
        const struct option_spec *o = &c->command->options[i];

        if (o->type == OPTION_HELP)
            continue;
        json_begin_object(&w);
        json_key_str(&w, "name", o->name);
        json_key(&w, "value");
        value_write(&w, o, target);
        json_key(&w, "origin");
        text_write(&w, c->rows[i].origin);
        json_end_object(&w);
    }
    json_end_array(&w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

static size_t wider(size_t width, size_t len)
{
    return len > width ? len : width;
}

static void table_show(const struct config *c, const void *target, struct buf *out)
{
    size_t name_width = strlen("NAME"), value_width = strlen("VALUE");
    autostrv values = STRV_INIT;

    for (size_t i = 0; i < c->n; i++) {
        autobuf value = BUF_INIT;

        value_add(&c->command->options[i], target, &value);
        if (value.len)
            text_mute(value.data, value.len, false);
        strv_add(&values, value.len ? value.data : "-");
        name_width = wider(name_width, strlen(c->command->options[i].name));
        value_width = wider(value_width, strlen(values.v[i]));
    }
    buf_addf(out, "%-*s  %-*s  ORIGIN\n", (int)name_width, "NAME", (int)value_width, "VALUE");
    for (size_t i = 0; i < c->n; i++) {
        autofree char *origin = xstrdup(c->rows[i].origin);

        text_mute(origin, strlen(origin), false);
        if (c->command->options[i].type != OPTION_HELP)
            buf_addf(out, "%-*s  %-*s  %s\n", (int)name_width, c->command->options[i].name,
                     (int)value_width, values.v[i], origin);
    }
}

void config_show(const struct config *c, const void *target, bool is_json, struct buf *out)
{
    if (is_json)
        json_show(c, target, out);
    else
        table_show(c, target, out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/command.h"

#include "base/text.h"
#include "guest/spec.h"

static const struct json_field command_fields[] = {
    JSON_REQUIRED("entrypoint", FIELD_STRINGS, struct guest_command, entrypoint),
    JSON_FIELD("cmd", FIELD_STRINGS, struct guest_command, cmd),
    JSON_FIELD("env", FIELD_STRINGS, struct guest_command, env),
    JSON_FIELD("function", FIELD_STRING, struct guest_command, function),
    {0},
};

void guest_command_done(struct guest_command *c)
{
    json_fields_done(command_fields, c);
}

void guest_command_encode(const struct guest_command *c, struct json_writer *w)
{
    json_begin_object(w);
    json_key_strings(w, "entrypoint", &c->entrypoint);
    json_key_strings(w, "cmd", &c->cmd);
    json_key_strings(w, "env", &c->env);
    json_key_str(w, "function", c->function);
    json_end_object(w);
}

void guest_command_text_encode(const char *text, struct json_writer *w)
{
    if (!text)
        return;
    json_key(w, "command");
    json_raw(w, text, strlen(text));
}

int guest_command_decode(const char *json, size_t len, struct guest_command *ret, struct err *e)
{
    struct json_limits limits = {.bytes = GUEST_COMMAND_TEXT_LIMIT, .depth = 2};
    struct guest_command c = {0};

    if (json_decode(json, len, limits, command_fields, 0, &c, e) < 0) {
        e->reason = "BadSpec";
        return err_prefix(e, "the command of the image");
    }
    *ret = c;
    return 0;
}

static void words_describe(struct buf *out, int width, const char *name, const struct strv *words)
{
    struct json_writer w;
    struct err ignored = ERR_INIT;
    size_t begin = out->len;

    if (!words->n)
        return;
    buf_addf(out, "%-*s ", width, name);
    json_writer_init(&w, out, false);
    json_strings(&w, words);
    json_writer_finish(&w, &ignored); /* it was UTF-8 when it was read */
    text_mute(out->data + begin, out->len - begin, false);
    buf_addc(out, '\n');
}

void guest_command_describe(const struct guest_command *c, int width, struct buf *out)
{
    autostrv function = STRV_INIT;

    if (c->function)
        strv_add(&function, c->function);
    words_describe(out, width, "Command:", &c->entrypoint);
    words_describe(out, width, "Arguments:", &c->cmd);
    words_describe(out, width, "Variables:", &c->env);
    words_describe(out, width, "Function:", &function);
}

void guest_command_env(const struct guest_command *c, const struct strv *own, struct strv *ret)
{
    strv_addv(ret, c->env.v);
    for (size_t i = 0; i < own->n; i++)
        strv_variable_put(ret, xstrdup(own->v[i]));
}

void guest_command_apply(const struct guest_command *c, struct guest_spec *s)
{
    autostrv given = STRV_INIT, env = STRV_INIT;

    if (!c->entrypoint.n)
        return;
    env = strv_take(&s->env);
    guest_command_env(c, &env, &s->env);
    if (s->invoke)
        return;
    given = strv_take(&s->args);
    if (c->function)
        s->invoke = xstrdup(c->function);
    strv_addv(&s->args, c->entrypoint.v + (c->function ? 1 : 0));
    strv_addv(&s->args, given.n > 1 ? given.v + 1 : c->cmd.v);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/container_config.h"

#include "base/json.h"
#include "store/manifest.h"

#define CONFIG_DEPTH 16
#define TEXT_LIMIT   4096
#define WORD_LIMIT   (64u << 10) /* of the program's, which GUEST_COMMAND_TEXT_LIMIT counts twice */

#define WORDS(name_, member_)                                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRINGS,                                                    \
        .offset = offsetof(struct container_config, member_), .limit = GUEST_COMMAND_LIST_LIMIT    \
    }

static const struct json_field config_fields[] = {
    WORDS("Entrypoint", entrypoint),
    WORDS("Cmd", cmd),
    WORDS("Env", env),
    {.name = "WorkingDir",
                  .type = FIELD_STRING,
                  .offset = offsetof(struct container_config, working_dir),
                  .limit = TEXT_LIMIT},
    JSON_FIELD("ExposedPorts", FIELD_RAW, struct container_config, exposed_ports),
    {0},
};

static const struct json_field rootfs_fields[] = {
    {.name = "diff_ids",
     .type = FIELD_STRINGS,
     .offset = offsetof(struct container_config, diff_ids),
     .limit = CONTAINER_LAYER_LIMIT},
    {0},
};

static const struct json_field fields[] = {
    JSON_FIELD("architecture", FIELD_STRING, struct container_config, architecture),
    JSON_FIELD("os", FIELD_STRING, struct container_config, os),
    {.name = "config",         .type = FIELD_OBJECT, .fields = config_fields},
    {.name = "rootfs", .type = FIELD_OBJECT, .fields = rootfs_fields},
    {0        },
};

static const struct strv *words_of(const struct container_config *c)
{
    return c->entrypoint.n ? &c->entrypoint : &c->cmd;
}

const char *container_program_word(const struct container_config *c)
{
    const struct strv *words = words_of(c);

    return words->n ? words->v[0] : "";
}

static size_t bytes_of(const struct strv *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += strlen(s->v[i]) + 1;
    return n;
}

static int size_check(const struct container_config *c, struct err *e)
{
    size_t n = bytes_of(&c->entrypoint) + bytes_of(&c->cmd) + bytes_of(&c->env);

    if (n > GUEST_COMMAND_BYTES_LIMIT)
        return err_set(e, -EINVAL, "BadImage",
                       "Entrypoint, Cmd and Env have %zu bytes, more than %u", n,
                       GUEST_COMMAND_BYTES_LIMIT);
    if (strlen(container_program_word(c)) > WORD_LIMIT)
        return err_set(e, -EINVAL, "BadImage", "the path of its entry point is too long");
    return 0;
}

int container_config_decode(const struct buf *text, struct container_config *ret, struct err *e)
{
    struct json_limits json = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = CONFIG_DEPTH};
    struct container_config c = {0};
    int r = json_decode(text->data, text->len, json, fields, 0, &c, e);

    if (r >= 0)
        r = size_check(&c, e);
    if (r < 0) {
        container_config_done(&c);
        e->code = -EINVAL;
        e->reason = "BadImage";
        return err_prefix(e, "the image's config");
    }
    *ret = c;
    return 0;
}

void container_config_done(struct container_config *c)
{
    json_fields_done(fields, c);
}

/* Of "8080/tcp", "8080", or of "8080-8090/tcp" the first; 0 for anything else. */
static uint16_t tcp_port_of(const char *key)
{
    unsigned long n = 0;
    size_t digits = strspn(key, "0123456789");
    const char *rest = key + digits;

    if (!digits || digits > 5)
        return 0;
    for (size_t i = 0; i < digits; i++)
        n = n * 10 + (unsigned long)(key[i] - '0');
    if (*rest == '-')
        rest += 1 + strspn(rest + 1, "0123456789");
    return n <= UINT16_MAX && (!*rest || str_eq(rest, "/tcp")) ? (uint16_t)n : 0;
}

uint16_t container_tcp_port(const struct container_config *c)
{
    struct json_limits limits = {.bytes = IMAGE_DOCUMENT_LIMIT, .depth = CONFIG_DEPTH};
    struct json_members members = {0};
    struct err e = ERR_INIT;
    uint16_t lowest = 0;

    if (!c->exposed_ports ||
        json_members_decode(c->exposed_ports, strlen(c->exposed_ports), limits, &members, &e) < 0)
        return 0;
    for (size_t i = 0; i < members.n; i++) {
        uint16_t port = tcp_port_of(members.v[i].key);
        if (port && (!lowest || port < lowest))
            lowest = port;
    }
    json_members_done(&members);
    return lowest;
}

char *container_program_file(const struct container_config *c)
{
    const char *word = container_program_word(c);

    return xstrndup(word, strcspn(word, "#"));
}

/* NULL for what is started as without a function: runwasi's "_start", for which it calls
 * wasi:cli/run of a component, and a name that is empty. */
static const char *function_of(const char *word)
{
    const char *hash = strchr(word, '#');

    return hash && hash[1] && !str_eq(hash + 1, "_start") ? hash + 1 : NULL;
}

void container_command(const struct container_config *c, struct guest_command *ret)
{
    const char *function = function_of(container_program_word(c));
    struct guest_command made = {.function = function ? xstrdup(function) : NULL};

    if (c->entrypoint.n) {
        strv_addv(&made.entrypoint, c->entrypoint.v);
        strv_addv(&made.cmd, c->cmd.v);
    } else if (c->cmd.n) {
        strv_add(&made.entrypoint, c->cmd.v[0]);
        strv_addv(&made.cmd, c->cmd.v + 1);
    }
    for (size_t i = 0; i < c->env.n; i++)
        if (strchr(c->env.v[i], '=') && c->env.v[i][0] != '=')
            strv_variable_put(&made.env, xstrdup(c->env.v[i]));
    *ret = made;
}

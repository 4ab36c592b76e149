/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task/declared_port.h"

#include "base/json.h"

#define LIMIT_BYTES (256u << 10)
#define LIMIT_DEPTH 8

struct port {
    char *name, *protocol;
    int64_t number;
};

struct ports {
    struct port *v;
    size_t n;
};

static const struct json_field port_fields[] = {
    JSON_FIELD("name", FIELD_STRING, struct port, name),
    JSON_FIELD("protocol", FIELD_STRING, struct port, protocol),
    {.name = "containerPort",
                                                       .type = FIELD_INT64,
                                                       .offset = offsetof(struct port, number),
                                                       .is_required = true,
                                                       .min = 1,
                                                       .max = 65535},
    {0},
};

static const struct json_field fields[] = {
    {.name = "ports",
     .type = FIELD_OBJECTS,
     .offset = offsetof(struct ports, v),
     .count_offset = offsetof(struct ports, n),
     .elem_size = sizeof(struct port),
     .fields = port_fields},
    {0},
};

static unsigned choose(const struct ports *ports)
{
    unsigned first = 0;

    for (size_t i = 0; i < ports->n; i++) {
        const struct port *p = &ports->v[i];

        if (p->protocol && *p->protocol && !str_eq(p->protocol, "TCP"))
            continue;
        if (p->name && str_eq(p->name, "http"))
            return (unsigned)p->number;
        if (!first)
            first = (unsigned)p->number;
    }
    return first;
}

int declared_port(const char *json, unsigned *ret, struct err *e)
{
    const struct json_limits limits = {.bytes = LIMIT_BYTES, .depth = LIMIT_DEPTH};
    autofree char *text = xasprintf("{\"ports\":%s}", json); /* documents are objects */
    struct ports ports = {0};
    struct err why = ERR_INIT;

    if (json_decode(text, strlen(text), limits, fields, 0, &ports, &why) < 0)
        return err_set(e, -EINVAL, "BadPorts", "the annotation '%s' is not a list of ports: %s",
                       DECLARED_PORTS_ANNOTATION, why.msg);
    *ret = choose(&ports);
    json_fields_done(fields, &ports);
    return 0;
}

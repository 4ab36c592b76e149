/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/status.h"

#define LIMIT_BYTES (64u << 10)

static const struct json_field fields[] = {
    JSON_REQUIRED("id", FIELD_STRING, struct guest_status, id),
    JSON_REQUIRED("reason", FIELD_STRING, struct guest_status, reason),
    JSON_FIELD("message", FIELD_STRING, struct guest_status, message),
    {.name = "exit_code",
                                                             .type = FIELD_INT64,
                                                             .offset = offsetof(struct guest_status, exit_code),
                                                             .is_required = true,
                                                             .max = 255},
    JSON_FIELD("guest_exit", FIELD_BOOL, struct guest_status, is_guest_exit),
    JSON_FIELD("started_at", FIELD_STRING, struct guest_status, started_at),
    JSON_FIELD("finished_at", FIELD_STRING, struct guest_status, finished_at),
    JSON_FIELD("cpu_ns", FIELD_INT64, struct guest_status, cpu_ns),
    JSON_FIELD("memory_peak_bytes", FIELD_INT64, struct guest_status, memory_peak_bytes),
    JSON_FIELD("calls", FIELD_INT64, struct guest_status, calls),
    JSON_FIELD("memory_refused", FIELD_BOOL, struct guest_status, memory_refused),
    {0},
};

int guest_exit_for(const struct err *e)
{
    if (str_eq(e->reason, "NotFound"))
        return GUEST_EXIT_NOT_FOUND;
    if (e->code == -ENOEXEC || str_eq(e->reason, "NotRunnable") ||
        str_eq(e->reason, "NoSuchExport"))
        return GUEST_EXIT_NOT_RUNNABLE;
    return GUEST_EXIT_WHERRY;
}

void guest_status_done(struct guest_status *s)
{
    json_fields_done(fields, s);
}

struct guest_status guest_status_copy(const struct guest_status *from)
{
    struct guest_status s = *from;
    char **const texts[] = {&s.id, &s.reason, &s.message, &s.started_at, &s.finished_at};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        *texts[i] = *texts[i] ? xstrdup(*texts[i]) : NULL;
    return s;
}

void guest_status_encode(const struct guest_status *s, struct json_writer *w)
{
    json_begin_object(w);
    json_key_str(w, "id", s->id);
    json_key_str(w, "reason", s->reason);
    json_key_str(w, "message", s->message);
    json_key_int(w, "exit_code", s->exit_code);
    json_key_bool(w, "guest_exit", s->is_guest_exit);
    json_key_str(w, "started_at", s->started_at);
    json_key_str(w, "finished_at", s->finished_at);
    json_key_int(w, "cpu_ns", s->cpu_ns);
    json_key_int(w, "memory_peak_bytes", s->memory_peak_bytes);
    json_key_int(w, "calls", s->calls);
    json_key_bool(w, "memory_refused", s->memory_refused);
    json_end_object(w);
}

int guest_status_decode(const char *json, size_t len, struct guest_status *s, struct err *e)
{
    return json_decode(json, len, (struct json_limits){.bytes = LIMIT_BYTES, .depth = 4}, fields, 0,
                       s, e);
}

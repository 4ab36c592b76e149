/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/channels.h"

#include <stdio.h>

#include "base/json.h"

enum {
    STATUS_DEPTH = 16,
    SIZE_LIMIT_BYTES = 256,
};

const char *const channel_exec_protocols[] = {CHANNEL_PROTOCOL_V5, CHANNEL_PROTOCOL_V4, NULL};
const char *const channel_forward_protocols[] = {CHANNEL_PROTOCOL_FORWARD, CHANNEL_PROTOCOL_V4,
                                                 NULL};

bool channel_can_close(const char *protocol)
{
    return protocol && !str_eq(protocol, CHANNEL_PROTOCOL_V4);
}

int channel_message_parse(const void *message, size_t len, bool can_close,
                          struct channel_message *ret, struct err *e)
{
    const uint8_t *bytes = message;

    if (!len)
        return err_set(e, -EPROTO, "BadMessage", "a message without a channel came");
    if (bytes[0] != CHANNEL_CLOSE) {
        *ret = (struct channel_message){
            .channel = bytes[0], .data = {(const char *)message + 1, len - 1}
        };
        return 0;
    }
    if (!can_close || len != 2)
        return err_set(e, -EPROTO, "BadMessage",
                       can_close ? "a message closes no channel, but has %zu bytes"
                                 : "a message of %zu bytes closes a channel, which the agreed "
                                   "protocol has not",
                       len);
    *ret = (struct channel_message){.channel = bytes[1], .is_close = true};
    return 0;
}

/* ---- Status ---- */

#define REASON_EXIT       "NonZeroExitCode"
#define CAUSE_EXIT_CODE   "ExitCode"
#define CAUSE_EXIT_REASON "wherry.dev/reason"

void channel_status_done(struct channel_status *s)
{
    free(s->reason);
    free(s->message);
    *s = (struct channel_status){0};
}

static void cause_add(struct json_writer *w, const char *reason, const char *message)
{
    json_begin_object(w);
    json_key_str(w, "reason", reason);
    json_key_str(w, "message", message);
    json_end_object(w);
}

static void exit_add(struct json_writer *w, const struct channel_status *s)
{
    char number[24];

    snprintf(number, sizeof(number), "%lld", (long long)s->exit_code);
    json_key_str(w, "reason", REASON_EXIT);
    json_key(w, "details");
    json_begin_object(w);
    json_key(w, "causes");
    json_begin_array(w);
    cause_add(w, CAUSE_EXIT_CODE, number);
    if (s->reason)
        cause_add(w, CAUSE_EXIT_REASON, s->reason);
    json_end_array(w);
    json_end_object(w);
}

void channel_status_add(const struct channel_status *s, struct buf *out)
{
    bool is_success = s->is_exit && s->exit_code == 0;
    autobuf message = BUF_INIT;
    struct err e = ERR_INIT;
    struct json_writer w;

    /* Guests speak in it. */
    if (s->message)
        text_lossy_add(text_of(s->message), &message);
    else if (s->is_exit && !is_success)
        buf_addf(&message, "command terminated with exit code %lld", (long long)s->exit_code);
    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key(&w, "metadata");
    json_begin_object(&w);
    json_end_object(&w);
    json_key_str(&w, "status", is_success ? "Success" : "Failure");
    if (message.len)
        json_key_str(&w, "message", message.data);
    if (s->is_exit && !is_success) {
        exit_add(&w, s);
    } else if (!is_success) {
        json_key_str(&w, "reason", s->reason ? s->reason : "InternalError");
        json_key_int(&w, "code", 500);
    }
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

struct cause {
    char *reason, *message;
};

struct details {
    struct cause *causes;
    size_t n_causes;
};

struct document {
    char *status, *message, *reason;
    struct details details;
};

static const struct json_field cause_fields[] = {
    JSON_FIELD("reason", FIELD_STRING, struct cause, reason),
    JSON_FIELD("message", FIELD_STRING, struct cause, message),
    {0},
};

static const struct json_field details_fields[] = {
    {.name = "causes",
     .type = FIELD_OBJECTS,
     .offset = offsetof(struct details, causes),
     .count_offset = offsetof(struct details, n_causes),
     .elem_size = sizeof(struct cause),
     .fields = cause_fields},
    {0},
};

static const struct json_field document_fields[] = {
    JSON_REQUIRED("status", FIELD_STRING, struct document, status),
    JSON_FIELD("message", FIELD_STRING, struct document, message),
    JSON_FIELD("reason", FIELD_STRING, struct document, reason),
    {.name = "details",
                                                       .type = FIELD_OBJECT,
                                                       .offset = offsetof(struct document, details),
                                                       .fields = details_fields},
    {0},
};

/* What a cause of that name says; NULL without one. */
static char **cause_find(struct document *d, const char *reason)
{
    for (size_t i = 0; i < d->details.n_causes; i++)
        if (d->details.causes[i].reason && d->details.causes[i].message &&
            str_eq(d->details.causes[i].reason, reason))
            return &d->details.causes[i].message;
    return NULL;
}

static int number_parse(const char *text, int64_t max, int64_t *ret)
{
    char *end;
    long long n;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    n = strtoll(text, &end, 10);
    if (errno || *end || n > max)
        return -EINVAL;
    *ret = n;
    return 0;
}

static int document_take(struct document *d, struct channel_status *ret, struct err *e)
{
    struct channel_status s = {0};
    char **text;

    if (str_eq(d->status, "Success")) {
        *ret = (struct channel_status){.is_exit = true};
        return 0;
    }
    if (d->reason && str_eq(d->reason, REASON_EXIT)) {
        text = cause_find(d, CAUSE_EXIT_CODE);
        if (!text || number_parse(*text, 255, &s.exit_code) < 0)
            return err_set(e, -EPROTO, "BadStatus",
                           "the Status of a command that failed has no exit code of 0 to 255");
        s.is_exit = true;
        text = cause_find(d, CAUSE_EXIT_REASON);
        s.reason = text ? take_ptr(*text) : NULL;
    } else {
        s.reason = take_ptr(d->reason);
    }
    s.message = take_ptr(d->message);
    *ret = s;
    return 0;
}

int channel_status_parse(struct text text, struct channel_status *ret, struct err *e)
{
    struct json_limits limits = {.bytes = CHANNEL_STATUS_LIMIT, .depth = STATUS_DEPTH};
    struct document d = {0};
    struct err bad = ERR_INIT;
    int r;

    if (json_decode(text.data, text.len, limits, document_fields, 0, &d, &bad) < 0)
        return err_set(e, -EPROTO, "BadStatus", "the Status at the end is none: %s", bad.msg);
    r = document_take(&d, ret, e);
    json_fields_done(document_fields, &d);
    return r;
}

/* ---- Sizes ---- */

struct size {
    int64_t width, height;
};

static const struct json_field size_fields[] = {
    {.name = "Width",
     .type = FIELD_INT64,
     .offset = offsetof(struct size, width),
     .is_required = true,
     .min = 1,
     .max = UINT16_MAX},
    {.name = "Height",
     .type = FIELD_INT64,
     .offset = offsetof(struct size, height),
     .is_required = true,
     .min = 1,
     .max = UINT16_MAX},
    {0           },
};

int channel_size_parse(struct text text, struct channel_size *ret, struct err *e)
{
    struct json_limits limits = {.bytes = SIZE_LIMIT_BYTES, .depth = 2};
    struct err bad = ERR_INIT;
    struct size s = {0};

    if (json_decode(text.data, text.len, limits, size_fields, 0, &s, &bad) < 0)
        return err_set(e, -EPROTO, "BadSize", "the terminal's size is none: %s", bad.msg);
    *ret = (struct channel_size){(uint16_t)s.width, (uint16_t)s.height};
    return 0;
}

void channel_size_add(struct channel_size size, struct buf *out)
{
    buf_addf(out, "{\"Width\":%u,\"Height\":%u}", size.width, size.height);
}

/* ---- Ports ---- */

int channel_ports_parse(const char *text, uint16_t *ret, size_t max, size_t *n, struct err *e)
{
    size_t at = *n;

    for (const char *s = text;; s++) {
        size_t len = strcspn(s, ",");
        autofree char *word = xstrndup(s, len);
        int64_t port;

        if (number_parse(word, 65535, &port) < 0 || port == 0)
            return err_set(e, -EINVAL, "BadPort", "'%.40s' is no port of 1 to 65535", word);
        if (at == max)
            return err_set(e, -EINVAL, "BadPort", "more than %zu ports at a time", max);
        ret[at++] = (uint16_t)port;
        s += len;
        if (!*s)
            break;
    }
    *n = at;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* ConfigMap, Secret and PersistentVolumeClaim. */
#include "base/base64.h"
#include "base/secret.h"
#include "manifest/decode.h"
#include "manifest/names.h"
#include "manifest/quantity.h"

#define DATA_LIMIT_BYTES (1u << 20) /* as Kubernetes has it, of one object */
#define DATA_LIMIT       10000      /* keys */

struct raw_data {
    struct raw_head head;
    struct json_pairs plain, encoded; /* text, and text in base 64 */
    char *type;
    bool is_immutable;
};

static const struct json_field config_fields[] = {
    RAW_HEAD_ROWS(struct raw_data),
    {.name = "data",
                       .type = FIELD_PAIRS,
                       .offset = offsetof(struct raw_data, plain),
                       .limit = DATA_LIMIT},
    {.name = "binaryData",
                       .type = FIELD_PAIRS,
                       .offset = offsetof(struct raw_data, encoded),
                       .limit = DATA_LIMIT},
    JSON_FIELD("immutable", FIELD_BOOL, struct raw_data, is_immutable),
    {0               },
};

static const struct json_field secret_fields[] = {
    RAW_HEAD_ROWS(struct raw_data),
    {.name = "stringData",
                       .type = FIELD_PAIRS,
                       .offset = offsetof(struct raw_data, plain),
                       .limit = DATA_LIMIT},
    {.name = "data",
                       .type = FIELD_PAIRS,
                       .offset = offsetof(struct raw_data, encoded),
                       .limit = DATA_LIMIT},
    JSON_FIELD("type", FIELD_STRING, struct raw_data, type),
    JSON_FIELD("immutable", FIELD_BOOL, struct raw_data, is_immutable),
    {0               },
};

static int key_check(struct decode *d, const char *map, const char *key)
{
    return decode_name(d, decode_path(d, "$.%s.%s", map, key), key, name_is_key, NAME_KEY_RULE);
}

static int datum_compare(const void *a, const void *b)
{
    return strcmp(((const struct object_datum *)a)->key, ((const struct object_datum *)b)->key);
}

static int plain_take(struct decode *d, const char *map, const struct json_pairs *raw,
                      struct arena *a, struct object_datum *to)
{
    for (size_t i = 0; i < raw->n; i++) {
        size_t len = strlen(raw->v[i].value);

        TRY(key_check(d, map, raw->v[i].name));
        to[i] = (struct object_datum){arena_strdup(a, raw->v[i].name),
                                      arena_strndup(a, raw->v[i].value, len), len};
    }
    if (raw->n)
        qsort(to, raw->n, sizeof(*to), datum_compare);
    return 0;
}

static int datum_decode(struct decode *d, const char *map, const struct json_pair *raw,
                        struct arena *a, struct object_datum *to)
{
    autosecretbuf bytes = BUF_INIT;
    autosecretbuf text = BUF_INIT;
    struct err inner = ERR_INIT;

    /* Line breaks are no part of it: a block of YAML (|) has one at its end, and Go skips them. */
    buf_reserve(&text, strlen(raw->value));
    for (const char *p = raw->value; *p; p++)
        if (*p != '\n' && *p != '\r')
            buf_addc(&text, *p);
    if (base64_decode(buf_str(&text), text.len, &bytes, &inner) < 0)
        return decode_bad(d, -EINVAL, decode_path(d, "$.%s.%s", map, raw->name), "%s%s", inner.msg,
                          str_eq(map, "data") ? "; write plain text into stringData" : "");
    *to = (struct object_datum){arena_strdup(a, raw->name),
                                arena_strndup(a, buf_str(&bytes), bytes.len), bytes.len};
    return 0;
}

static int encoded_take(struct decode *d, const char *map, const struct json_pairs *raw,
                        struct arena *a, struct object_datum *to)
{
    for (size_t i = 0; i < raw->n; i++) {
        TRY(key_check(d, map, raw->v[i].name));
        TRY(datum_decode(d, map, &raw->v[i], a, &to[i]));
    }
    if (raw->n)
        qsort(to, raw->n, sizeof(*to), datum_compare);
    return 0;
}

/* Both maps as one, by key. A key in both is an error, unless the plain text wins. */
static int data_unite(struct decode *d, const struct raw_data *raw, const char *plain,
                      const char *encoded, bool is_plain_winning, struct object *o)
{
    struct object_datum *a = arena_array(d->scratch, raw->plain.n + 1, sizeof(*a));
    struct object_datum *b = arena_array(d->scratch, raw->encoded.n + 1, sizeof(*b));
    struct object_data *data = &o->data;
    size_t bytes = 0;

    TRY(plain_take(d, plain, &raw->plain, o->arena, a));
    TRY(encoded_take(d, encoded, &raw->encoded, o->arena, b));
    data->v = arena_array(o->arena, raw->plain.n + raw->encoded.n, sizeof(*data->v));
    /* Each of the two ends with an entry without a key. */
    while (a->key || b->key) {
        int order = !a->key ? 1 : !b->key ? -1 : strcmp(a->key, b->key);

        if (!order && !is_plain_winning)
            return decode_bad(d, -EINVAL, decode_path(d, "$.%s.%s", encoded, b->key),
                              "the same key is in %s too", plain);
        data->v[data->n] = order <= 0 ? *a : *b;
        bytes += strlen(data->v[data->n].key) + data->v[data->n].len;
        data->n++;
        a += order <= 0;
        b += order >= 0;
    }
    if (bytes > DATA_LIMIT_BYTES)
        return decode_bad(d, -EFBIG, "$", "its data are larger than %u MiB",
                          DATA_LIMIT_BYTES >> 20);
    return 0;
}

static int config_decode(struct decode *d, const struct raw_data *raw, struct object *o)
{
    TRY(object_head_decode(d, &raw->head, o));
    o->data.is_immutable = raw->is_immutable;
    return data_unite(d, raw, "data", "binaryData", false, o);
}

int object_config_decode(struct decode *d, struct object *o)
{
    struct raw_data raw = {0};
    int r;

    TRY(decode_fields(d, config_fields, &raw));
    r = config_decode(d, &raw, o);
    json_fields_done(config_fields, &raw);
    return r;
}

/* What is stored has `data` only, as the API server does. */
static void secret_edit(struct decode *d, const struct object *o)
{
    autosecretbuf json = BUF_INIT;
    struct json_writer w;
    size_t room = 2;

    for (size_t i = 0; i < o->data.n; i++)
        room += strlen(o->data.v[i].key) + o->data.v[i].len / 3 * 4 + 16;
    buf_reserve(&json, room);
    json_writer_init(&w, &json, false);
    json_begin_object(&w);
    for (size_t i = 0; i < o->data.n; i++) {
        autosecretbuf text = BUF_INIT;

        base64_encode(o->data.v[i].data, o->data.v[i].len, &text);
        json_key_str(&w, o->data.v[i].key, buf_str(&text));
    }
    json_end_object(&w);
    decode_edit(d, "$", "data", arena_strdup(d->scratch, buf_str(&json)));
    decode_edit(d, "$", "stringData", NULL);
}

static int secret_decode(struct decode *d, const struct raw_data *raw, struct object *o)
{
    const char *type = raw->type && *raw->type ? raw->type : "Opaque";

    TRY(object_head_decode(d, &raw->head, o));
    o->data.is_immutable = raw->is_immutable;
    o->data.type = arena_strdup(o->arena, type);
    TRY(data_unite(d, raw, "stringData", "data", true, o));
    secret_edit(d, o);
    decode_edit_string(d, "$", "type", type);
    return 0;
}

int object_secret_decode(struct decode *d, struct object *o)
{
    struct raw_data raw = {0};
    int r;

    TRY(decode_fields(d, secret_fields, &raw));
    r = secret_decode(d, &raw, o);
    json_fields_done(secret_fields, &raw);
    return r;
}

/* ---- Claims ---- */

struct raw_claim {
    struct raw_head head;
    struct strv access_modes;
    struct json_pairs requests;
    char *volume_mode, *storage_class;
};

static const struct json_field claim_resources_fields[] = {
    {.name = "requests",
     .type = FIELD_PAIRS,
     .offset = offsetof(struct raw_claim, requests),
     .takes_numbers = true},
    {.name = "limits", .type = FIELD_REFUSED, .why = "write requests: a folder does not grow"},
    {0              },
};

static const struct json_field claim_spec_fields[] = {
    JSON_REQUIRED("accessModes", FIELD_STRINGS, struct raw_claim, access_modes),
 /* The rows of this table and the one above are of the same struct. */
    {.name = "resources",
     .type = FIELD_OBJECT,
     .is_required = true,
     .fields = claim_resources_fields},
    JSON_FIELD("volumeMode", FIELD_STRING, struct raw_claim, volume_mode),
    JSON_FIELD("storageClassName", FIELD_STRING, struct raw_claim, storage_class),
    {.name = "volumeName",    .type = FIELD_REFUSED, .why = "there are no PersistentVolumes"},
    {.name = "selector",                      .type = FIELD_REFUSED, .why = "there are no PersistentVolumes"},
    {.name = "dataSource",.type = FIELD_REFUSED, .why = "a claim begins empty"},
    {.name = "dataSourceRef",                      .type = FIELD_REFUSED, .why = "a claim begins empty"},
    {.name = "volumeAttributesClassName",.type = FIELD_REFUSED, .why = "a claim is a folder"},
    {0                     },
};

static const struct json_field claim_fields[] = {
    RAW_HEAD_ROWS(struct raw_claim),
    {.name = "spec",       .type = FIELD_OBJECT, .is_required = true, .fields = claim_spec_fields},
    {0},
};

static int storage_decode(struct decode *d, const struct json_pairs *requests, int64_t *ret)
{
    const char *map = "$.spec.resources.requests";
    struct err inner = ERR_INIT;

    for (size_t i = 0; i < requests->n; i++) {
        const char *at = decode_path(d, "%s.%s", map, requests->v[i].name);

        if (!str_eq(requests->v[i].name, "storage"))
            return decode_bad(d, -EINVAL, at, "a claim requests storage only");
        if (quantity_parse(requests->v[i].value, 1, ret, &inner) < 0)
            return decode_bad_at(d, at, &inner);
        if (!*ret)
            return decode_bad(d, -EINVAL, at, "has to be more than 0");
    }
    return requests->n ? 0 : decode_bad(d, -EINVAL, map, "storage is missing: how many bytes");
}

static int claim_decode(struct decode *d, const struct raw_claim *raw, struct object *o)
{
    static const char *const modes[] = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany",
                                        "ReadWriteOncePod", NULL};
    int mode;

    TRY(object_head_decode(d, &raw->head, o));
    if (!raw->access_modes.n)
        return decode_bad(d, -EINVAL, "$.spec.accessModes", "is empty; write ReadWriteOnce");
    for (size_t i = 0; i < raw->access_modes.n; i++)
        TRY(decode_word(d, decode_path(d, "$.spec.accessModes[%zu]", i), raw->access_modes.v[i],
                        modes, 0, &mode));
    if (raw->volume_mode && !str_eq(raw->volume_mode, "Filesystem"))
        return decode_bad(d, -ENOTSUP, "$.spec.volumeMode",
                          "'%.40s' is not supported: guests have no devices; write Filesystem",
                          raw->volume_mode);
    decode_words(o->arena, &raw->access_modes, &o->claim.access_modes);
    o->claim.storage_class = arena_strdup(o->arena, raw->storage_class);
    if (!raw->volume_mode)
        decode_edit_string(d, "$.spec", "volumeMode", "Filesystem");
    return storage_decode(d, &raw->requests, &o->claim.bytes);
}

int object_claim_decode(struct decode *d, struct object *o)
{
    struct raw_claim raw = {0};
    int r;

    TRY(decode_fields(d, claim_fields, &raw));
    r = claim_decode(d, &raw, o);
    json_fields_done(claim_fields, &raw);
    return r;
}

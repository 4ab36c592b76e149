/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bundle/config_edit.h"

#include "base/fds.h"
#include "base/json.h"

#define CONFIG_NAME "config.json"

/* Where a value stands in the text. */
struct span {
    size_t at, len;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t space_skip(const struct buf *b, size_t at)
{
    while (at < b->len && is_space(b->data[at]))
        at++;
    return at;
}

/* Behind the string that begins here. */
static size_t string_skip(const struct buf *b, size_t at)
{
    for (at++; at < b->len && b->data[at] != '"'; at++)
        if (b->data[at] == '\\')
            at++;
    return at < b->len ? at + 1 : b->len;
}

static size_t value_skip(const struct buf *b, size_t at)
{
    size_t depth = 0;

    do {
        char c = at < b->len ? b->data[at] : 0;

        if (c == '"') {
            at = string_skip(b, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (depth && (c == '}' || c == ']')) {
            depth--;
            at++;
        } else if (depth) {
            at++;
        } else {
            while (at < b->len && !is_space(b->data[at]) && !strchr(",]}", b->data[at]))
                at++;
        }
    } while (depth && at < b->len);
    return at;
}

static char char_at(const struct buf *b, size_t at)
{
    return at < b->len ? b->data[at] : 0;
}

/* The value of the last member of that name in the object that begins at `at`. */
static bool member_find(const struct buf *b, size_t at, const char *name, struct span *ret)
{
    bool is_found = false;

    if (char_at(b, at) != '{')
        return false;
    at = space_skip(b, at + 1);
    while (char_at(b, at) == '"') {
        size_t end = string_skip(b, at), value;
        bool is_it = end - at == strlen(name) + 2 && !memcmp(b->data + at + 1, name, strlen(name));

        value = space_skip(b, space_skip(b, end) + 1);
        at = value_skip(b, value);
        if (is_it) {
            *ret = (struct span){value, at - value};
            is_found = true;
        }
        at = space_skip(b, at);
        if (char_at(b, at) == ',')
            at = space_skip(b, at + 1);
    }
    return is_found;
}

static bool element_find(const struct buf *b, size_t at, size_t index, struct span *ret)
{
    if (char_at(b, at) != '[')
        return false;
    at = space_skip(b, at + 1);
    while (at < b->len && b->data[at] != ']') {
        size_t end = value_skip(b, at);

        if (!index--) {
            *ret = (struct span){at, end - at};
            return true;
        }
        at = space_skip(b, end);
        if (char_at(b, at) == ',')
            at = space_skip(b, at + 1);
    }
    return false;
}

static bool top_find(const struct buf *b, const char *name, struct span *ret)
{
    return member_find(b, space_skip(b, 0), name, ret);
}

static int not_found(const char *what, struct err *e)
{
    return err_set(e, -EINVAL, "BadConfig",
                   "config.json is written in a way that its %s cannot be "
                   "found to be changed",
                   what);
}

static void splice(const struct buf *json, struct span where, const struct buf *text,
                   struct buf *ret)
{
    buf_add(ret, json->data, where.at);
    buf_add(ret, text->data, text->len);
    buf_add(ret, json->data + where.at + where.len, json->len - where.at - where.len);
}

int config_edit_namespace(const struct buf *json, size_t index, const char *path, struct buf *ret,
                          struct err *e)
{
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct span s;

    if (!top_find(json, "linux", &s) || !member_find(json, s.at, "namespaces", &s) ||
        !element_find(json, s.at, index, &s) || !member_find(json, s.at, "path", &s))
        return not_found("namespace", e);
    json_writer_init(&w, &text, false);
    json_str(&w, path);
    TRY(json_writer_finish(&w, e));
    splice(json, s, &text, ret);
    return 0;
}

/* ---- Mounts ---- */

static int mount_write(const struct config_mount *m, struct buf *ret, struct err *e)
{
    static const char *const options[] = {"rbind", "rprivate", "rw"};
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_str(&w, "destination", m->destination);
    json_key_str(&w, "type", "bind");
    json_key_str(&w, "source", m->source);
    json_key(&w, "options");
    json_begin_array(&w);
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        json_str(&w, options[i]);
    json_end_array(&w);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

/* Where the element stands, or an empty place at the array's end. */
static bool place_find(const struct buf *b, const struct span *mounts, size_t index, size_t n,
                       struct span *ret)
{
    if (index < n)
        return element_find(b, mounts->at, index, ret);
    *ret = (struct span){mounts->at + mounts->len - 1, 0};
    return mounts->len >= 2 && b->data[mounts->at] == '[';
}

/* `n` are in the array. */
static int mount_put(struct buf *json, const struct config_mount *m, size_t index, size_t *n,
                     struct err *e)
{
    autobuf text = BUF_INIT, changed = BUF_INIT;
    struct span mounts, place;

    if (!top_find(json, "mounts", &mounts) || !place_find(json, &mounts, index, *n, &place))
        return not_found("mounts", e);
    if (index >= *n && *n)
        buf_addf(&text, ",");
    TRY(mount_write(m, &text, e));
    splice(json, place, &text, &changed);
    buf_done(json);
    *json = changed;
    changed = (struct buf)BUF_INIT;
    *n += index >= *n;
    return 0;
}

int config_edit_mounts(const struct buf *json, const struct oci_config *c,
                       const struct config_mount *v, size_t n, struct buf *ret, struct err *e)
{
    size_t n_mounts = c->n_mounts;
    autobuf text = BUF_INIT;

    buf_add(&text, json->data, json->len);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;

        while (at < c->n_mounts && !str_eq(c->mounts[at].destination, v[i].destination))
            at++;
        if (at == c->n_mounts)
            at = n_mounts;
        else if (!v[i].is_replacing)
            continue;
        TRY(mount_put(&text, &v[i], at, &n_mounts, e));
    }
    buf_add(ret, text.data, text.len);
    return 0;
}

/* ---- The file ---- */

int config_text_read(int bundle_fd, struct buf *ret, struct err *e)
{
    return file_read_at(bundle_fd, CONFIG_NAME, OCI_CONFIG_LIMIT_BYTES, ret, e);
}

int config_text_write(int bundle_fd, const struct buf *text, struct err *e)
{
    return file_write_at(bundle_fd, CONFIG_NAME, text->data, text->len, 0600, 0, e);
}

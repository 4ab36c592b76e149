/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/fields.h"

#define HOSTNAME_LIMIT 63

/* ---- Go's quoted strings ---- */

/* The character at `s` (valid UTF-8 or not) and its length; -1 for a byte that is no part of one.
 */
static int32_t rune_at(const unsigned char *s, size_t *ret_len)
{
    size_t len = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : 2;
    int32_t rune = len == 1 ? *s : *s & (0xff >> (len + 1));
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    *ret_len = 1;
    if (*s >= 0xf8 || (*s >= 0x80 && *s < 0xc0))
        return -1;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return -1;
        rune = rune << 6 | (s[i] & 0x3f);
    }
    if (rune < least[len] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return -1;
    *ret_len = len;
    return rune;
}

/* Controls, spaces that are none, marks without a shape and private use: what Go's unicode.IsPrint
 * refuses, but for characters that Unicode has not assigned. */
static bool is_printed(int32_t rune)
{
    static const struct {
        int32_t first, last;
    } hidden[] = {
        {0,       0x1f    },
        {0x7f,    0xa0    },
        {0xad,    0xad    },
        {0x600,   0x605   },
        {0x61c,   0x61c   },
        {0x6dd,   0x6dd   },
        {0x70f,   0x70f   },
        {0x1680,  0x1680  },
        {0x180e,  0x180e  },
        {0x2000,  0x200f  },
        {0x2028,  0x202f  },
        {0x205f,  0x206f  },
        {0x3000,  0x3000  },
        {0xe000,  0xf8ff  },
        {0xfeff,  0xfeff  },
        {0xfff0,  0xfffb  },
        {0xfffe,  0xffff  },
        {0xe0000, 0xe00ff },
        {0xe01f0, 0x10ffff},
    };

    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        if (rune >= hidden[i].first && rune <= hidden[i].last)
            return false;
    return true;
}

static void rune_add(int32_t rune, const char *bytes, size_t len, struct buf *out)
{
    static const char plain[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
    const char *at = rune > 0 && rune < 0x80 ? strchr(plain, rune) : NULL;

    if (at)
        buf_addf(out, "\\%c", letters[at - plain]);
    else if (rune < 0)
        buf_addf(out, "\\x%02x", (unsigned char)*bytes);
    else if (is_printed(rune))
        buf_add(out, bytes, len);
    else if (rune < ' ' || rune == 0x7f)
        buf_addf(out, "\\x%02x", (unsigned)rune);
    else
        buf_addf(out, rune > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)rune);
}

static void quoted_add(const char *s, struct buf *out)
{
    buf_addc(out, '"');
    while (*s) {
        size_t len;
        int32_t rune = rune_at((const unsigned char *)s, &len);

        rune_add(rune, s, len, out);
        s += len;
    }
    buf_addc(out, '"');
}

/* ---- Fields ---- */

static int pair_compare(const void *a, const void *b)
{
    return strcmp(((const struct pod_pair *)a)->name, ((const struct pod_pair *)b)->name);
}

static void pairs_add(const struct pod_pairs *p, struct buf *out)
{
    autofree struct pod_pair *sorted = xcalloc(p->n + 1, sizeof(*sorted));

    for (size_t i = 0; i < p->n; i++)
        sorted[i] = p->v[i];
    qsort(sorted, p->n, sizeof(*sorted), pair_compare);
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            buf_addc(out, '\n');
        buf_addf(out, "%s=", sorted[i].name);
        quoted_add(sorted[i].value, out);
    }
}

/* KEY of "metadata.labels['KEY']"; heap, NULL when `path` is not of that form. */
static char *subscript(const char *path, const char *field)
{
    size_t len = strlen(path), start = strlen(field) + 2;

    if (!str_starts(path, field) || len < start + 3 || !str_starts(path + start - 2, "['") ||
        !str_eq(path + len - 2, "']"))
        return NULL;
    return xstrndup(path + start, len - start - 2);
}

static bool subscript_add(const struct pod_pairs *p, const char *path, const char *field,
                          struct buf *out)
{
    autofree char *key = subscript(path, field);
    const char *value = key ? pod_pair_find(p, key) : NULL;

    if (value)
        buf_addstr(out, value);
    return key != NULL;
}

static void addresses_add(const struct strv *s, size_t limit, struct buf *out)
{
    for (size_t i = 0; i < s->n && i < limit; i++)
        buf_addf(out, "%s%s", i ? "," : "", s->v[i]);
}

static bool status_add(const struct pod_fields *f, const char *path, struct buf *out)
{
    if (str_eq(path, "spec.nodeName"))
        buf_addstr(out, f->spec->node ? f->spec->node : "");
    else if (str_eq(path, "spec.serviceAccountName"))
        buf_addstr(out, f->spec->service_account ? f->spec->service_account : "");
    else if (str_eq(path, "status.hostIP"))
        addresses_add(&f->host_ips, 1, out);
    else if (str_eq(path, "status.hostIPs"))
        addresses_add(&f->host_ips, SIZE_MAX, out);
    else if (str_eq(path, "status.podIP"))
        addresses_add(&f->pod_ips, 1, out);
    else if (str_eq(path, "status.podIPs"))
        addresses_add(&f->pod_ips, SIZE_MAX, out);
    else
        return false;
    return true;
}

static bool metadata_add(const struct pod_spec *s, const char *path, bool is_whole, struct buf *out)
{
    if (str_eq(path, "metadata.name"))
        buf_addstr(out, s->name);
    else if (str_eq(path, "metadata.namespace"))
        buf_addstr(out, s->space);
    else if (str_eq(path, "metadata.uid"))
        buf_addstr(out, s->uid);
    else if (is_whole && str_eq(path, "metadata.labels"))
        pairs_add(&s->labels, out);
    else if (is_whole && str_eq(path, "metadata.annotations"))
        pairs_add(&s->annotations, out);
    else
        return subscript_add(&s->labels, path, "metadata.labels", out) ||
               subscript_add(&s->annotations, path, "metadata.annotations", out);
    return true;
}

int pod_field_add(const struct pod_fields *f, const char *path, enum pod_field_use use,
                  struct buf *out, struct err *e)
{
    bool is_file = use == POD_FIELD_FILE;

    if (metadata_add(f->spec, path, is_file, out) || (!is_file && status_add(f, path, out)))
        return 0;
    return err_set(e, -EINVAL, "BadFieldPath", "unsupported fieldPath '%s' for a %s", path,
                   is_file ? "file of a volume" : "variable");
}

/* ---- Resources ---- */

int pod_resource_add(const struct pod_fields *f, const struct pod_container *c, const char *key,
                     int64_t divisor, struct buf *out, struct err *e)
{
    const struct pod_resources *r = &c->resources;
    const struct {
        const char *name;
        int64_t limit, request, node, unit;
    } rows[] = {
        {"cpu",               r->cpu_limit_milli,       r->cpu_request_milli,       f->node_cpu_milli,    1000},
        {"memory",            r->memory_limit_bytes,    r->memory_request_bytes,    f->node_memory_bytes, 1   },
        {"ephemeral-storage", r->ephemeral_limit_bytes, r->ephemeral_request_bytes,
         f->node_ephemeral_bytes,                                                                         1   },
    };
    bool is_limit = str_starts(key, "limits."), is_request = str_starts(key, "requests.");
    const char *dot = strchr(key, '.');

    for (size_t i = 0; (is_limit || is_request) && i < ARRAY_SIZE(rows); i++) {
        int64_t n = is_limit ? rows[i].limit : rows[i].request;
        int64_t unit = divisor > 0 ? divisor : rows[i].unit;

        if (!str_eq(dot + 1, rows[i].name))
            continue;
        if (!n)
            n = is_limit ? rows[i].node : rows[i].limit;
        n = n / unit + (n % unit != 0);
        buf_addf(out, "%lld", (long long)n);
        return 0;
    }
    return err_set(e, -EINVAL, "BadResource",
                   "unsupported resource '%s' of container '%s': known are cpu, memory and "
                   "ephemeral-storage, each of limits and requests",
                   key, c->name);
}

char *pod_hostname(const struct pod_spec *s)
{
    const char *name = s->is_host_network && s->node ? s->node
                       : s->hostname                 ? s->hostname
                                                     : s->name;
    size_t len = strlen(name);

    if (len > HOSTNAME_LIMIT)
        len = HOSTNAME_LIMIT;
    while (len && strchr("-.", name[len - 1]))
        len--;
    return xstrndup(name, len);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/journal.h"

#include <endian.h>
#include <inttypes.h>

#include "base/digest.h"
#include "base/secret.h"

#define FRAME_MAGIC "WHJF"
#define SUM_BYTES   8
#define SECTOR      512 /* what a disk writes as a whole, at least */

/* As in the file; every field lies where its size wants it. */
struct frame_head {
    char magic[4];
    uint32_t bytes;
    uint64_t place;
    uint8_t body_sum[SUM_BYTES];
    uint8_t head_sum[SUM_BYTES]; /* of what is before it */
};
_Static_assert(sizeof(struct frame_head) == JOURNAL_FRAME_HEAD, "frame head");

struct record_head {
    uint32_t bytes;
    uint8_t type;
    uint8_t zero[3];
    uint64_t version;
};
_Static_assert(sizeof(struct record_head) == JOURNAL_RECORD_HEAD, "record head");

static void sum(const void *data, size_t len, uint8_t ret[static SUM_BYTES])
{
    struct digest d;

    digest_bytes(data, len, &d);
    memcpy(ret, d.bytes, SUM_BYTES);
}

/* ---- Writing ---- */

size_t journal_frame_begin(struct buf *b)
{
    static const struct frame_head none;
    size_t begin = b->len;

    buf_add(b, &none, sizeof(none));
    return begin;
}

void journal_record_add(struct buf *b, enum journal_type type, uint64_t version, struct text text)
{
    struct record_head h = {
        .bytes = htole32((uint32_t)text.len), .type = (uint8_t)type, .version = htole64(version)};

    buf_add(b, &h, sizeof(h));
    if (text.len)
        buf_add(b, text.data, text.len);
}

void journal_frame_end(struct buf *b, size_t begin, uint64_t place)
{
    size_t bytes = b->len - begin - JOURNAL_FRAME_HEAD;
    struct frame_head h = {.bytes = htole32((uint32_t)bytes), .place = htole64(place)};

    BUG_ON(bytes > JOURNAL_FRAME_LIMIT);
    memcpy(h.magic, FRAME_MAGIC, sizeof(h.magic));
    sum(b->data + begin + JOURNAL_FRAME_HEAD, bytes, h.body_sum);
    sum(&h, offsetof(struct frame_head, head_sum), h.head_sum);
    memcpy(b->data + begin, &h, sizeof(h));
}

/* ---- Reading ---- */

struct scan {
    int fd;
    const char *path;
    int (*record)(void *ctx, const struct journal_record *r, uint64_t place, struct err *e);
    void *ctx;
    uint64_t at, bytes; /* where the next frame begins; of the file */
    struct err *e;
};

static int damaged(const struct scan *s, uint64_t place, const char *what)
{
    return err_set(s->e, -EBADMSG, "StateDamaged",
                   "'%.200s' is damaged at byte %" PRIu64
                   ": %s; put a copy of the file back, or move it away and apply the manifests "
                   "again",
                   s->path, place, what);
}

static int read_at(const struct scan *s, uint64_t place, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(s->fd, (char *)data + done, len - done, (off_t)(place + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(s->e, -errno, "StateFailed", "cannot read '%.200s' at byte %" PRIu64,
                             s->path, place + done);
        if (!n)
            return damaged(s, place + done, "it became shorter while it was read");
        done += (size_t)n;
    }
    return 0;
}

/* Whether a sector of these bytes, or what part of it is among them, was never written. Neither the
 * first nor the last four bytes of a frame, of its head and of its records can be zeros. */
static bool has_hole(uint64_t place, const char *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t part = SECTOR - (place + at) % SECTOR, i = 0;

        if (part > len - at)
            part = len - at;
        while (i < part && !data[at + i])
            i++;
        if (i == part && part >= 4)
            return true;
        at += part;
    }
    return false;
}

static int records_tell(const struct scan *s, const struct buf *body)
{
    uint64_t place = s->at + JOURNAL_FRAME_HEAD;

    for (size_t at = 0; at < body->len;) {
        struct record_head h;
        struct journal_record r;

        if (body->len - at < sizeof(h))
            return damaged(s, place + at, "a record is cut off");
        memcpy(&h, body->data + at, sizeof(h));
        r = (struct journal_record){
            (enum journal_type)h.type,
            le64toh(h.version),
            {body->data + at + sizeof(h), le32toh(h.bytes)}
        };
        if (r.text.len > body->len - at - sizeof(h))
            return damaged(s, place + at, "a record is cut off");
        if (r.type != JOURNAL_PUT && r.type != JOURNAL_DELETE && r.type != JOURNAL_VERSION)
            return damaged(s, place + at, "a record is of an unknown type");
        TRY(s->record(s->ctx, &r, place + at, s->e));
        at += sizeof(h) + r.text.len;
    }
    return 0;
}

static bool head_is_good(const struct frame_head *h, uint64_t place)
{
    uint8_t own[SUM_BYTES];

    sum(h, offsetof(struct frame_head, head_sum), own);
    return !memcmp(h->magic, FRAME_MAGIC, sizeof(h->magic)) &&
           !memcmp(own, h->head_sum, sizeof(own)) && le64toh(h->place) == place &&
           le32toh(h->bytes) <= JOURNAL_FRAME_LIMIT;
}

static int bytes_read(const struct scan *s, uint64_t place, size_t len, struct buf *ret)
{
    buf_reserve(ret, len);
    TRY(read_at(s, place, ret->data, len));
    ret->len = len;
    buf_terminate(ret);
    return 0;
}

/* With a head that says nothing: 0 when all that follows can be one frame that was not written to
 * its end. */
static int rest_judge(const struct scan *s, const struct frame_head *h)
{
    uint64_t left = s->bytes - s->at;
    autosecretbuf rest = BUF_INIT;
    const char *p;

    if (!has_hole(s->at, (const char *)h, sizeof(*h)) ||
        left > JOURNAL_FRAME_HEAD + JOURNAL_FRAME_LIMIT)
        return damaged(s, s->at, "the head of a frame is wrong");
    TRY(bytes_read(s, s->at, (size_t)left, &rest));
    for (p = rest.data; (p = memmem(p, (size_t)(rest.data + left - p), FRAME_MAGIC, 4)); p++) {
        struct frame_head other;

        if ((size_t)(rest.data + left - p) < sizeof(other))
            break;
        memcpy(&other, p, sizeof(other));
        if (head_is_good(&other, s->at + (uint64_t)(p - rest.data)))
            return damaged(s, s->at, "the head of a frame is wrong");
    }
    return 0;
}

/* 1: a frame; 0: what is there was never acknowledged. */
static int frame_read(struct scan *s)
{
    struct frame_head h;
    autosecretbuf body = BUF_INIT;
    uint64_t left = s->bytes - s->at;
    uint8_t own[SUM_BYTES];

    if (left < sizeof(h))
        return 0;
    TRY(read_at(s, s->at, &h, sizeof(h)));
    if (!head_is_good(&h, s->at))
        return rest_judge(s, &h);
    left -= sizeof(h);
    if (le32toh(h.bytes) > left)
        return 0;
    TRY(bytes_read(s, s->at + sizeof(h), le32toh(h.bytes), &body));
    sum(body.data, body.len, own);
    if (memcmp(own, h.body_sum, sizeof(own)) != 0)
        return body.len == left && has_hole(s->at + sizeof(h), body.data, body.len)
                   ? 0
                   : damaged(s, s->at, "the sum of a frame is wrong");
    TRY(records_tell(s, &body));
    s->at += sizeof(h) + body.len;
    return 1;
}

/* 1: it begins as it has to; 0: it was only just made. */
static int beginning_read(const struct scan *s)
{
    static const char none[JOURNAL_BEGIN];
    char magic[JOURNAL_BEGIN];
    size_t len = s->bytes < sizeof(magic) ? (size_t)s->bytes : sizeof(magic);

    TRY(read_at(s, 0, magic, len));
    if (len == sizeof(magic) && !memcmp(magic, JOURNAL_MAGIC, len))
        return 1;
    if (len < sizeof(magic) && !memcmp(magic, JOURNAL_MAGIC, len))
        return 0;
    if (s->bytes <= sizeof(magic) && !memcmp(magic, none, len))
        return 0;
    return damaged(s, 0, "it is no journal of this version of wherry");
}

int journal_scan(int fd, const char *path,
                 int (*record)(void *ctx, const struct journal_record *r, uint64_t place,
                               struct err *e),
                 void *ctx, struct journal_found *ret, struct err *e)
{
    struct scan s = {.fd = fd, .path = path, .record = record, .ctx = ctx, .e = e};
    off_t end = lseek(fd, 0, SEEK_END);
    int r;

    if (end < 0)
        return err_errno(e, -errno, "StateFailed", "cannot read '%.200s'", path);
    s.bytes = (uint64_t)end;
    TRY(r = beginning_read(&s));
    s.at = r ? JOURNAL_BEGIN : 0;
    while (r && s.at < s.bytes)
        TRY(r = frame_read(&s));
    *ret = (struct journal_found){.size = s.at, .is_torn = s.at < s.bytes, .bytes = s.bytes};
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the journal of objects, as frames behind a good beginning, and as records of a frame
 * with good sums: damage with its place, or records and a length to go on from. */
#include "agent/store/journal.h"
#include "base/fds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t place;
    size_t n, bytes;
};

static int see(void *ctx, const struct journal_record *r, uint64_t place, struct err *e)
{
    struct seen *s = ctx;

    (void)e;
    BUG_ON(place <= s->place || (r->text.len && !r->text.data));
    s->place = place;
    s->n++;
    for (size_t i = 0; i < r->text.len; i++)
        s->bytes += (unsigned char)r->text.data[i] != 0;
    return 0;
}

static int scan(const struct buf *b, struct journal_found *ret, struct seen *seen)
{
    autofd fd = -EBADF;
    struct err e = ERR_INIT;
    int r;

    *seen = (struct seen){0};
    BUG_ON(memfd_from("journal", buf_str(b), b->len, &fd, &e) < 0);
    r = journal_scan(fd, "f", see, seen, ret, &e);
    BUG_ON(r < 0 && !str_eq(e.reason, "StateDamaged"));
    return r;
}

/* What was found good is good without what follows. */
static void check(struct buf *b)
{
    struct journal_found found = {0}, again = {0};
    struct seen seen, same;

    if (scan(b, &found, &seen) < 0)
        return;
    BUG_ON(found.size > b->len || found.bytes != b->len ||
           found.is_torn != (found.size < found.bytes));
    b->len = found.size;
    BUG_ON(scan(b, &again, &same) < 0 || again.is_torn || again.size != found.size);
    BUG_ON(same.n != seen.n || same.bytes != seen.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autobuf raw = BUF_INIT, frames = BUF_INIT, records = BUF_INIT;
    size_t begin;

    buf_add(&raw, data, size);
    check(&raw);
    buf_addstr(&frames, JOURNAL_MAGIC);
    begin = journal_frame_begin(&frames);
    journal_record_add(&frames, JOURNAL_VERSION, 7, (struct text){0});
    journal_frame_end(&frames, begin, begin);
    buf_add(&frames, data, size);
    check(&frames);
    buf_addstr(&records, JOURNAL_MAGIC);
    begin = journal_frame_begin(&records);
    buf_add(&records, data, size);
    journal_frame_end(&records, begin, begin);
    check(&records);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/logs.h"

#include "pod/logs/log_cursor.h"
#include "pod/logs/log_watch.h"

/*
 * Steps of the cursor are made in the pool, one at a time; what they gave is told on the loop's
 * thread. While a step or a call is under way (is_busy) the reader stays, also when it was freed.
 */
struct log_reader {
    struct loop *loop;
    struct log_watch *watch; /* when it is followed */
    struct log_cursor *cursor;
    bool (*data)(void *ctx, const void *data, size_t len);
    void (*ended)(void *ctx, const struct err *e);
    void *ctx;
    bool is_busy, is_freed;
    bool is_paused;
    bool is_dirty;  /* another step is due */
    bool is_ending; /* the log has its end */
    bool is_over;   /* the cursor is at the end, or failed (end.code) */
    bool is_told;
    struct err end;
    /* The pool's while is_busy: */
    bool is_final;
    int result;
    struct buf out;
    struct err failure;
};

static void reader_drop(struct log_reader *r)
{
    log_cursor_free(r->cursor);
    buf_done(&r->out);
    free(r);
}

static void step_make(void *ctx)
{
    struct log_reader *r = ctx;

    r->result = log_cursor_step(r->cursor, r->is_final, &r->out, &r->failure);
}

static void step_made(void *ctx);

/* Does what is due. The reader may be gone after it. */
static void go_on(struct log_reader *r)
{
    if (r->is_busy || r->is_paused || r->is_told)
        return;
    if (r->is_over) {
        log_watch_free(take_ptr(r->watch));
        r->is_told = true;
        r->ended(r->ctx, &r->end);
    } else if (r->is_dirty) {
        r->is_busy = true;
        r->is_dirty = false;
        r->is_final = r->is_ending;
        loop_work(r->loop, step_make, step_made, r);
    }
}

/* Nothing is under way any more. False when the reader was freed meanwhile, and is gone now. */
static bool is_kept(struct log_reader *r)
{
    r->is_busy = false;
    if (!r->is_freed)
        return true;
    reader_drop(r);
    return false;
}

static void step_made(void *ctx)
{
    struct log_reader *r = ctx;

    if (!r->is_freed && r->out.len)
        r->is_paused = !r->data(r->ctx, r->out.data, r->out.len);
    buf_done(&r->out);
    r->is_dirty |= r->result == LOG_MORE;
    r->is_over = r->result < 0 || r->result == LOG_END;
    if (r->result < 0)
        r->end = r->failure;
    if (is_kept(r))
        go_on(r);
}

static void changed(void *ctx, const struct err *failure)
{
    struct log_reader *r = ctx;

    /* What is there is delivered before it is told. */
    if (failure) {
        r->end = *failure;
        r->is_ending = true;
    }
    r->is_dirty = true;
    go_on(r);
}

int log_reader_new(struct loop *l, const char *path, const struct log_query *q,
                   bool (*data)(void *ctx, const void *data, size_t len),
                   void (*ended)(void *ctx, const struct err *e), void *ctx,
                   struct log_reader **ret, struct err *e)
{
    struct log_reader *r = xcalloc(1, sizeof *r);

    *r = (struct log_reader){.loop = l, .data = data, .ended = ended, .ctx = ctx};
    /* Watched before it is read, so that no change is missed. */
    if (q->is_followed) {
        int result = log_watch_new(l, path, changed, r, &r->watch, e);

        if (result < 0) {
            free(r);
            return result;
        }
    }
    r->cursor = log_cursor_new(path, q);
    r->is_dirty = true;
    go_on(r);
    *ret = r;
    return 0;
}

static void resumed(void *ctx)
{
    struct log_reader *r = ctx;

    if (is_kept(r))
        go_on(r);
}

void log_reader_resume(struct log_reader *r)
{
    r->is_paused = false;
    if (r->is_busy || r->is_told)
        return;
    /* Not from here: the caller need not expect its `ended` before this returns. */
    r->is_busy = true;
    loop_defer(r->loop, resumed, r);
}

void log_reader_end(struct log_reader *r)
{
    r->is_ending = r->is_dirty = true;
    if (!r->is_over)
        go_on(r);
}

void log_reader_free(struct log_reader *r)
{
    if (!r)
        return;
    log_watch_free(take_ptr(r->watch));
    if (!r->is_busy) {
        reader_drop(r);
        return;
    }
    r->is_freed = true;
    log_cursor_cancel(r->cursor);
}

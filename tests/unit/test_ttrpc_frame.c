/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"
#include "wire/ttrpc_frame.h"

static void frame_add(struct buf *out, uint32_t id, const char *payload)
{
    size_t begin = ttrpc_frame_begin(out);
    buf_addstr(out, payload);
    ttrpc_frame_end(out, begin, id, TTRPC_REQUEST, TTRPC_REMOTE_CLOSED);
}

static void a_frame_is_ten_bytes_of_header_and_the_payload(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    frame_add(&out, 0x01020305, "hi");
    assert_int_equal(out.len, 12);
    assert_memory_equal(out.data, "\0\0\0\2\1\2\3\5\1\1hi", 12);
}

static void frames_are_cut_the_same_in_whatever_pieces_they_come(void **state)
{
    (void)state;
    autobuf in = BUF_INIT;
    const char *const payloads[] = {"first", "", "third one"};
    for (uint32_t i = 0; i < 3; i++)
        frame_add(&in, i, payloads[i]);
    for (size_t piece = 1; piece <= in.len; piece++) {
        struct ttrpc_reader r = TTRPC_READER_INIT;
        struct ttrpc_frame f;
        uint32_t n = 0;
        for (size_t at = 0; at < in.len; at += piece) {
            struct text t = {in.data + at, in.len - at < piece ? in.len - at : piece};
            while (ttrpc_reader_next(&r, &t, &f)) {
                const char *wanted = n < 3 ? payloads[n] : "";
                assert_int_equal(f.stream_id, n);
                assert_int_equal(f.type, TTRPC_REQUEST);
                assert_int_equal(f.flags, TTRPC_REMOTE_CLOSED);
                assert_true(text_eq(f.payload, wanted));
                n++;
            }
            assert_int_equal(t.len, 0);
        }
        assert_int_equal(n, 3);
        ttrpc_reader_done(&r);
    }
}

static void a_payload_that_is_too_large_is_told_at_its_header_and_skipped(void **state)
{
    (void)state;
    autobuf in = BUF_INIT;
    struct ttrpc_reader r = TTRPC_READER_INIT;
    struct ttrpc_frame f;
    buf_add(&in, "\0\x40\0\1\0\0\0\7\1\0", TTRPC_HEADER_SIZE); /* 4 MiB and a byte */
    struct text t = {in.data, in.len};
    assert_true(ttrpc_reader_next(&r, &t, &f));
    assert_true(f.is_too_large);
    assert_int_equal(f.stream_id, 7);
    assert_int_equal(f.len, TTRPC_PAYLOAD_LIMIT + 1);
    assert_null(f.payload.data);
    buf_clear(&in);
    memset(buf_reserve(&in, f.len), 'x', f.len);
    in.len = f.len;
    frame_add(&in, 9, "after");
    t = (struct text){in.data, in.len};
    assert_true(ttrpc_reader_next(&r, &t, &f));
    assert_int_equal(f.stream_id, 9);
    assert_true(text_eq(f.payload, "after"));
    ttrpc_reader_done(&r);
}

static void a_payload_as_large_as_allowed_is_kept(void **state)
{
    (void)state;
    autobuf in = BUF_INIT;
    struct ttrpc_reader r = TTRPC_READER_INIT;
    struct ttrpc_frame f;
    size_t begin = ttrpc_frame_begin(&in);
    memset(buf_reserve(&in, TTRPC_PAYLOAD_LIMIT), 'x', TTRPC_PAYLOAD_LIMIT);
    in.len += TTRPC_PAYLOAD_LIMIT;
    ttrpc_frame_end(&in, begin, 1, TTRPC_REQUEST, 0);
    struct text t = {in.data, in.len};
    assert_true(ttrpc_reader_next(&r, &t, &f));
    assert_int_equal(f.payload.len, TTRPC_PAYLOAD_LIMIT);
    ttrpc_reader_done(&r);
}

static void nothing_is_held_for_a_payload_that_was_only_announced(void **state)
{
    (void)state;
    struct ttrpc_reader r = TTRPC_READER_INIT;
    struct ttrpc_frame f;
    struct text t = {"\0\x40\0\0\0\0\0\7\1\0some", 14};
    assert_false(ttrpc_reader_next(&r, &t, &f));
    assert_true(r.pending.cap < 65536);
    ttrpc_reader_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_ten_bytes_of_header_and_the_payload),
        cmocka_unit_test(frames_are_cut_the_same_in_whatever_pieces_they_come),
        cmocka_unit_test(a_payload_that_is_too_large_is_told_at_its_header_and_skipped),
        cmocka_unit_test(a_payload_as_large_as_allowed_is_kept),
        cmocka_unit_test(nothing_is_held_for_a_payload_that_was_only_announced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

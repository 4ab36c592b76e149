/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of shim/messages: the bytes here are what containerd's own Go code packs (api
 * v1.12.0, protobuf-go's deterministic form), with every field set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "shim/messages/messages.h"

#define CREATE                                                                                     \
    "0a01691201621a150a076f7665726c617912016f1a017422016122016220012a01303201313a01324201634a0170" \
    "52060a0174120176"
#define STATE     "0a0169120162180720032a01303201313a0132400148890152080880e2cfaa0610055a0165"
#define ANY_AFTER "0a0174120176"

static const struct {
    const ProtobufCMessageDescriptor *type;
    const char *hex;
} packed[] = {
    {&task__create_task_request__descriptor,        CREATE                                                                       },
    {&task__state_response__descriptor,             STATE                                                                        },
    {&task__update_task_request__descriptor,        "0a01691206" ANY_AFTER "1a060a016b120177"                                    },
    {&task__pids_response__descriptor,              "0a0a08091206" ANY_AFTER                                                     },
    {&task__exec_process_request__descriptor,       "0a0169120165"
                                              "18012201302a01313201323a06" ANY_AFTER},
    {&task__kill_request__descriptor,               "0a0169120165180f2001"                                                       },
    {&events__task_exit__descriptor,                "0a0163120169180720032a080880e2cfaa061005"                                   },
    {&events__task_create__descriptor,
     "0a01631201621a150a076f7665726c617912016f1a0174220161220162220b0a01301201311a013220012a016b"
     "3007"                                                                                                                      },
    {&sandbox__sandbox_status_response__descriptor,
     "0a017310071a0d53414e44424f585f524541445922060a016b1201772a080880e2cfaa06100532080880e2cfaa06"
     "10053a06" ANY_AFTER                                                                                                        },
    {&bootstrap__params__descriptor,
     "0a016912016e18fcffffffffffffffff012203322e332a01743201673a016242080a06" ANY_AFTER "4a0164"                                 },
    {&bootstrap__runtime_info__descriptor,
     "0a016e12060a01761201721a06" ANY_AFTER "2206" ANY_AFTER "2a060a016b120177"                                                  },
    {&options__runtime__descriptor,                 "0a01741201701a03783d31"                                                     },
};

static void unhex(const char *hex, struct buf *out)
{
    for (; hex[0]; hex += 2)
        buf_addc(out, (char)(text_hex_digit(hex[0]) << 4 | text_hex_digit(hex[1])));
}

/* Unpacks what is known to be good. */
static void *unpack(struct arena *a, const ProtobufCMessageDescriptor *d, const char *hex)
{
    autobuf bytes = BUF_INIT;
    struct err e = ERR_INIT;
    void *m = NULL;
    unhex(hex, &bytes);
    assert_int_equal(protobuf_unpack(d, (struct text){bytes.data, bytes.len}, a, &m, &e), 0);
    return m;
}

static void what_containerd_packs_has_no_unknown_field_and_packs_to_the_same_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packed); i++) {
        AUTO(arena) a = arena_new();
        autobuf expected = BUF_INIT, again = BUF_INIT;
        ProtobufCMessage *m = unpack(a, packed[i].type, packed[i].hex);
        assert_int_equal(m->n_unknown_fields, 0);
        protobuf_add(m, &again);
        unhex(packed[i].hex, &expected);
        assert_int_equal(again.len, expected.len);
        assert_memory_equal(again.data, expected.data, expected.len);
    }
}

static void a_create_request_is_read_with_its_mounts_and_options(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    Task__CreateTaskRequest *r = unpack(a, &task__create_task_request__descriptor, CREATE);
    assert_string_equal(r->id, "i");
    assert_string_equal(r->bundle, "b");
    assert_int_equal(r->n_rootfs, 1);
    assert_string_equal(r->rootfs[0]->type, "overlay");
    assert_string_equal(r->rootfs[0]->source, "o");
    assert_string_equal(r->rootfs[0]->target, "t");
    assert_int_equal(r->rootfs[0]->n_options, 2);
    assert_string_equal(r->rootfs[0]->options[1], "b");
    assert_true(r->terminal);
    assert_string_equal(r->stdin, "0");
    assert_string_equal(r->stdout, "1");
    assert_string_equal(r->stderr, "2");
    assert_string_equal(r->options->type_url, "t");
    assert_int_equal(r->options->value.len, 1);
}

static void fields_that_are_not_there_are_empty(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    Task__CreateTaskRequest *r = unpack(a, &task__create_task_request__descriptor, "");
    assert_string_equal(r->id, "");
    assert_int_equal(r->n_rootfs, 0);
    assert_null(r->options);
}

static void an_old_any_reads_as_parameters_whose_id_is_its_type(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    Bootstrap__Params *p = unpack(a, &bootstrap__params__descriptor, ANY_AFTER);
    assert_string_equal(p->instance_id, "t");
    assert_string_equal(p->namespace_, "v");
}

static void bytes_that_are_no_message_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"0a", "0a0569", "ff", "0b", "0a8080808080808080808001", "1202"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(arena) a = arena_new();
        autobuf bytes = BUF_INIT;
        struct err e = ERR_INIT;
        Task__KillRequest *untouched = NULL;
        unhex(bad[i], &bytes);
        assert_int_equal(protobuf_unpack(&task__kill_request__descriptor,
                                         (struct text){bytes.data, bytes.len}, a, &untouched, &e),
                         -EBADMSG);
        assert_string_equal(e.reason, "BadMessage");
        assert_null(untouched);
    }
}

static void a_message_that_would_need_too_much_memory_is_refused(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    autobuf bytes = BUF_INIT;
    struct err e = ERR_INIT;
    Task__CreateTaskRequest *untouched = NULL;
    for (int i = 0; i < 2000000; i++)
        buf_add(&bytes, "\x1a", 2); /* an empty mount */
    assert_int_equal(protobuf_unpack(&task__create_task_request__descriptor,
                                     (struct text){bytes.data, bytes.len}, a, &untouched, &e),
                     -EFBIG);
    assert_string_equal(e.reason, "MessageTooLarge");
    assert_true(arena_used(a) <= PROTOBUF_MEMORY_LIMIT);
    assert_null(untouched);
}

static void an_any_is_recognised_with_and_without_the_prefix_of_its_type(void **state)
{
    (void)state;
    autobuf bytes = BUF_INIT;
    Options__Runc options = OPTIONS__RUNC__INIT;
    options.binary_name = (char *)"crun";
    protobuf_add(&options.base, &bytes);
    const char *const names[] = {MESSAGE_RUNC_OPTIONS, "type.googleapis.com/" MESSAGE_RUNC_OPTIONS};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO(arena) a = arena_new();
        struct err e = ERR_INIT;
        Options__Runc *again = NULL;
        Types__Any any = message_any(names[i], &bytes);
        assert_int_equal(message_any_unpack(&any, MESSAGE_RUNC_OPTIONS, &options__runc__descriptor,
                                            a, &again, &e),
                         0);
        assert_string_equal(again->binary_name, "crun");
    }
}

static void an_any_of_another_type_or_none_is_refused_by_name(void **state)
{
    (void)state;
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    struct buf none = BUF_INIT;
    Options__Runc *untouched = NULL;
    Types__Any any = message_any(MESSAGE_RUNTIME_OPTIONS, &none);
    assert_int_equal(message_any_unpack(&any, MESSAGE_RUNC_OPTIONS, &options__runc__descriptor, a,
                                        &untouched, &e),
                     -EBADMSG);
    assert_non_null(strstr(e.msg, MESSAGE_RUNTIME_OPTIONS));
    assert_int_equal(message_any_unpack(NULL, MESSAGE_RUNC_OPTIONS, &options__runc__descriptor, a,
                                        &untouched, &e),
                     -EBADMSG);
    assert_null(untouched);
}

static void a_moment_becomes_seconds_and_nanoseconds(void **state)
{
    (void)state;
    Types__Timestamp t = message_timestamp(1700000000000000005u);
    assert_int_equal(t.seconds, 1700000000);
    assert_int_equal(t.nanos, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_containerd_packs_has_no_unknown_field_and_packs_to_the_same_bytes),
        cmocka_unit_test(a_create_request_is_read_with_its_mounts_and_options),
        cmocka_unit_test(fields_that_are_not_there_are_empty),
        cmocka_unit_test(an_old_any_reads_as_parameters_whose_id_is_its_type),
        cmocka_unit_test(bytes_that_are_no_message_are_refused),
        cmocka_unit_test(a_message_that_would_need_too_much_memory_is_refused),
        cmocka_unit_test(an_any_is_recognised_with_and_without_the_prefix_of_its_type),
        cmocka_unit_test(an_any_of_another_type_or_none_is_refused_by_name),
        cmocka_unit_test(a_moment_becomes_seconds_and_nanoseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

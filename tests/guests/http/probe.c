/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers HTTP requests over wasi:http 0.2, and does with them what tests want to see. The last
 * segment of the path selects what; ../README.md has the list.
 */

#include "exchange.h"
#include "fetch.h"
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { block_size = 65536 };

static size_t query_number(const struct exchange *x)
{
    return strtoul(x->query, NULL, 10);
}

static void hello(struct exchange *x)
{
    answer_text(x, 200, "hello\n");
}

static void counter(struct exchange *x)
{
    static unsigned n_requests;

    answer_text(x, 200, "%u\n", ++n_requests);
}

/* The trailers of a request that has been read to its end: a copy that can be sent, or false. */
static bool trailers_read(wasi_http_types_own_incoming_body_t body,
                          wasi_http_types_own_fields_t *ret_trailers)
{
    wasi_http_types_own_future_trailers_t future =
        wasi_http_types_static_incoming_body_finish(body);
    wasi_http_types_borrow_future_trailers_t borrowed =
        wasi_http_types_borrow_future_trailers(future);
    wasi_http_types_result_result_option_own_trailers_error_code_void_t result;
    bool has_trailers = false;

    wait(wasi_http_types_method_future_trailers_subscribe(borrowed));
    if (!wasi_http_types_method_future_trailers_get(borrowed, &result) || result.is_err)
        abort();
    if (!result.val.ok.is_err && result.val.ok.val.ok.is_some) {
        wasi_http_types_own_fields_t received = result.val.ok.val.ok.val;

        *ret_trailers =
            wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(received));
        wasi_http_types_fields_drop_own(received);
        has_trailers = true;
    }
    wasi_http_types_future_trailers_drop_own(future);
    return has_trailers;
}

typedef bool (*take_fn)(struct exchange *x, const uint8_t *data, size_t size);

/* True when `take` took everything, until the end of the request. */
static bool body_read(struct exchange *x, wasi_io_streams_own_input_stream_t stream, take_fn take)
{
    wasi_io_streams_stream_error_t error;
    guest_list_u8_t list;
    bool is_taken = true;

    while (is_taken) {
        if (!wasi_io_streams_method_input_stream_blocking_read(
                wasi_io_streams_borrow_input_stream(stream), block_size, &list, &error)) {
            bool is_end = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;

            wasi_io_streams_stream_error_free(&error);
            return is_end;
        }
        is_taken = take(x, list.ptr, list.len);
        guest_list_u8_free(&list);
    }
    return false;
}

static bool write_through(struct exchange *x, const uint8_t *data, size_t size)
{
    return answer_write(x, data, size) && answer_flush(x);
}

static struct adler32 {
    size_t size;
    uint32_t a, b;
} sum;

/* RFC 1950, section 8. */
static bool sum_up(struct exchange *x, const uint8_t *data, size_t size)
{
    size_t i;

    (void)x;
    for (i = 0; i < size; i++) {
        sum.a = (sum.a + data[i]) % 65521;
        sum.b = (sum.b + sum.a) % 65521;
    }
    sum.size += size;
    return true;
}

static void body_open(struct exchange *x, wasi_http_types_own_incoming_body_t *ret_body,
                      wasi_io_streams_own_input_stream_t *ret_stream)
{
    if (!wasi_http_types_method_incoming_request_consume(
            wasi_http_types_borrow_incoming_request(x->request), ret_body) ||
        !wasi_http_types_method_incoming_body_stream(
            wasi_http_types_borrow_incoming_body(*ret_body), ret_stream))
        abort();
}

/* Answers when it has read all. */
static void upload(struct exchange *x)
{
    wasi_http_types_own_incoming_body_t body;
    wasi_io_streams_own_input_stream_t stream;
    bool is_whole;

    body_open(x, &body, &stream);
    sum = (struct adler32){.a = 1};
    is_whole = body_read(x, stream, sum_up);
    wasi_io_streams_input_stream_drop_own(stream);
    wasi_http_types_incoming_body_drop_own(body);
    answer_text(x, is_whole ? 200 : 400, "%zu bytes, %u\n", sum.size, sum.b << 16 | sum.a);
}

static void echo(struct exchange *x)
{
    wasi_http_types_borrow_incoming_request_t request =
        wasi_http_types_borrow_incoming_request(x->request);
    wasi_http_types_own_fields_t headers = headers_new(NULL, NULL), received, trailers;
    wasi_http_types_own_incoming_body_t body;
    wasi_io_streams_own_input_stream_t stream;
    bool is_whole, has_trailers;

    received = wasi_http_types_method_incoming_request_headers(request);
    headers_copy(headers, received, "content-type");
    headers_copy(headers, received, "trailer"); /* HTTP/1.1 servers send only what is named there */
    wasi_http_types_fields_drop_own(received);
    body_open(x, &body, &stream);
    if (!answer_start(x, 200, headers))
        abort();

    is_whole = body_read(x, stream, write_through);
    wasi_io_streams_input_stream_drop_own(stream);
    if (!is_whole) {
        wasi_http_types_incoming_body_drop_own(body);
        answer_cut_off(x);
        return;
    }
    has_trailers = trailers_read(body, &trailers);
    answer_end(x, has_trailers ? &trailers : NULL);
}

static void add_method(struct exchange *x)
{
    static const char *names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                  "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    wasi_http_types_method_t method;

    wasi_http_types_method_incoming_request_method(
        wasi_http_types_borrow_incoming_request(x->request), &method);
    if (method.tag == WASI_HTTP_TYPES_METHOD_OTHER)
        text_add(x, "method %.*s\n", (int)method.val.other.len, method.val.other.ptr);
    else
        text_add(x, "method %s\n", names[method.tag]);
    wasi_http_types_method_free(&method);
}

static void add_scheme(struct exchange *x)
{
    static const char *names[] = {"http", "https"};
    wasi_http_types_scheme_t scheme;

    if (!wasi_http_types_method_incoming_request_scheme(
            wasi_http_types_borrow_incoming_request(x->request), &scheme)) {
        text_add(x, "scheme -\n");
        return;
    }
    if (scheme.tag == WASI_HTTP_TYPES_SCHEME_OTHER)
        text_add(x, "scheme %.*s\n", (int)scheme.val.other.len, scheme.val.other.ptr);
    else
        text_add(x, "scheme %s\n", names[scheme.tag]);
    wasi_http_types_scheme_free(&scheme);
}

static void add_string(struct exchange *x, const char *what, bool is_some, guest_string_t *string)
{
    if (is_some)
        text_add(x, "%s %.*s\n", what, (int)string->len, string->ptr);
    else
        text_add(x, "%s -\n", what);
    if (is_some)
        guest_string_free(string);
}

static void headers(struct exchange *x)
{
    wasi_http_types_borrow_incoming_request_t request =
        wasi_http_types_borrow_incoming_request(x->request);
    wasi_http_types_own_fields_t fields = wasi_http_types_method_incoming_request_headers(request);
    guest_list_tuple2_field_name_field_value_t entries;
    guest_string_t string;
    bool is_some;

    add_method(x);
    is_some = wasi_http_types_method_incoming_request_path_with_query(request, &string);
    add_string(x, "path-with-query", is_some, &string);
    add_scheme(x);
    is_some = wasi_http_types_method_incoming_request_authority(request, &string);
    add_string(x, "authority", is_some, &string);

    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields), &entries);
    for (size_t i = 0; i < entries.len; i++)
        text_add(x, "%.*s: %.*s\n", (int)entries.ptr[i].f0.len, entries.ptr[i].f0.ptr,
                 (int)entries.ptr[i].f1.len, entries.ptr[i].f1.ptr);
    guest_list_tuple2_field_name_field_value_free(&entries);
    wasi_http_types_fields_drop_own(fields);
    answer_collected(x, 200);
}

static void secret_plant_path(struct exchange *x)
{
    secret_plant(x->query);
    answer_text(x, 200, "planted\n");
}

static void secret_look_path(struct exchange *x)
{
    answer_text(x, 200, "%zu\n", secret_look());
}

/* Shows that what is there is found. */
static void secret_both_path(struct exchange *x)
{
    secret_plant(x->query);
    answer_text(x, 200, "%zu\n", secret_look());
}

/* Sends a head with this header and the alphabet, over and over, so that a reader can tell what is
 * missing. */
static bool letters_send(struct exchange *x, const char *name, const char *value, size_t size)
{
    enum { period = 26 };
    static char letters[block_size + period];

    for (size_t i = 0; i < sizeof(letters); i++)
        letters[i] = (char)('a' + i % period);
    if (!answer_start(x, 200, headers_new(name, value)))
        abort();
    for (size_t pos = 0; pos < size; pos += block_size) {
        size_t n_left = size - pos;

        if (!answer_write(x, letters + pos % period, n_left < block_size ? n_left : block_size))
            return false;
    }
    return answer_flush(x);
}

static void letters_answer(struct exchange *x, const char *name, const char *value)
{
    if (letters_send(x, name, value, query_number(x)))
        answer_end(x, NULL);
    else
        answer_cut_off(x);
}

static void download(struct exchange *x)
{
    letters_answer(x, "content-type", "text/plain");
}

static void sized(struct exchange *x)
{
    letters_answer(x, "content-length", x->query);
}

/* A body of one write without bytes. */
static void nothing(struct exchange *x)
{
    wasi_io_streams_stream_error_t error;
    guest_list_u8_t list = {(uint8_t *)"", 0};

    if (!answer_start(x, 200, headers_new(NULL, NULL)) ||
        !wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(x->stream), &list, &error))
        abort();
    answer_end(x, NULL);
}

static void trap(struct exchange *x)
{
    (void)x;
    __builtin_trap();
}

static void trap_late(struct exchange *x)
{
    letters_send(x, "content-type", "text/plain", query_number(x));
    __builtin_trap();
}

static void unfinished(struct exchange *x)
{
    letters_send(x, "content-type", "text/plain", query_number(x));
    answer_cut_off(x);
}

static void loop(struct exchange *x)
{
    (void)x;
    for (;;)
        __asm__ volatile("");
}

static void grow(struct exchange *x)
{
    enum { mib = 1024 * 1024 };
    char *block;

    (void)x;
    while ((block = malloc(mib))) {
        memset(block, 0xa5, mib); /* the pages are wanted, not the addresses */
        __asm__ volatile("" : : "r"(block) : "memory");
    }
    __builtin_trap();
}

static void error(struct exchange *x)
{
    wasi_http_types_result_own_outgoing_response_error_code_t result = {
        .is_err = true,
        .val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR,
    };

    wasi_http_types_static_response_outparam_set(x->out, &result);
}

/* What may answer was given away by the first answer, so the second traps. */
static void twice(struct exchange *x)
{
    wasi_http_types_own_response_outparam_t out = x->out;

    answer_text(x, 200, "first\n");
    x->out = out;
    answer_text(x, 200, "second\n");
}

static void sleep_path(struct exchange *x)
{
    wait(wasi_clocks_monotonic_clock_subscribe_duration(query_number(x) * UINT64_C(1000000)));
    answer_text(x, 200, "slept\n");
}

static void after(struct exchange *x)
{
    answer_text(x, 200, "answered\n");
    wait(wasi_clocks_monotonic_clock_subscribe_duration(query_number(x) * UINT64_C(1000000)));
    printf("went on\n");
    fflush(stdout);
}

static void noread(struct exchange *x)
{
    answer_text(x, 200, "not read\n");
}

/* `n` bytes of body below a head that promises others. */
static void length(struct exchange *x, const char *promised, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

    if (!answer_start(x, 200, headers_new("content-length", promised)))
        abort();
    answer_write(x, letters, n);
    answer_end(x, NULL);
}

static void length_short(struct exchange *x)
{
    length(x, "20", 10);
}

static void length_long(struct exchange *x)
{
    length(x, "10", 20);
}

static void status(struct exchange *x)
{
    size_t code = query_number(x);
    char text[32];

    if (!answer_start(x, (unsigned)code, headers_new(NULL, NULL))) {
        answer_text(x, 500, "the host refuses status %zu\n", code);
        return;
    }
    snprintf(text, sizeof(text), "status %zu\n", code);
    if (code >= 200 && code != 204 && code != 304) /* the others have no body */
        answer_write(x, text, strlen(text));
    answer_end(x, NULL);
}

static void env(struct exchange *x)
{
    guest_list_tuple2_string_string_t list;

    wasi_cli_environment_get_environment(&list);
    for (size_t i = 0; i < list.len; i++)
        text_add(x, "%.*s=%.*s\n", (int)list.ptr[i].f0.len, list.ptr[i].f0.ptr,
                 (int)list.ptr[i].f1.len, list.ptr[i].f1.ptr);
    guest_list_tuple2_string_string_free(&list);
    answer_collected(x, 200);
}

static void stdout_path(struct exchange *x)
{
    printf("a line on stdout\n");
    fflush(stdout);
    fprintf(stderr, "a line on stderr\n");
    answer_text(x, 200, "printed\n");
}

static const struct {
    const char *name;
    void (*run)(struct exchange *x);
} paths[] = {
    {"hello",        hello            },
    {"echo",         echo             },
    {"upload",       upload           },
    {"headers",      headers          },
    {"counter",      counter          },
    {"secret-plant", secret_plant_path},
    {"secret-look",  secret_look_path },
    {"secret-both",  secret_both_path },
    {"download",     download         },
    {"sized",        sized            },
    {"nothing",      nothing          },
    {"trap",         trap             },
    {"trap-late",    trap_late        },
    {"unfinished",   unfinished       },
    {"loop",         loop             },
    {"grow",         grow             },
    {"error",        error            },
    {"twice",        twice            },
    {"sleep",        sleep_path       },
    {"after",        after            },
    {"noread",       noread           },
    {"length-short", length_short     },
    {"length-long",  length_long      },
    {"status",       status           },
    {"fetch",        fetch            },
    {"env",          env              },
    {"stdout",       stdout_path      },
};

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    struct exchange x;

    exchange_init(&x, request, out);
    if (strcmp(x.name, "never") == 0)
        return; /* and drops nothing either */
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(x.name, paths[i].name) == 0) {
            paths[i].run(&x);
            exchange_done(&x);
            return;
        }
    }
    answer_text(&x, 404, "no such path\n");
    exchange_done(&x);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers HTTP requests over wasi:http 0.3, as probe.c does over 0.2, for fewer paths.
 *
 * A request is a chain of operations of which one is under way at a time. Each is begun by a
 * function that returns the status it got from the host and leaves in `step` what takes the final
 * one: at once where the host is quick, else when the host calls back. Nothing here blocks, and
 * nothing calls a host through the C library, which knows WASI 0.1 only.
 */

#include "guest.h"

#include <stdlib.h>
#include <string.h>

enum { block_size = 65536, period = 26 };

struct exchange {
    wasi_http_types_own_request_t request; /* until it is consumed or dropped */
    bool is_consumed;
    char *target;      /* path and query, or "" */
    const char *name;  /* the last segment of the path */
    const char *query; /* what follows the first '?', or "" */
    guest_waitable_set_t waitables;

    guest_waitable_status_t (*step)(struct exchange *x, guest_waitable_status_t status);
    guest_waitable_status_t (*more)(struct exchange *x); /* when a block is written */

    /* The answer. */
    wasi_http_types_stream_u8_writer_t body;
    wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
    wasi_http_types_result_option_own_trailers_error_code_t end; /* read by the host */
    const char *block;
    size_t n_block, n_written;
    char *text; /* collected by text_add() */
    size_t n_text;

    /* For some paths. */
    char *buffer;
    guest_subtask_t sleep;
    size_t n_left, pos;
    bool is_trapping; /* once all is sent */
    wasi_http_types_stream_u8_t in;
    wasi_http_types_future_result_option_own_trailers_error_code_t in_trailers;
    wasi_http_types_future_result_void_error_code_writer_t in_result;
    wasi_http_types_result_void_error_code_t in_is_fine; /* read by the host */
    bool is_in_ended;
};

static size_t query_number(const struct exchange *x)
{
    return strtoul(x->query, NULL, 10);
}

/* The last step of all: the host has, or does not want, what says how the request was handled. */
static guest_waitable_status_t in_result_written(struct exchange *x, guest_waitable_status_t status)
{
    (void)status;
    wasi_http_types_future_result_void_error_code_drop_writable(x->in_result);
    x->step = NULL;
    return 0;
}

static guest_waitable_status_t trailers_written(struct exchange *x, guest_waitable_status_t status)
{
    (void)status;
    wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(x->trailers);
    x->step = NULL;
    if (!x->is_consumed)
        return 0;
    wasi_http_types_stream_u8_drop_readable(x->in);
    wasi_http_types_future_result_option_own_trailers_error_code_drop_readable(x->in_trailers);
    x->step = in_result_written;
    return wasi_http_types_future_result_void_error_code_write(x->in_result, &x->in_is_fine);
}

static guest_waitable_status_t body_end(struct exchange *x)
{
    wasi_http_types_stream_u8_drop_writable(x->body);
    x->step = trailers_written;
    return wasi_http_types_future_result_option_own_trailers_error_code_write(x->trailers, &x->end);
}

static guest_waitable_status_t block_written(struct exchange *x, guest_waitable_status_t status)
{
    x->n_written += GUEST_WAITABLE_COUNT(status);
    if (GUEST_WAITABLE_STATE(status) != GUEST_WAITABLE_COMPLETED)
        return body_end(x); /* the client has gone */
    if (x->n_written == x->n_block)
        return x->more(x);
    return wasi_http_types_stream_u8_write(x->body, (const uint8_t *)x->block + x->n_written,
                                           x->n_block - x->n_written);
}

static guest_waitable_status_t block_write(struct exchange *x, const char *block, size_t size)
{
    x->block = block;
    x->n_block = size;
    x->n_written = 0;
    x->step = block_written;
    return wasi_http_types_stream_u8_write(x->body, (const uint8_t *)block, size);
}

/* Gives the response away; `headers` are taken. Its body and trailers are still to be written. */
static void answer_start(struct exchange *x, unsigned status, wasi_http_types_own_fields_t headers)
{
    wasi_http_types_tuple2_own_response_future_result_void_error_code_t response;
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
    wasi_http_types_stream_u8_t body = wasi_http_types_stream_u8_new(&x->body);

    wasi_http_types_static_response_new(
        headers, &body,
        wasi_http_types_future_result_option_own_trailers_error_code_new(&x->trailers), &response);
    guest_waitable_join(x->body, x->waitables);
    guest_waitable_join(x->trailers, x->waitables);
    wasi_http_types_future_result_void_error_code_drop_readable(response.f1);
    if (!wasi_http_types_method_response_set_status_code(
            wasi_http_types_borrow_response(response.f0), (uint16_t)status))
        abort();
    result.val.ok = response.f0;
    exports_wasi_http_handler_handle_return(result);
}

static wasi_http_types_own_fields_t headers_text(void)
{
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_field_value_t value = {(uint8_t *)"text/plain", strlen("text/plain")};
    wasi_http_types_header_error_t error;
    guest_string_t name;

    guest_string_set(&name, "content-type");
    if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value,
                                              &error))
        abort();
    return headers;
}

static void text_add(struct exchange *x, const void *piece, size_t size)
{
    x->text = realloc(x->text, x->n_text + size);
    if (!x->text)
        abort();
    memcpy(x->text + x->n_text, piece, size);
    x->n_text += size;
}

static void text_puts(struct exchange *x, const char *piece)
{
    text_add(x, piece, strlen(piece));
}

static void text_number(struct exchange *x, unsigned number)
{
    char digits[10], *p = digits + sizeof(digits);

    do
        *--p = (char)('0' + number % 10);
    while (number /= 10);
    text_add(x, p, (size_t)(digits + sizeof(digits) - p));
}

/* Answers with the text collected. */
static guest_waitable_status_t answer_collected(struct exchange *x, unsigned status)
{
    answer_start(x, status, headers_text());
    x->more = body_end;
    return block_write(x, x->text, x->n_text);
}

static guest_waitable_status_t hello(struct exchange *x)
{
    text_puts(x, "hello\n");
    return answer_collected(x, 200);
}

static guest_waitable_status_t counter(struct exchange *x)
{
    static unsigned n_requests;

    text_number(x, ++n_requests);
    text_puts(x, "\n");
    return answer_collected(x, 200);
}

static void add_line(struct exchange *x, const char *what, const void *value, size_t size)
{
    text_puts(x, what);
    text_add(x, value, size);
    text_puts(x, "\n");
}

static void add_method(struct exchange *x)
{
    static const char *names[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                  "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    wasi_http_types_method_t method;

    wasi_http_types_method_request_get_method(wasi_http_types_borrow_request(x->request), &method);
    if (method.tag == WASI_HTTP_TYPES_METHOD_OTHER)
        add_line(x, "method ", method.val.other.ptr, method.val.other.len);
    else
        add_line(x, "method ", names[method.tag], strlen(names[method.tag]));
    wasi_http_types_method_free(&method);
}

static void add_scheme(struct exchange *x)
{
    static const char *names[] = {"http", "https"};
    wasi_http_types_scheme_t scheme;

    if (!wasi_http_types_method_request_get_scheme(wasi_http_types_borrow_request(x->request),
                                                   &scheme)) {
        text_puts(x, "scheme -\n");
        return;
    }
    if (scheme.tag == WASI_HTTP_TYPES_SCHEME_OTHER)
        add_line(x, "scheme ", scheme.val.other.ptr, scheme.val.other.len);
    else
        add_line(x, "scheme ", names[scheme.tag], strlen(names[scheme.tag]));
    wasi_http_types_scheme_free(&scheme);
}

static void add_string(struct exchange *x, const char *what, bool is_some, guest_string_t *string)
{
    if (!is_some) {
        add_line(x, what, "-", 1);
        return;
    }
    add_line(x, what, string->ptr, string->len);
    guest_string_free(string);
}

static guest_waitable_status_t headers(struct exchange *x)
{
    wasi_http_types_borrow_request_t request = wasi_http_types_borrow_request(x->request);
    wasi_http_types_own_fields_t fields = wasi_http_types_method_request_get_headers(request);
    guest_list_tuple2_field_name_field_value_t entries;
    guest_string_t string;
    bool is_some;

    add_method(x);
    is_some = wasi_http_types_method_request_get_path_with_query(request, &string);
    add_string(x, "path-with-query ", is_some, &string);
    add_scheme(x);
    is_some = wasi_http_types_method_request_get_authority(request, &string);
    add_string(x, "authority ", is_some, &string);

    wasi_http_types_method_fields_copy_all(wasi_http_types_borrow_fields(fields), &entries);
    for (size_t i = 0; i < entries.len; i++) {
        text_add(x, entries.ptr[i].f0.ptr, entries.ptr[i].f0.len);
        add_line(x, ": ", entries.ptr[i].f1.ptr, entries.ptr[i].f1.len);
    }
    guest_list_tuple2_field_name_field_value_free(&entries);
    wasi_http_types_fields_drop_own(fields);
    return answer_collected(x, 200);
}

/* Of its own for every request, since an instance may serve several at once. */
static void buffer_new(struct exchange *x)
{
    x->buffer = malloc(block_size + period);
    if (!x->buffer)
        abort();
}

static guest_waitable_status_t trap(struct exchange *x)
{
    (void)x;
    __builtin_trap();
}

static guest_waitable_status_t download_more(struct exchange *x)
{
    size_t n = x->n_left < block_size ? x->n_left : block_size;
    const char *block = x->buffer + x->pos % period;

    if (n == 0)
        return x->is_trapping ? trap(x) : body_end(x);
    x->n_left -= n;
    x->pos += n;
    return block_write(x, block, n);
}

/* The alphabet, over and over, so that a reader can tell what is missing. */
static guest_waitable_status_t download(struct exchange *x)
{
    buffer_new(x);
    for (size_t i = 0; i < block_size + period; i++)
        x->buffer[i] = (char)('a' + i % period);
    answer_start(x, 200, headers_text());
    x->n_left = query_number(x);
    x->more = download_more;
    return download_more(x);
}

/* With the trailers that came, or the error that came instead of them. */
static guest_waitable_status_t echo_trailers(struct exchange *x, guest_waitable_status_t status)
{
    (void)status;
    if (!x->end.is_err && x->end.val.ok.is_some) {
        wasi_http_types_own_fields_t received = x->end.val.ok.val;

        x->end.val.ok.val =
            wasi_http_types_method_fields_clone(wasi_http_types_borrow_fields(received));
        wasi_http_types_fields_drop_own(received);
    }
    return body_end(x);
}

static guest_waitable_status_t echo_more(struct exchange *x);

static guest_waitable_status_t echo_arrived(struct exchange *x, guest_waitable_status_t status)
{
    size_t n = GUEST_WAITABLE_COUNT(status);

    if (GUEST_WAITABLE_STATE(status) != GUEST_WAITABLE_COMPLETED)
        x->is_in_ended = true;
    return n > 0 ? block_write(x, x->buffer, n) : echo_more(x);
}

/* Nothing is read before all that was read is written. */
static guest_waitable_status_t echo_more(struct exchange *x)
{
    if (x->is_in_ended) {
        x->step = echo_trailers;
        return wasi_http_types_future_result_option_own_trailers_error_code_read(x->in_trailers,
                                                                                 &x->end);
    }
    x->step = echo_arrived;
    return wasi_http_types_stream_u8_read(x->in, (uint8_t *)x->buffer, block_size);
}

static void header_copy(wasi_http_types_own_fields_t to, wasi_http_types_own_fields_t from,
                        const char *name)
{
    wasi_http_types_header_error_t error;
    guest_list_field_value_t values;
    guest_string_t string;

    guest_string_set(&string, name);
    wasi_http_types_method_fields_get(wasi_http_types_borrow_fields(from), &string, &values);
    if (values.len > 0 && !wasi_http_types_method_fields_set(wasi_http_types_borrow_fields(to),
                                                             &string, &values, &error))
        abort();
    guest_list_field_value_free(&values);
}

static guest_waitable_status_t echo(struct exchange *x)
{
    wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t in;
    wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields(), received;

    received =
        wasi_http_types_method_request_get_headers(wasi_http_types_borrow_request(x->request));
    header_copy(fields, received, "content-type");
    header_copy(fields, received, "trailer"); /* HTTP/1.1 servers send only what is named there */
    wasi_http_types_fields_drop_own(received);

    buffer_new(x);
    wasi_http_types_static_request_consume_body(
        x->request, wasi_http_types_future_result_void_error_code_new(&x->in_result), &in);
    x->is_consumed = true;
    x->in = in.f0;
    x->in_trailers = in.f1;
    guest_waitable_join(x->in, x->waitables);
    guest_waitable_join(x->in_trailers, x->waitables);
    guest_waitable_join(x->in_result, x->waitables);
    answer_start(x, 200, fields);
    x->more = echo_more;
    return echo_more(x);
}

static guest_waitable_status_t slept(struct exchange *x, guest_waitable_status_t status)
{
    if (GUEST_SUBTASK_STATE(status) != GUEST_SUBTASK_RETURNED)
        return GUEST_WAITABLE_STATUS_BLOCKED;
    guest_subtask_drop(x->sleep);
    text_puts(x, "slept\n");
    return answer_collected(x, 200);
}

static guest_waitable_status_t sleep_path(struct exchange *x)
{
    guest_subtask_status_t status =
        wasi_clocks_monotonic_clock_wait_for(query_number(x) * UINT64_C(1000000));

    if (GUEST_SUBTASK_STATE(status) == GUEST_SUBTASK_RETURNED) { /* leaves no subtask */
        text_puts(x, "slept\n");
        return answer_collected(x, 200);
    }
    x->sleep = GUEST_SUBTASK_HANDLE(status);
    guest_waitable_join(x->sleep, x->waitables);
    x->step = slept;
    return GUEST_WAITABLE_STATUS_BLOCKED;
}

static guest_waitable_status_t trap_late(struct exchange *x)
{
    x->is_trapping = true;
    return download(x);
}

static guest_waitable_status_t loop(struct exchange *x)
{
    (void)x;
    for (;;)
        __asm__ volatile("");
}

static guest_waitable_status_t error(struct exchange *x)
{
    exports_wasi_http_handler_result_own_response_error_code_t result = {
        .is_err = true,
        .val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR,
    };

    (void)x;
    exports_wasi_http_handler_handle_return(result);
    return 0;
}

/* Ends without having answered. */
static guest_waitable_status_t never(struct exchange *x)
{
    (void)x;
    return 0;
}

static guest_waitable_status_t no_such_path(struct exchange *x)
{
    text_puts(x, "no such path\n");
    return answer_collected(x, 404);
}

static guest_waitable_status_t begin(struct exchange *x)
{
    static const struct {
        const char *name;
        guest_waitable_status_t (*run)(struct exchange *x);
    } paths[] = {
        {"hello",     hello     },
        {"echo",      echo      },
        {"headers",   headers   },
        {"counter",   counter   },
        {"download",  download  },
        {"trap",      trap      },
        {"trap-late", trap_late },
        {"loop",      loop      },
        {"error",     error     },
        {"never",     never     },
        {"sleep",     sleep_path},
    };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(x->name, paths[i].name) == 0)
            return paths[i].run(x);
    return no_such_path(x);
}

/* Goes on until the host has to be waited for, or all is done. */
static guest_callback_code_t advance(struct exchange *x, guest_waitable_status_t status)
{
    while (x->step && status != GUEST_WAITABLE_STATUS_BLOCKED)
        status = x->step(x, status);
    if (x->step)
        return GUEST_CALLBACK_CODE_WAIT(x->waitables);
    guest_waitable_set_drop(x->waitables);
    free(x->target);
    free(x->text);
    free(x->buffer);
    free(x);
    return GUEST_CALLBACK_CODE_EXIT;
}

guest_callback_code_t
exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
    struct exchange *x = calloc(1, sizeof(*x));
    guest_string_t target = {0};
    guest_waitable_status_t status;
    char *query, *slash;

    if (!x)
        abort();
    x->request = request;
    wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request),
                                                       &target);
    x->target = strndup((const char *)target.ptr, target.len);
    if (!x->target)
        abort();
    guest_string_free(&target);
    query = strchr(x->target, '?');
    if (query)
        *query = '\0';
    slash = strrchr(x->target, '/');
    x->name = slash ? slash + 1 : x->target;
    x->query = query ? query + 1 : "";
    x->waitables = guest_waitable_set_new();
    guest_context_set_0(x);

    status = begin(x);
    if (!x->is_consumed)
        wasi_http_types_request_drop_own(request);
    return advance(x, status);
}

guest_callback_code_t exports_wasi_http_handler_handle_callback(guest_event_t *event)
{
    struct exchange *x = guest_context_get_0();

    if (event->event == GUEST_EVENT_CANCEL)
        return GUEST_CALLBACK_CODE_WAIT(x->waitables); /* as if it had not been asked */
    return advance(x, event->code);
}

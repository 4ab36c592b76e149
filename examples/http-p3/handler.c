/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers every HTTP request with the same line, as a WASI 0.3 handler. Nothing in it blocks:
 * handle() gives the host a response whose body and trailers are still to come, starts to write,
 * and says what it waits for. The host calls back with each event until both are written.
 *
 * Debian's C library knows WASI 0.1 only, so stdio and what else would call the host is left alone.
 */

#include "hello.h"

#include <stdlib.h>
#include <string.h>

static const char text[] = "Hello from WASI 0.3!\n";

/* One request. The host keeps the pointer to it between two events. */
struct answer {
    size_t n_written;
    wasi_http_types_stream_u8_writer_t body;
    wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
    wasi_http_types_result_option_own_trailers_error_code_t no_trailers; /* read by the host */
    hello_waitable_set_t waitables;
};

static wasi_http_types_own_fields_t headers_new(void)
{
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_field_value_t value = {(uint8_t *)"text/plain", strlen("text/plain")};
    wasi_http_types_header_error_t error;
    hello_string_t name;

    hello_string_set(&name, "content-type");
    if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value,
                                              &error))
        abort();
    return headers;
}

static hello_callback_code_t answer_finish(struct answer *a)
{
    wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(a->trailers);
    hello_waitable_set_drop(a->waitables);
    free(a);
    return HELLO_CALLBACK_CODE_EXIT;
}

/* Dropping the writing end is what tells the host that this was all of the body. */
static hello_callback_code_t body_end(struct answer *a)
{
    wasi_http_types_stream_u8_drop_writable(a->body);
    if (wasi_http_types_future_result_option_own_trailers_error_code_write(
            a->trailers, &a->no_trailers) != HELLO_WAITABLE_STATUS_BLOCKED)
        return answer_finish(a);
    return HELLO_CALLBACK_CODE_WAIT(a->waitables);
}

static hello_callback_code_t body_advance(struct answer *a, hello_waitable_status_t status)
{
    while (status != HELLO_WAITABLE_STATUS_BLOCKED) {
        a->n_written += HELLO_WAITABLE_COUNT(status);
        if (HELLO_WAITABLE_STATE(status) != HELLO_WAITABLE_COMPLETED ||
            a->n_written == strlen(text))
            return body_end(a);
        status = wasi_http_types_stream_u8_write(a->body, (const uint8_t *)text + a->n_written,
                                                 strlen(text) - a->n_written);
    }
    return HELLO_CALLBACK_CODE_WAIT(a->waitables);
}

/* Gives the response away. What it will be sent with stays: the writing ends. */
static void answer_return(struct answer *a)
{
    wasi_http_types_tuple2_own_response_future_result_void_error_code_t response;
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
    wasi_http_types_stream_u8_t body = wasi_http_types_stream_u8_new(&a->body);

    wasi_http_types_static_response_new(
        headers_new(), &body,
        wasi_http_types_future_result_option_own_trailers_error_code_new(&a->trailers), &response);
    /* How the sending went would come from here, if anybody cared. */
    wasi_http_types_future_result_void_error_code_drop_readable(response.f1);
    result.val.ok = response.f0;
    exports_wasi_http_handler_handle_return(result);
}

hello_callback_code_t
exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request)
{
    struct answer *a = calloc(1, sizeof(*a));

    if (!a)
        abort();
    wasi_http_types_request_drop_own(request);
    answer_return(a);
    a->waitables = hello_waitable_set_new();
    hello_waitable_join(a->body, a->waitables);
    hello_waitable_join(a->trailers, a->waitables);
    hello_context_set_0(a);
    return body_advance(
        a, wasi_http_types_stream_u8_write(a->body, (const uint8_t *)text, strlen(text)));
}

hello_callback_code_t exports_wasi_http_handler_handle_callback(hello_event_t *event)
{
    struct answer *a = hello_context_get_0();

    if (event->event == HELLO_EVENT_STREAM_WRITE)
        return body_advance(a, event->code);
    if (event->event == HELLO_EVENT_FUTURE_WRITE)
        return answer_finish(a);
    return HELLO_CALLBACK_CODE_WAIT(a->waitables);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Answers every HTTP request with the same line. */

#include "hello.h"

#include <stdlib.h>
#include <string.h>

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

/* A failure here means that the client has gone, so there is nobody to tell. */
static void body_send(wasi_http_types_own_outgoing_body_t body, const char *text)
{
    hello_list_u8_t list = {(uint8_t *)text, strlen(text)};
    wasi_io_streams_own_output_stream_t stream;
    wasi_io_streams_stream_error_t stream_error;
    wasi_http_types_error_code_t error;

    if (!wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body),
                                                    &stream))
        abort();
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(stream), &list, &stream_error))
        wasi_io_streams_stream_error_free(&stream_error);
    wasi_io_streams_output_stream_drop_own(stream);
    if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &error))
        wasi_http_types_error_code_free(&error);
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    wasi_http_types_result_own_outgoing_response_error_code_t answer = {.is_err = false};
    wasi_http_types_own_outgoing_response_t response;
    wasi_http_types_own_outgoing_body_t body;

    response = wasi_http_types_constructor_outgoing_response(headers_new());
    if (!wasi_http_types_method_outgoing_response_body(
            wasi_http_types_borrow_outgoing_response(response), &body))
        abort();
    answer.val.ok = response;
    wasi_http_types_static_response_outparam_set(out, &answer);
    body_send(body, "Hello from C!\n");
    wasi_http_types_incoming_request_drop_own(request);
}

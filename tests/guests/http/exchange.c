/* SPDX-License-Identifier: Apache-2.0 */

#include "exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wait(wasi_io_poll_own_pollable_t pollable)
{
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(pollable));
    wasi_io_poll_pollable_drop_own(pollable);
}

void exchange_init(struct exchange *x, wasi_http_types_own_incoming_request_t request,
                   wasi_http_types_own_response_outparam_t out)
{
    guest_string_t target = {0};
    char *query, *slash;

    *x = (struct exchange){.request = request, .out = out};
    wasi_http_types_method_incoming_request_path_with_query(
        wasi_http_types_borrow_incoming_request(request), &target);
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
}

void exchange_done(struct exchange *x)
{
    free(x->target);
    free(x->text);
    wasi_http_types_incoming_request_drop_own(x->request);
}

wasi_http_types_own_fields_t headers_new(const char *name, const char *value)
{
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_field_value_t bytes;
    wasi_http_types_header_error_t error;
    guest_string_t string;

    if (!name)
        return headers;
    guest_string_set(&string, name);
    bytes = (wasi_http_types_field_value_t){(uint8_t *)value, strlen(value)};
    if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &string,
                                              &bytes, &error))
        abort();
    return headers;
}

void headers_copy(wasi_http_types_own_fields_t to, wasi_http_types_own_fields_t from,
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

bool answer_start(struct exchange *x, unsigned status, wasi_http_types_own_fields_t headers)
{
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t borrowed =
        wasi_http_types_borrow_outgoing_response(response);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.val.ok = response};

    if (status > UINT16_MAX ||
        !wasi_http_types_method_outgoing_response_set_status_code(borrowed, (uint16_t)status)) {
        wasi_http_types_outgoing_response_drop_own(response);
        return false;
    }
    if (!wasi_http_types_method_outgoing_response_body(borrowed, &x->body) ||
        !wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(x->body),
                                                    &x->stream))
        abort();
    wasi_http_types_static_response_outparam_set(x->out, &result);
    return true;
}

bool answer_write(struct exchange *x, const void *data, size_t size)
{
    wasi_io_streams_borrow_output_stream_t stream = wasi_io_streams_borrow_output_stream(x->stream);
    guest_list_u8_t list = {(uint8_t *)data, 0};
    wasi_io_streams_stream_error_t error;
    uint64_t n;

    while (size > 0) {
        if (!wasi_io_streams_method_output_stream_check_write(stream, &n, &error)) {
            wasi_io_streams_stream_error_free(&error);
            return false;
        }
        if (n == 0) {
            wait(wasi_io_streams_method_output_stream_subscribe(stream));
            continue;
        }
        list.len = n < size ? (size_t)n : size;
        if (!wasi_io_streams_method_output_stream_write(stream, &list, &error)) {
            wasi_io_streams_stream_error_free(&error);
            return false;
        }
        list.ptr += list.len;
        size -= list.len;
    }
    return true;
}

bool answer_flush(struct exchange *x)
{
    wasi_io_streams_stream_error_t error;

    if (wasi_io_streams_method_output_stream_blocking_flush(
            wasi_io_streams_borrow_output_stream(x->stream), &error))
        return true;
    wasi_io_streams_stream_error_free(&error);
    return false;
}

void answer_end(struct exchange *x, wasi_http_types_own_fields_t *trailers)
{
    wasi_http_types_error_code_t error;

    answer_flush(x); /* whether it fails or not, finishing tells the host more */
    wasi_io_streams_output_stream_drop_own(x->stream);
    if (!wasi_http_types_static_outgoing_body_finish(x->body, trailers, &error))
        wasi_http_types_error_code_free(&error);
}

void answer_cut_off(struct exchange *x)
{
    wasi_io_streams_output_stream_drop_own(x->stream);
    wasi_http_types_outgoing_body_drop_own(x->body);
}

void text_add(struct exchange *x, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    x->text = n < 0 ? NULL : realloc(x->text, x->text_size + (size_t)n + 1);
    if (!x->text)
        abort();
    va_start(args, format);
    vsnprintf(x->text + x->text_size, (size_t)n + 1, format, args);
    va_end(args);
    x->text_size += (size_t)n;
}

void answer_collected(struct exchange *x, unsigned status)
{
    if (!answer_start(x, status, headers_new("content-type", "text/plain")))
        abort();
    if (answer_write(x, x->text, x->text_size))
        answer_end(x, NULL);
    else
        answer_cut_off(x);
}

void answer_text(struct exchange *x, unsigned status, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text_add(x, "%s", text);
    answer_collected(x, status);
}

/* SPDX-License-Identifier: Apache-2.0 */

#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of the WIT. */
static const char *error_name(uint8_t tag)
{
    static const char *names[] = {
        "DNS-timeout",
        "DNS-error",
        "destination-not-found",
        "destination-unavailable",
        "destination-IP-prohibited",
        "destination-IP-unroutable",
        "connection-refused",
        "connection-terminated",
        "connection-timeout",
        "connection-read-timeout",
        "connection-write-timeout",
        "connection-limit-reached",
        "TLS-protocol-error",
        "TLS-certificate-error",
        "TLS-alert-received",
        "HTTP-request-denied",
        "HTTP-request-length-required",
        "HTTP-request-body-size",
        "HTTP-request-method-invalid",
        "HTTP-request-URI-invalid",
        "HTTP-request-URI-too-long",
        "HTTP-request-header-section-size",
        "HTTP-request-header-size",
        "HTTP-request-trailer-section-size",
        "HTTP-request-trailer-size",
        "HTTP-response-incomplete",
        "HTTP-response-header-section-size",
        "HTTP-response-header-size",
        "HTTP-response-body-size",
        "HTTP-response-trailer-section-size",
        "HTTP-response-trailer-size",
        "HTTP-response-transfer-coding",
        "HTTP-response-content-coding",
        "HTTP-response-timeout",
        "HTTP-upgrade-failed",
        "HTTP-protocol-error",
        "loop-detected",
        "configuration-error",
        "internal-error",
    };

    return tag < sizeof(names) / sizeof(names[0]) ? names[tag] : "a code that is none";
}

static void answer_error(struct exchange *x, wasi_http_types_error_code_t *code)
{
    answer_text(x, 200, "error %s\n", error_name(code->tag));
    wasi_http_types_error_code_free(code);
}

/* A GET request for the URL; false when it is none. */
static bool request_new(const char *url, wasi_http_types_own_outgoing_request_t *ret_request)
{
    wasi_http_types_own_outgoing_request_t request =
        wasi_http_types_constructor_outgoing_request(wasi_http_types_constructor_fields());
    wasi_http_types_borrow_outgoing_request_t borrowed =
        wasi_http_types_borrow_outgoing_request(request);
    wasi_http_types_scheme_t scheme = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
    const char *host = strstr(url, "://");
    guest_string_t authority, target;

    if (strncmp(url, "https:", strlen("https:")) == 0)
        scheme.tag = WASI_HTTP_TYPES_SCHEME_HTTPS;
    host = host ? host + strlen("://") : url;
    authority = (guest_string_t){(uint8_t *)host, strcspn(host, "/?")};
    guest_string_set(&target, host[authority.len] ? host + authority.len : "/");

    if (wasi_http_types_method_outgoing_request_set_scheme(borrowed, &scheme) &&
        wasi_http_types_method_outgoing_request_set_authority(borrowed, &authority) &&
        wasi_http_types_method_outgoing_request_set_path_with_query(borrowed, &target)) {
        *ret_request = request;
        return true;
    }
    wasi_http_types_outgoing_request_drop_own(request);
    return false;
}

/* Until the end, or until one side fails. */
static void body_pass_on(struct exchange *x, wasi_http_types_own_incoming_body_t body)
{
    wasi_io_streams_own_input_stream_t stream;
    wasi_io_streams_stream_error_t error;
    guest_list_u8_t list;
    bool is_whole = false, is_written = true;

    if (!wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body),
                                                     &stream))
        abort();
    while (is_written) {
        if (!wasi_io_streams_method_input_stream_blocking_read(
                wasi_io_streams_borrow_input_stream(stream), 65536, &list, &error)) {
            is_whole = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
            wasi_io_streams_stream_error_free(&error);
            break;
        }
        is_written = answer_write(x, list.ptr, list.len);
        guest_list_u8_free(&list);
    }
    wasi_io_streams_input_stream_drop_own(stream);
    if (is_whole)
        answer_end(x, NULL);
    else
        answer_cut_off(x);
}

static void response_pass_on(struct exchange *x, wasi_http_types_own_incoming_response_t response)
{
    wasi_http_types_borrow_incoming_response_t borrowed =
        wasi_http_types_borrow_incoming_response(response);
    wasi_http_types_own_incoming_body_t body;
    char line[32];

    snprintf(line, sizeof(line), "status %u\n",
             wasi_http_types_method_incoming_response_status(borrowed));
    if (!wasi_http_types_method_incoming_response_consume(borrowed, &body) ||
        !answer_start(x, 200, headers_new("content-type", "text/plain")))
        abort();
    answer_write(x, line, strlen(line));
    body_pass_on(x, body);
    wasi_http_types_incoming_body_drop_own(body);
    wasi_http_types_incoming_response_drop_own(response);
}

void fetch(struct exchange *x)
{
    wasi_http_types_result_result_own_incoming_response_error_code_void_t result;
    wasi_http_types_borrow_future_incoming_response_t borrowed;
    wasi_http_types_own_future_incoming_response_t future;
    wasi_http_types_own_outgoing_request_t request;
    wasi_http_types_error_code_t code;

    if (!request_new(x->query, &request)) {
        answer_text(x, 400, "not a URL: %.500s\n", x->query);
        return;
    }
    if (!wasi_http_outgoing_handler_handle(request, NULL, &future, &code)) {
        answer_error(x, &code);
        return;
    }
    borrowed = wasi_http_types_borrow_future_incoming_response(future);
    wait(wasi_http_types_method_future_incoming_response_subscribe(borrowed));
    if (!wasi_http_types_method_future_incoming_response_get(borrowed, &result) || result.is_err)
        abort();
    if (result.val.ok.is_err)
        answer_error(x, &result.val.ok.val.err);
    else
        response_pass_on(x, result.val.ok.val.ok);
    wasi_http_types_future_incoming_response_drop_own(future);
}

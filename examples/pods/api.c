/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The API: answers with the greeting that lies in the volume, and with two variables, of which one
 * is from a ConfigMap and the other from a Secret. It notes each request in a file, which the
 * sidecar reads, but for those of probes.
 */

#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GREETING "/data/greeting"
#define REQUESTS "/requests/log"
#define PROBE    "/ready"

/* The text of the answer; the status by `ret_status`. */
static void text_make(char *text, size_t size, int *ret_status)
{
    const char *place = getenv("PLACE");
    const char *motto = getenv("MOTTO");
    char greeting[100] = "";
    FILE *f = fopen(GREETING, "r");

    *ret_status = 500;
    if (!f || !fgets(greeting, sizeof(greeting), f)) {
        snprintf(text, size, "There is nothing in %s\n", GREETING);
    } else {
        greeting[strcspn(greeting, "\n")] = '\0';
        snprintf(text, size, "%s from %s; the motto is '%s'\n", greeting, place ? place : "nowhere",
                 motto ? motto : "");
        *ret_status = 200;
    }
    if (f)
        fclose(f);
}

static void request_note(int status)
{
    FILE *f = fopen(REQUESTS, "a");

    if (!f)
        return;
    fprintf(f, "a request was answered with %d\n", status);
    fclose(f);
}

/* Whether the request is one of the manifest's probes. */
static bool is_probe(exports_wasi_http_incoming_handler_own_incoming_request_t request)
{
    api_string_t path;
    bool is_it;

    if (!wasi_http_types_method_incoming_request_path_with_query(
            wasi_http_types_borrow_incoming_request(request), &path))
        return false;
    is_it = path.len == strlen(PROBE) && memcmp(path.ptr, PROBE, path.len) == 0;
    api_string_free(&path);
    return is_it;
}

/* A failure here means that the client has gone, so there is nobody to tell. */
static void body_send(wasi_http_types_own_outgoing_body_t body, const char *text)
{
    api_list_u8_t list = {(uint8_t *)text, strlen(text)};
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
    char text[400];
    int status;

    text_make(text, sizeof(text), &status);
    response = wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    if (!wasi_http_types_method_outgoing_response_set_status_code(
            wasi_http_types_borrow_outgoing_response(response), (uint16_t)status) ||
        !wasi_http_types_method_outgoing_response_body(
            wasi_http_types_borrow_outgoing_response(response), &body))
        abort();
    answer.val.ok = response;
    wasi_http_types_static_response_outparam_set(out, &answer);
    body_send(body, text);
    if (!is_probe(request))
        request_note(status);
    wasi_http_types_incoming_request_drop_own(request);
}

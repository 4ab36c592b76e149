/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A greeting as a WASI 0.3 command. Nothing in it blocks: run() hands one end of a stream to
 * stdout, starts to write into the other, and returns to the host what it waits for. The host calls
 * back with each event until the future that came with the stream says how it went.
 *
 * Debian's C library knows WASI 0.1 only, so stdio and what else would call the host is left alone.
 */

#include "hello.h"

#include <stdlib.h>
#include <string.h>

/* One call of run(). The host keeps the pointer to it between two events. */
struct greeting {
    char *text;
    size_t size;
    size_t n_written;
    wasi_cli_stdout_stream_u8_writer_t writer;
    wasi_cli_stdout_future_result_void_error_code_t future;
    wasi_cli_stdout_result_void_error_code_t outcome; /* written by the host, any time */
    hello_waitable_set_t waitables;
    bool is_writing;
};

static void text_add(struct greeting *g, const void *piece, size_t size)
{
    g->text = realloc(g->text, g->size + size);
    if (!g->text)
        abort();
    memcpy(g->text + g->size, piece, size);
    g->size += size;
}

static void greeting_compose(struct greeting *g)
{
    hello_list_tuple2_string_string_t environment;
    hello_list_string_t arguments;
    hello_string_t greeting = {(uint8_t *)"Hello", strlen("Hello")};

    wasi_cli_environment_get_environment(&environment);
    wasi_cli_environment_get_arguments(&arguments);
    for (size_t i = 0; i < environment.len; i++) {
        hello_string_t name = environment.ptr[i].f0;

        if (name.len == strlen("GREETING") && memcmp(name.ptr, "GREETING", name.len) == 0)
            greeting = environment.ptr[i].f1;
    }

    text_add(g, greeting.ptr, greeting.len);
    text_add(g, " from WASI 0.3", strlen(" from WASI 0.3"));
    for (size_t i = 1; i < arguments.len; i++) {
        text_add(g, ", ", strlen(", "));
        text_add(g, arguments.ptr[i].ptr, arguments.ptr[i].len);
    }
    text_add(g, "\n", 1);
    hello_list_tuple2_string_string_free(&environment);
    hello_list_string_free(&arguments);
}

/* Dropping the writing end is what tells stdout that this was all. */
static void writing_end(struct greeting *g)
{
    wasi_cli_stdout_stream_u8_drop_writable(g->writer);
    g->is_writing = false;
}

static void writing_advance(struct greeting *g, hello_waitable_status_t status)
{
    while (status != HELLO_WAITABLE_STATUS_BLOCKED) {
        g->n_written += HELLO_WAITABLE_COUNT(status);
        if (HELLO_WAITABLE_STATE(status) != HELLO_WAITABLE_COMPLETED || g->n_written == g->size) {
            writing_end(g);
            return;
        }
        status = wasi_cli_stdout_stream_u8_write(g->writer, (uint8_t *)g->text + g->n_written,
                                                 g->size - g->n_written);
    }
}

static hello_callback_code_t greeting_finish(struct greeting *g)
{
    exports_wasi_cli_run_result_void_void_t result = {.is_err = g->outcome.is_err};

    if (g->is_writing)
        writing_end(g);
    wasi_cli_stdout_future_result_void_error_code_drop_readable(g->future);
    hello_waitable_set_drop(g->waitables);
    free(g->text);
    free(g);
    exports_wasi_cli_run_run_return(result);
    return HELLO_CALLBACK_CODE_EXIT;
}

hello_callback_code_t exports_wasi_cli_run_run(void)
{
    struct greeting *g = calloc(1, sizeof(*g));
    wasi_cli_stdout_stream_u8_t reader;

    if (!g)
        abort();
    greeting_compose(g);
    reader = wasi_cli_stdout_stream_u8_new(&g->writer);
    g->is_writing = true;
    g->future = wasi_cli_stdout_write_via_stream(reader);
    g->waitables = hello_waitable_set_new();
    hello_waitable_join(g->writer, g->waitables);
    hello_waitable_join(g->future, g->waitables);
    hello_context_set_0(g);

    writing_advance(g, wasi_cli_stdout_stream_u8_write(g->writer, (uint8_t *)g->text, g->size));
    if (wasi_cli_stdout_future_result_void_error_code_read(g->future, &g->outcome) !=
        HELLO_WAITABLE_STATUS_BLOCKED)
        return greeting_finish(g);
    return HELLO_CALLBACK_CODE_WAIT(g->waitables);
}

hello_callback_code_t exports_wasi_cli_run_run_callback(hello_event_t *event)
{
    struct greeting *g = hello_context_get_0();

    if (event->event == HELLO_EVENT_FUTURE_READ)
        return greeting_finish(g);
    if (event->event == HELLO_EVENT_STREAM_WRITE)
        writing_advance(g, event->code);
    return HELLO_CALLBACK_CODE_WAIT(g->waitables);
}

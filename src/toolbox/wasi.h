/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What toolbox.wit imports, as C sees it by the canonical ABI of the component model
 * (component-model/design/mvp/CanonicalABI.md): a resource is a number, its owner drops it; a
 * result goes through a pointer, its first byte is 1 for an error. Lists come from the
 * cabi_realloc() of main.c, so they are freed with free().
 */

typedef uint32_t wasi_handle;

#ifdef __wasi__
#define WASI_IMPORT(module, name)                                                                  \
    __attribute__((import_module("wasi:" module "@0.2.12"), import_name(name)))
#else
#define WASI_IMPORT(module, name) /* for analysers */
#endif

/* ---- Waiting ---- */

struct wasi_indexes {
    uint32_t *v;
    size_t n;
};

WASI_IMPORT("io/poll", "poll")
void wasi_poll(const wasi_handle *pollables, size_t n, struct wasi_indexes *ret_ready);
WASI_IMPORT("io/poll", "[resource-drop]pollable") void wasi_pollable_drop(wasi_handle pollable);
WASI_IMPORT("clocks/monotonic-clock", "subscribe-duration")
wasi_handle wasi_after_ns(uint64_t duration_ns);

/* ---- Streams ---- */

struct wasi_stream_error {
    uint8_t is_closed;
    wasi_handle error; /* unless it is closed: its text, which is the caller's to drop */
};

struct wasi_read {
    uint8_t is_error;
    union {
        struct {
            char *data;
            size_t len;
        };
        struct wasi_stream_error error;
    };
};

struct wasi_room {
    uint8_t is_error;
    union {
        uint64_t bytes;
        struct wasi_stream_error error;
    };
};

struct wasi_written {
    uint8_t is_error;
    struct wasi_stream_error error;
};

WASI_IMPORT("cli/stdin", "get-stdin") wasi_handle wasi_stdin(void);
WASI_IMPORT("io/error", "[resource-drop]error") void wasi_error_drop(wasi_handle error);
WASI_IMPORT("io/streams", "[method]input-stream.read")
void wasi_read(wasi_handle stream, uint64_t max, struct wasi_read *ret);
WASI_IMPORT("io/streams", "[method]input-stream.subscribe")
wasi_handle wasi_input_subscribe(wasi_handle stream);
WASI_IMPORT("io/streams", "[resource-drop]input-stream") void wasi_input_drop(wasi_handle stream);
WASI_IMPORT("io/streams", "[method]output-stream.check-write")
void wasi_room(wasi_handle stream, struct wasi_room *ret);
WASI_IMPORT("io/streams", "[method]output-stream.write")
void wasi_write(wasi_handle stream, const char *data, size_t len, struct wasi_written *ret);
WASI_IMPORT("io/streams", "[method]output-stream.subscribe")
wasi_handle wasi_output_subscribe(wasi_handle stream);
WASI_IMPORT("io/streams", "[resource-drop]output-stream") void wasi_output_drop(wasi_handle stream);

/* ---- Sockets ---- */

/* Of the error codes, those that more is said about; the others only by number. */
enum wasi_code {
    WASI_UNKNOWN,
    WASI_ACCESS_DENIED,
    WASI_TIMEOUT = 5,
    WASI_WOULD_BLOCK = 8,
    WASI_REMOTE_UNREACHABLE = 13,
    WASI_CONNECTION_REFUSED,
    WASI_CONNECTION_RESET,
    WASI_CONNECTION_ABORTED,
    WASI_NAME_UNRESOLVABLE = 18,
    WASI_TEMPORARY_RESOLVER_FAILURE,
    WASI_PERMANENT_RESOLVER_FAILURE,
};

#define WASI_SHUTDOWN_SEND 1

struct wasi_done {
    uint8_t is_error;
    uint8_t code;
};

struct wasi_made {
    uint8_t is_error;
    union {
        wasi_handle handle;
        uint8_t code;
    };
};

struct wasi_address {
    uint8_t is_ipv6;
    union {
        uint8_t ipv4[4];
        uint16_t ipv6[8];
    };
};

struct wasi_next_address {
    uint8_t is_error;
    union {
        uint8_t code;
        struct {
            uint8_t is_some;
            struct wasi_address address;
        };
    };
};

struct wasi_streams {
    uint8_t is_error;
    union {
        uint8_t code;
        struct {
            wasi_handle input, output;
        };
    };
};

WASI_IMPORT("sockets/instance-network", "instance-network") wasi_handle wasi_network(void);
WASI_IMPORT("sockets/network", "[resource-drop]network")
void wasi_network_drop(wasi_handle network);
WASI_IMPORT("sockets/ip-name-lookup", "resolve-addresses")
void wasi_resolve(wasi_handle network, const char *name, size_t len, struct wasi_made *ret);
WASI_IMPORT("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe")
wasi_handle wasi_resolve_subscribe(wasi_handle addresses);
WASI_IMPORT("sockets/ip-name-lookup", "[method]resolve-address-stream.resolve-next-address")
void wasi_resolve_next(wasi_handle addresses, struct wasi_next_address *ret);
WASI_IMPORT("sockets/ip-name-lookup", "[resource-drop]resolve-address-stream")
void wasi_resolve_drop(wasi_handle addresses);
WASI_IMPORT("sockets/tcp-create-socket", "create-tcp-socket")
void wasi_tcp_new(uint32_t is_ipv6, struct wasi_made *ret);
/* An address is flat: of IPv4 the port and the four bytes, of IPv6 the port, the flow, the eight
 * words and the scope. */
WASI_IMPORT("sockets/tcp", "[method]tcp-socket.start-connect")
void wasi_tcp_start_connect(wasi_handle socket, wasi_handle network, uint32_t is_ipv6, uint32_t a0,
                            uint32_t a1, uint32_t a2, uint32_t a3, uint32_t a4, uint32_t a5,
                            uint32_t a6, uint32_t a7, uint32_t a8, uint32_t a9, uint32_t a10,
                            struct wasi_done *ret);
WASI_IMPORT("sockets/tcp", "[method]tcp-socket.finish-connect")
void wasi_tcp_finish_connect(wasi_handle socket, struct wasi_streams *ret);
WASI_IMPORT("sockets/tcp", "[method]tcp-socket.subscribe")
wasi_handle wasi_tcp_subscribe(wasi_handle socket);
WASI_IMPORT("sockets/tcp", "[method]tcp-socket.shutdown")
void wasi_tcp_shutdown(wasi_handle socket, uint32_t how, struct wasi_done *ret);
WASI_IMPORT("sockets/tcp", "[resource-drop]tcp-socket") void wasi_tcp_drop(wasi_handle socket);

/* ---- The end ---- */

WASI_IMPORT("cli/exit", "exit-with-code") _Noreturn void wasi_exit_with_code(uint32_t code);

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A WASI 0.2 TCP client: `tcp HOST:PORT [LINE]` connects, sends a line, closes its side and prints
 * what it gets until the other side closes. HOST is an address, a name to be looked up, or an IPv6
 * address in brackets. Exits with 0; or prints the error code as WASI names it and exits with 3.
 */

#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef wasi_sockets_network_error_code_t error_code;

/* By exit-with-code, since a WASI 0.1 exit status reaches a component's host only as an error. */
static _Noreturn void fail(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
    wasi_cli_exit_exit_with_code(3);
    abort();
}

/* In the order of the WIT. */
static _Noreturn void fail_code(error_code code)
{
    static const char *names[] = {
        "unknown",
        "access-denied",
        "not-supported",
        "invalid-argument",
        "out-of-memory",
        "timeout",
        "concurrency-conflict",
        "not-in-progress",
        "would-block",
        "invalid-state",
        "new-socket-limit",
        "address-not-bindable",
        "address-in-use",
        "remote-unreachable",
        "connection-refused",
        "connection-reset",
        "connection-aborted",
        "datagram-too-large",
        "name-unresolvable",
        "temporary-resolver-failure",
        "permanent-resolver-failure",
    };

    fail(code < sizeof(names) / sizeof(names[0]) ? names[code] : "an error code that is none");
}

static void wait(wasi_io_poll_own_pollable_t pollable)
{
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(pollable));
    wasi_io_poll_pollable_drop_own(pollable);
}

static bool address_parse(const char *host, wasi_sockets_network_ip_address_t *ret_address)
{
    struct in6_addr six;
    struct in_addr four;

    if (inet_pton(AF_INET, host, &four) == 1) {
        ret_address->tag = WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV4;
        memcpy(&ret_address->val.ipv4, &four, sizeof(four));
        return true;
    }
    if (inet_pton(AF_INET6, host, &six) == 1) {
        uint16_t words[8];

        for (int i = 0; i < 8; i++)
            words[i] = (uint16_t)(six.s6_addr[2 * i] << 8 | six.s6_addr[2 * i + 1]);
        ret_address->tag = WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV6;
        memcpy(&ret_address->val.ipv6, words, sizeof(words));
        return true;
    }
    return false;
}

/* The first address that the host's resolver gives. */
static void address_look_up(wasi_sockets_network_borrow_network_t network, const char *host,
                            wasi_sockets_network_ip_address_t *ret_address)
{
    wasi_sockets_ip_name_lookup_own_resolve_address_stream_t stream;
    wasi_sockets_ip_name_lookup_borrow_resolve_address_stream_t borrowed;
    wasi_sockets_ip_name_lookup_option_ip_address_t address;
    guest_string_t name;
    error_code code;

    guest_string_set(&name, host);
    if (!wasi_sockets_ip_name_lookup_resolve_addresses(network, &name, &stream, &code))
        fail_code(code);
    borrowed = wasi_sockets_ip_name_lookup_borrow_resolve_address_stream(stream);
    wait(wasi_sockets_ip_name_lookup_method_resolve_address_stream_subscribe(borrowed));
    if (!wasi_sockets_ip_name_lookup_method_resolve_address_stream_resolve_next_address(
            borrowed, &address, &code))
        fail_code(code);
    if (!address.is_some)
        fail_code(WASI_SOCKETS_NETWORK_ERROR_CODE_NAME_UNRESOLVABLE);
    *ret_address = address.val;
    wasi_sockets_ip_name_lookup_resolve_address_stream_drop_own(stream);
}

/* Cuts `text` at its last colon. */
static void remote_get(wasi_sockets_network_borrow_network_t network, char *text,
                       wasi_sockets_network_ip_socket_address_t *ret_remote)
{
    char *colon = strrchr(text, ':'), *host = text;
    wasi_sockets_network_ip_address_t address;
    uint16_t port;

    if (!colon)
        fail("tcp: the address is not HOST:PORT");
    *colon = '\0';
    port = (uint16_t)atoi(colon + 1);
    if (*host == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        host++;
    }
    if (!address_parse(host, &address))
        address_look_up(network, host, &address);

    *ret_remote = (wasi_sockets_network_ip_socket_address_t){.tag = address.tag};
    if (address.tag == WASI_SOCKETS_NETWORK_IP_ADDRESS_IPV4) {
        ret_remote->val.ipv4.port = port;
        ret_remote->val.ipv4.address = address.val.ipv4;
    } else {
        ret_remote->val.ipv6.port = port;
        ret_remote->val.ipv6.address = address.val.ipv6;
    }
}

static wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t
tcp_connect(wasi_sockets_tcp_borrow_tcp_socket_t socket,
            wasi_sockets_network_borrow_network_t network,
            wasi_sockets_network_ip_socket_address_t *remote)
{
    wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
    error_code code;

    if (!wasi_sockets_tcp_method_tcp_socket_start_connect(socket, network, remote, &code))
        fail_code(code);
    wait(wasi_sockets_tcp_method_tcp_socket_subscribe(socket));
    if (!wasi_sockets_tcp_method_tcp_socket_finish_connect(socket, &streams, &code))
        fail_code(code);
    return streams;
}

static void line_send(wasi_io_streams_own_output_stream_t stream, const char *text)
{
    wasi_io_streams_stream_error_t error;
    guest_list_u8_t list;
    char line[4096]; /* as much as one blocking write takes */

    list.len = (size_t)snprintf(line, sizeof(line), "%.4000s\n", text);
    list.ptr = (uint8_t *)line;
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(stream), &list, &error))
        fail("stream-error while sending");
}

static void print_all(wasi_io_streams_own_input_stream_t stream)
{
    wasi_io_streams_stream_error_t error;
    guest_list_u8_t list;

    while (wasi_io_streams_method_input_stream_blocking_read(
        wasi_io_streams_borrow_input_stream(stream), 4096, &list, &error)) {
        fwrite(list.ptr, 1, list.len, stdout);
        guest_list_u8_free(&list);
    }
    if (error.tag != WASI_IO_STREAMS_STREAM_ERROR_CLOSED)
        fail("stream-error while receiving");
}

int main(int argc, char **argv)
{
    wasi_sockets_network_own_network_t network = wasi_sockets_instance_network_instance_network();
    wasi_sockets_network_borrow_network_t borrowed = wasi_sockets_network_borrow_network(network);
    wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
    wasi_sockets_network_ip_socket_address_t remote;
    wasi_sockets_tcp_own_tcp_socket_t socket;
    wasi_sockets_tcp_borrow_tcp_socket_t tcp;
    error_code code;

    if (argc < 2)
        fail("usage: tcp HOST:PORT [LINE]");
    remote_get(borrowed, argv[1], &remote);
    if (!wasi_sockets_tcp_create_socket_create_tcp_socket(
            remote.tag == WASI_SOCKETS_NETWORK_IP_SOCKET_ADDRESS_IPV4
                ? WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV4
                : WASI_SOCKETS_NETWORK_IP_ADDRESS_FAMILY_IPV6,
            &socket, &code))
        fail_code(code);
    tcp = wasi_sockets_tcp_borrow_tcp_socket(socket);
    streams = tcp_connect(tcp, borrowed, &remote);
    line_send(streams.f1, argc > 2 ? argv[2] : "hello");
    if (!wasi_sockets_tcp_method_tcp_socket_shutdown(tcp, WASI_SOCKETS_TCP_SHUTDOWN_TYPE_SEND,
                                                     &code))
        fail_code(code);
    print_all(streams.f0);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves exec and port-forward of one pod ("web", containers "app" and "other") on a unix socket
 * and a port, until its input ends. A STAND-IN for the agent: guests are native processes (see
 * tests/unit/api_exec_peer.h).
 */
#include "../unit/api_exec_peer.h"

static struct sockaddr_in tcp;

static void listen_tcp_too(void *ctx)
{
    struct err e = ERR_INIT;

    (void)ctx;
    BUG_ON(http_server_listen(peer.server, listen_tcp(&tcp), &e) < 0);
    printf("%s %d\n", peer.path, ntohs(tcp.sin_port));
    fflush(stdout);
}

int main(void)
{
    char byte;

    peer_start();
    loop_post(peer.loop, listen_tcp_too, NULL);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    peer_stop();
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The floor under every HTTP server of this machine: `epoll_server [THREADS [PORT [ADDRESS]]]`
 * answers each request on 127.0.0.1, or the IPv4 address that is said, with "Hello from C!\n". A
 * request ends at its first empty line; nothing else of it is looked at. Each thread has a
 * listening socket (SO_REUSEPORT) and an epoll of its own.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX     64
#define CONNECTIONS_MAX 65536 /* descriptors above are closed at once */
#define EVENTS_MAX      256
#define PIPELINED_MAX   64 /* answers sent by one call */

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n"
                             "\r\nHello from C!\n";
#define ANSWER_LEN (sizeof(answer) - 1)

static char answers[PIPELINED_MAX * ANSWER_LEN];
/* Per descriptor: how much of "\r\n\r\n" its last bytes were. A descriptor belongs to one thread.
 */
static uint8_t matched[CONNECTIONS_MAX];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "epoll_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(struct in_addr address, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = address, .sin_port = htons(port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
        die("listen");
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof(a);

    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("port");
    return ntohs(a.sin_port);
}

/* How many requests end in these bytes. */
static unsigned ends_count(int fd, const char *data, size_t len)
{
    static const char end[] = "\r\n\r\n";
    unsigned n = 0;
    uint8_t m = matched[fd];

    for (size_t i = 0; i < len; i++) {
        if (data[i] != end[m]) {
            m = data[i] == '\r';
        } else if (++m == 4) {
            n++;
            m = 0;
        }
    }
    matched[fd] = m;
    return n;
}

static bool connection_serve(int fd)
{
    char data[16384];
    ssize_t n = recv(fd, data, sizeof(data), 0);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n <= 0)
        return false;
    unsigned requests = ends_count(fd, data, (size_t)n);
    while (requests > 0) {
        unsigned now = requests < PIPELINED_MAX ? requests : PIPELINED_MAX;
        /* Short answers always fit, unless the client does not read; then it is dropped. */
        if (send(fd, answers, now * ANSWER_LEN, MSG_NOSIGNAL) != (ssize_t)(now * ANSWER_LEN))
            return false;
        requests -= now;
    }
    return true;
}

static void accept_all(int epoll, int listening)
{
    int one = 1;
    int fd;

    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= CONNECTIONS_MAX) {
            close(fd);
            continue;
        }
        matched[fd] = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
            die("epoll");
    }
}

static void *serve(void *arg)
{
    int listening = *(const int *)arg;
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listening};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &e) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listening)
                accept_all(epoll, fd);
            else if (!connection_serve(fd))
                close(fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned long threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    unsigned long port = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    const char *address = argc > 3 ? argv[3] : "127.0.0.1";
    struct in_addr at;
    static int listening[THREADS_MAX];
    pthread_t thread;

    if (threads == 0 || threads > THREADS_MAX || port > UINT16_MAX || argc > 4 ||
        inet_pton(AF_INET, address, &at) != 1) {
        fprintf(stderr, "usage: epoll_server [THREADS [PORT [ADDRESS]]]\n");
        return 2;
    }
    for (int i = 0; i < PIPELINED_MAX; i++)
        memcpy(answers + (size_t)i * ANSWER_LEN, answer, ANSWER_LEN);
    for (unsigned long i = 0; i < threads; i++) {
        listening[i] = listen_on(at, (uint16_t)port);
        port = port_of(listening[i]);
    }
    for (unsigned long i = 1; i < threads; i++) {
        if (pthread_create(&thread, NULL, serve, &listening[i]) != 0)
            die("thread");
    }
    fprintf(stderr, "epoll_server: listening on http://%s:%lu\n", address, port);
    serve(&listening[0]);
    return 0;
}

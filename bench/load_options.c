/* SPDX-License-Identifier: Apache-2.0 */
#include "load_options.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#define ROW(type_, name_, arg_, member_, help_)                                                    \
    .name = (name_), .type = (type_), .arg_name = (arg_), .help = (help_),                         \
    .offset = offsetof(struct load_options, member_)
#define NUMBER(name_, member_, min_, max_, default_, help_)                                        \
    {                                                                                              \
        ROW(OPTION_INT, name_, "N", member_, help_), .min = (min_), .max = (max_),                 \
                                                     .default_text = (default_)                    \
    }
#define DURATION(name_, member_, default_, help_)                                                  \
    {                                                                                              \
        ROW(OPTION_DURATION_MS, name_, "TIME", member_, help_), .min = 1, .max = 3600000,          \
                                                                .default_text = (default_)         \
    }
#define STRING(name_, arg_, member_, default_, help_)                                              \
    {                                                                                              \
        ROW(OPTION_STRING, name_, arg_, member_, help_), .default_text = (default_)                \
    }
#define FLAG(name_, member_, help_)                                                                \
    {                                                                                              \
        ROW(OPTION_FLAG, name_, NULL, member_, help_)                                              \
    }

static const struct option_spec load_option_specs[] = {
    NUMBER("connections", connections, 1, 20000, "1", "Connections"),
    DURATION("duration", duration_ms, "10s", "Start no request after this time"),
    NUMBER("requests", requests, 1, 1000000000, "1000000000", "Start no more than this many"),
    NUMBER("rate", rate, 1, 1000000, NULL, "Open loop: requests per second"),
    NUMBER("pipeline", pipeline, 1, 1024, "1", "Closed loop: requests in flight a connection"),
    FLAG("close", is_close, "A connection for each request"),
    DURATION("timeout", timeout_ms, "5s", "Longest wait for an answer"),
    STRING("path", "PATH", path, "/", "Path and query"),
    STRING("host", "NAME", host, "localhost", "Host header"),
    NUMBER("body-bytes", body_bytes, 1, 1 << 30, NULL, "POST a body of N bytes"),
    NUMBER("expect-status", status, 200, 999, "200", "Fail on any other status"),
    STRING("expect-body", "TEXT", expect_body, NULL, "Fail on any other body"),
    FLAG("expect-echo", is_echo, "Fail on a body that is not the request's"),
    FLAG("json", is_json, "Print one line of JSON"),
    OPTION_HELP_ROW(struct load_options, is_help),
    {0},
};

static const struct command_spec load_command = {
    .name = "http_load",
    .summary = "load a server of this machine with HTTP/1.1 requests",
    .usage = "[options] ADDR:PORT|unix:PATH",
    .options = load_option_specs,
    .positionals_min = 1,
    .positionals_max = 1,
};

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static int unix_address_parse(const char *path, struct load_options *o, struct err *e)
{
    struct sockaddr_un *a = (struct sockaddr_un *)&o->address;

    if (strlen(path) >= sizeof(a->sun_path))
        return err_set(e, -EINVAL, "BadTarget", "the path '%s' is too long", path);
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, path, strlen(path) + 1);
    o->address_len = sizeof(*a);
    return 0;
}

static int address_parse(const char *text, struct load_options *o, struct err *e)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;

    if (str_starts(text, "unix:"))
        return unix_address_parse(text + 5, o, e);
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return err_set(e, -EINVAL, "BadTarget", "'%s' is not ADDR:PORT", text);
    size_t is_bracketed = *text == '[' && colon[-1] == ']';
    autofree char *host = xstrndup(text + is_bracketed, (size_t)(colon - text) - 2 * is_bracketed);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return err_set(e, -EINVAL, "BadTarget", "'%s' is not ADDR:PORT", text);
    bool is_ours = is_loopback(found->ai_addr);
    memcpy(&o->address, found->ai_addr, found->ai_addrlen);
    o->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    if (!is_ours)
        return err_set(e, -EINVAL, "BadTarget", "'%s' is not an address of this machine's loopback",
                       text);
    return 0;
}

int load_options_parse(int argc, char **argv, struct load_options *o, struct err *e)
{
    autostrv operands = STRV_INIT;

    TRY(options_parse(&load_command, argc, argv, o, &operands, e));
    if (o->is_help)
        return 1;
    if (o->pipeline.value > 1 && (o->rate.is_set || o->is_close))
        return err_set(e, -EINVAL, "BadUsage", "--pipeline goes with neither --rate nor --close");
    return address_parse(operands.v[0], o, e);
}

void load_options_done(struct load_options *o)
{
    options_done(&load_command, o);
}

void load_options_help(void)
{
    autobuf help = BUF_INIT;

    options_help(&load_command, "bench", 100, &help);
    fputs(buf_str(&help), stdout);
}

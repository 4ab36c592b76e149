/* SPDX-License-Identifier: Apache-2.0 */
/* Any NUL-separated words as the arguments of `wherry serve`, with the grammars inside them. */
#include "base/json.h"
#include "cli/commands.h"
#include "cli/serve_options.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses_check(const struct serve_options *o)
{
    struct listen_addresses a = {0};
    struct err e = ERR_INIT;

    if (listen_addresses_parse(&o->listen, o->metrics, &a, &e) < 0) {
        BUG_ON(a.items || !e.msg[0]);
        return;
    }
    for (size_t i = 0; i < a.n; i++) {
        char text[LISTEN_TEXT_SIZE], again[LISTEN_TEXT_SIZE];
        struct listen_address back;

        BUG_ON(a.items[i].len > sizeof(struct sockaddr_un));
        listen_address_format(&a.items[i], text);
        BUG_ON(listen_address_parse("--listen", text, &back, &e) < 0);
        listen_address_format(&back, again);
        BUG_ON(!str_eq(text, again));
    }
    listen_addresses_done(&a);
}

static void routes_check(const struct serve_options *o, const char *file)
{
    struct serve_routes r = {0};
    struct err e = ERR_INIT;

    if (serve_routes_collect(file, &o->routes, &o->hosts, &r, &e) < 0) {
        BUG_ON(r.items || !e.msg[0]);
        return;
    }
    BUG_ON(r.n != o->routes.n + o->hosts.n + (file != NULL));
    for (size_t i = 0; i < r.n; i++) {
        const struct serve_route *one = &r.items[i];
        size_t len = strlen(one->path);
        autofree char *text = xasprintf("%s=x", one->path);
        struct serve_route again;

        BUG_ON(one->path[0] != '/' || (len > 1 && one->path[len - 1] == '/'));
        BUG_ON(len > SERVE_ROUTE_LIMIT || strstr(one->path, "//"));
        BUG_ON(!*one->file && !(file && i == r.n - 1));
        BUG_ON(one->host && (!*one->host || strlen(one->host) > SERVE_HOST_LIMIT));
        BUG_ON(!utf8_is_valid(one->file, strlen(one->file)));
        /* What is normalised once stays as it is. */
        BUG_ON(serve_route_parse(text, &again, &e) < 0 || !str_eq(again.path, one->path));
        serve_route_done(&again);
    }
    serve_routes_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words w = words_from("serve", data, size);
    struct serve_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;

    if (options_parse(&command_serve, w.argc, w.argv, &o, &operands, &e) == 0) {
        addresses_check(&o);
        routes_check(&o, operands.n ? operands.v[0] : NULL);
    } else {
        BUG_ON(e.code != -EINVAL || !e.msg[0]);
    }
    options_done(&command_serve, &o);
    free(w.text);
    return 0;
}

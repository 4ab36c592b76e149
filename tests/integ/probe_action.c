/* SPDX-License-Identifier: Apache-2.0 */
/* probe_action http|tcp|grpc HOST PORT NAME TIMEOUT_MS: carries out one action of a probe, with
 * NAME the path or service, and prints "ok" or why it failed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "pod/probe.h"

static struct loop *loop;

static void on_done(void *ctx, const char *failure)
{
    (void)ctx;
    puts(failure ? failure : "ok");
    loop_stop(loop);
}

int main(int argc, char **argv)
{
    struct pod_action a = {0};
    struct err e = ERR_INIT;

    if (argc != 6) {
        fprintf(stderr, "usage: probe_action http|tcp|grpc HOST PORT NAME TIMEOUT_MS\n");
        return 2;
    }
    a.kind = str_eq(argv[1], "grpc")  ? POD_ACTION_GRPC
             : str_eq(argv[1], "tcp") ? POD_ACTION_TCP
                                      : POD_ACTION_HTTP;
    a.host = argv[2];
    a.port = atoi(argv[3]);
    a.path = a.service = argv[4];
    if (loop_open(&loop, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    action_start(&(struct actions_options){.loop = loop}, &a, strtoull(argv[5], NULL, 10), on_done,
                 NULL);
    loop_run(loop);
    loop_free(loop);
    return 0;
}

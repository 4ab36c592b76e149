/* SPDX-License-Identifier: Apache-2.0 */
/* image_find ADDRESS NAMESPACE CONTAINER CACHE [config]: prints as JSON what image_find() finds,
 * and how much of a program the file of it has; or {"reason", "message"}. With "config" it asks for
 * no program. */
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "shim/image/image.h"

static struct loop *loop;
static struct image_request *request;
static struct loop_timer *patience;

static void found(void *ctx, const struct err *e, struct image_program *p)
{
    autobuf out = BUF_INIT;
    struct json_writer w;
    struct err bad = ERR_INIT;
    struct digest digest;
    char text[DIGEST_TEXT_SIZE];
    struct stat st;
    (void)ctx;
    request = NULL;
    loop_timer_free(take_ptr(patience));
    json_writer_init(&w, &out, false);
    json_begin_object(&w);
    if (e) {
        json_key_str(&w, "reason", e->reason);
        json_key_str(&w, "message", e->msg);
    } else {
        json_key_str(&w, "name", p->name);
        json_key_str(&w, "digest", p->digest);
        json_key_uint(&w, "port", container_tcp_port(p->config));
        json_key_strings(&w, "entrypoint", &p->config->entrypoint);
        json_key_strings(&w, "cmd", &p->config->cmd);
        json_key_strings(&w, "env", &p->config->env);
    }
    if (!e && p->fd >= 0) {
        BUG_ON(digest_fd(p->fd, &digest, &bad) < 0 || fstat(p->fd, &st) < 0);
        digest_format(&digest, text);
        json_key_str(&w, "file_digest", text);
        json_key_int(&w, "file_inode", (int64_t)st.st_ino);
    }
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &bad) < 0);
    puts(buf_str(&out));
}

static void give_up(void *ctx)
{
    (void)ctx;
    image_cancel(take_ptr(request));
    loop_timer_free(take_ptr(patience));
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    BUG_ON(argc < 5 || loop_open(&loop, &e) < 0);
    struct image_options o = {.grpc_address = argv[1],
                              .containerd_ns = argv[2],
                              .container_id = argv[3],
                              .cache_dir = argv[4],
                              .wants_program = argc == 5 || !str_eq(argv[5], "config")};
    request = image_find(loop, &o, found, NULL);
    if (argc > 5 && o.wants_program) {
        patience = loop_timer_new(loop, give_up, NULL);
        loop_timer_set(patience, clock_monotonic_ns() + strtoull(argv[5], NULL, 10) * 1000000);
    }
    loop_run(loop);
    loop_free(loop);
    return 0;
}

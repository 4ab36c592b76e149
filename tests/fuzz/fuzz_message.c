/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of a worker message or as a job: what is accepted encodes to what reads
 * back the same. */
#include <stdint.h>

#include "guest/job.h"
#include "guest/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const char *a, const char *b)
{
    return a && b ? str_eq(a, b) : !a && !b;
}

static void serve_check(const struct serve_spec *a, const struct serve_spec *b)
{
    BUG_ON(a->n_apps != b->n_apps || a->n_listeners != b->n_listeners || a->threads != b->threads ||
           a->reuse != b->reuse || a->metrics_fd != b->metrics_fd ||
           memcmp(&a->limits, &b->limits, sizeof(a->limits)) != 0 ||
           !same(a->tls_cert, b->tls_cert) || !same(a->tls_key, b->tls_key) ||
           !same(a->access_log, b->access_log));
    for (size_t i = 0; i < a->n_apps; i++)
        BUG_ON(a->apps[i].fd != b->apps[i].fd || !same(a->apps[i].path, b->apps[i].path) ||
               !same(a->apps[i].name, b->apps[i].name) ||
               !same(a->apps[i].route, b->apps[i].route) ||
               !same(a->apps[i].host, b->apps[i].host));
    for (size_t i = 0; i < a->n_listeners; i++)
        BUG_ON(a->listeners[i].fd != b->listeners[i].fd ||
               a->listeners[i].thread != b->listeners[i].thread ||
               a->listeners[i].thread >= a->threads ||
               a->listeners[i].is_tls != b->listeners[i].is_tls ||
               !same(a->listeners[i].url, b->listeners[i].url));
}

static void job(const char *text, size_t len)
{
    struct guest_job j = GUEST_JOB_INIT, again = GUEST_JOB_INIT;
    autobuf encoded = BUF_INIT;
    struct err e = ERR_INIT;
    struct json_writer w;

    if (guest_job_decode(text, len, &j, &e) < 0) {
        BUG_ON(!e.reason || !e.msg[0] || j.command || j.has_spec || j.has_serve);
        return;
    }
    json_writer_init(&w, &encoded, false);
    guest_job_encode(&j, &w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
    BUG_ON(guest_job_decode(encoded.data, encoded.len, &again, &e) < 0);
    BUG_ON(!same(j.command, again.command) || j.has_spec != again.has_spec ||
           j.has_serve != again.has_serve || j.n_files != again.n_files);
    if (j.has_serve)
        serve_check(&j.serve, &again.serve);
    guest_job_done(&j);
    guest_job_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message m = {0}, again = {0};
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    job((const char *)data, size);
    if (message_decode((const char *)data, size, &m, &e) < 0) {
        BUG_ON(!e.reason || !e.msg[0] || m.id || m.has_spec || m.has_status);
        return 0;
    }
    message_encode(&m, &text);
    BUG_ON(message_decode(text.data, text.len, &again, &e) < 0);
    BUG_ON(m.type != again.type || !same(m.id, again.id) || m.has_spec != again.has_spec ||
           m.has_status != again.has_status);
    if (m.has_spec)
        BUG_ON(m.spec.module_fd != again.spec.module_fd || m.spec.n_dirs != again.spec.n_dirs ||
               m.spec.args.n != again.spec.args.n ||
               m.spec.memory_bytes != again.spec.memory_bytes);
    message_done(&m);
    message_done(&again);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A record of a pod: an error, or a machine that reads its own record back to the same, has a
 * status, and can be run to its end by whatever its containers are claimed to have become. */
#include "pod/machine/machine.h"
#include "pod/machine/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct pod_now now = {5000000000000, 1795737600000000000};

static struct pod_spec *spec_new(void)
{
    static const char *const names[] = {"seed", "side", "app", "job"};
    struct pod_spec *s = pod_spec_new();

    s->space = "shop";
    s->name = "web";
    s->uid = "u-1";
    s->restart = POD_RESTART_ON_FAILURE;
    s->grace_ms = 30000;
    s->n_containers = ARRAY_SIZE(names);
    s->n_first = 2;
    s->containers = arena_array(s->arena, s->n_containers, sizeof(*s->containers));
    for (size_t i = 0; i < s->n_containers; i++) {
        s->containers[i].name = names[i];
        s->containers[i].image = "registry.test/a:1";
        s->containers[i].role = i == 0 ? POD_ROLE_INIT : i == 1 ? POD_ROLE_SIDECAR : POD_ROLE_MAIN;
    }
    s->containers[2].pre_stop = arena_alloc(s->arena, sizeof(struct pod_action));
    return s;
}

static void encode(const struct pod_machine *m, struct buf *out)
{
    struct err e = ERR_INIT;
    struct json_writer w;

    json_writer_init(&w, out, false);
    pod_machine_encode(m, now, &w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

static void show(const struct pod_machine *m)
{
    AUTO(pod_status) s = pod_status_new(m, (struct pod_addresses){"192.0.2.1", NULL});
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &out, false);
    pod_status_encode(s, &w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

static void run(struct pod_machine *m, size_t size)
{
    static const enum pod_event claims[] = {POD_EVENT_STARTED, POD_EVENT_EXITED, POD_EVENT_LOST,
                                            POD_EVENT_NEVER};
    struct guest_status status = {.reason = (char *)"Completed"};
    struct pod_orders orders = POD_ORDERS_INIT;
    struct pod_input in = {.status = &status};

    pod_machine_begin(m, now, &orders);
    for (size_t i = 0; i < 4; i++) {
        in.container = i;
        in.event = claims[(size + i) % ARRAY_SIZE(claims)];
        if (pod_machine_is_unclaimed(m, i))
            pod_machine_feed(m, now, &in, &orders);
    }
    pod_machine_set_up(m, now, NULL, &orders);
    pod_machine_timer(m, now, &orders);
    pod_machine_delete(m, now, 0, &orders);
    for (int round = 0; round < 8; round++) {
        pod_machine_timer(m, now, &orders);
        for (size_t i = 0; i < 4; i++) {
            in.container = i;
            in.event = POD_EVENT_EXITED;
            pod_machine_feed(m, now, &in, &orders);
        }
    }
    for (size_t i = 0; i < orders.n; i++) {
        const struct pod_order *o = &orders.v[i];

        BUG_ON(o->kind == POD_ORDER_POST_START);
        BUG_ON(o->kind == POD_ORDER_PRE_STOP && o->container != 2);
    }
    BUG_ON(!pod_machine_is_over(m) || orders.v[orders.n - 1].kind != POD_ORDER_GONE);
    show(m);
    pod_orders_done(&orders);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(pod_machine) m = NULL;
    AUTO(pod_machine) again = NULL;
    struct pod_spec *spec = spec_new();
    autobuf first = BUF_INIT, second = BUF_INIT;
    struct err e = ERR_INIT;

    if (pod_machine_decode(spec, now, (const char *)data, size, &m, &e) < 0) {
        BUG_ON(!e.code || !*e.msg || m);
    } else {
        encode(m, &first);
        BUG_ON(pod_machine_decode(spec, now, first.data, first.len, &again, &e) < 0);
        encode(again, &second);
        BUG_ON(!str_eq(buf_str(&first), buf_str(&second)));
        show(m);
        run(m, size);
    }
    pod_spec_unref(spec);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the documents of a bundle: an error with its words, or a struct within its limits
 * whose state can be told to hooks. */
#include "container/oci/oci_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void process_check(const struct oci_process *p)
{
    BUG_ON(!p->args.n || !*p->args.v[0] || *p->cwd != '/');
    BUG_ON(p->user.uid < 0 || p->user.uid >= UINT32_MAX || p->user.gid < 0);
    for (size_t i = 0; i < p->user.n_additional_gids; i++)
        BUG_ON(p->user.additional_gids[i] < 0 || p->user.additional_gids[i] >= UINT32_MAX);
    for (size_t i = 0; i < p->n_rlimits; i++)
        BUG_ON(!p->rlimits[i].type);
}

static void config_try(const char *text, size_t size)
{
    struct oci_config c, back;
    struct err e = ERR_INIT;
    autobuf said = BUF_INIT;

    if (oci_config_decode(text, size, &c, &e) < 0) {
        BUG_ON(!e.code || !*e.msg);
        return;
    }
    if (c.has_process)
        process_check(&c.process);
    oci_state_encode(&c, "id", "created", 1, "/bundle", &said);
    /* Its members have the names and types that they have in config.json. */
    BUG_ON(oci_config_decode(buf_str(&said), said.len, &back, &e) < 0);
    BUG_ON(back.annotations.n != c.annotations.n);
    oci_config_done(&back);
    oci_config_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oci_resources r;
    struct oci_process p;
    struct err e = ERR_INIT;

    config_try((const char *)data, size);
    if (oci_process_decode((const char *)data, size, &p, &e) >= 0) {
        process_check(&p);
        oci_process_done(&p);
    }
    if (oci_resources_decode((const char *)data, size, &r, &e) >= 0) {
        BUG_ON(r.memory_limit < -1 || r.pids_limit < -1 || r.cpu_shares < 0);
        oci_resources_done(&r);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json of any bytes: what decodes can be changed, or not, and decodes as before but for
 * the change. */
#include "shim/bundle/config_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void namespaces_try(const struct buf *json, const struct oci_config *c)
{
    for (size_t i = 0; i < c->linux_.n_namespaces; i++) {
        struct oci_config back;
        autobuf said = BUF_INIT;
        struct err e = ERR_INIT;

        if (config_edit_namespace(json, i, "/new", &said, &e) < 0) {
            BUG_ON(!e.code || said.len);
            continue;
        }
        BUG_ON(oci_config_decode(buf_str(&said), said.len, &back, &e) < 0);
        BUG_ON(back.linux_.n_namespaces != c->linux_.n_namespaces);
        BUG_ON(!str_eq(back.linux_.namespaces[i].path, "/new"));
        oci_config_done(&back);
    }
}

static void mounts_try(const struct buf *json, const struct oci_config *c)
{
    static const struct config_mount v[] = {
        {"/etc/hosts", "/a", false},
        {"/dev/shm",   "/b", true }
    };
    struct oci_config back;
    autobuf said = BUF_INIT;
    struct err e = ERR_INIT;
    bool is_there = false;

    if (config_edit_mounts(json, c, v, ARRAY_SIZE(v), &said, &e) < 0) {
        BUG_ON(!e.code || said.len);
        return;
    }
    BUG_ON(oci_config_decode(buf_str(&said), said.len, &back, &e) < 0);
    for (size_t i = 0; i < back.n_mounts; i++)
        is_there = is_there || (str_eq(back.mounts[i].destination, "/dev/shm") &&
                                back.mounts[i].source && str_eq(back.mounts[i].source, "/b"));
    BUG_ON(!is_there || back.n_mounts < c->n_mounts);
    oci_config_done(&back);
}

/* Also of what is not well-formed nothing is read that is not there. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oci_config c = {0};
    autobuf json = BUF_INIT, ignored = BUF_INIT;
    struct err e = ERR_INIT;

    buf_add(&json, data, size);
    if (oci_config_decode(buf_str(&json), json.len, &c, &e) < 0) {
        (void)config_edit_namespace(&json, 1, "/new", &ignored, &e);
        return 0;
    }
    namespaces_try(&json, &c);
    mounts_try(&json, &c);
    oci_config_done(&c);
    return 0;
}

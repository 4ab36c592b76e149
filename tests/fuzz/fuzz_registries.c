/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as registries.conf: an error with its place, or rules that give every name something to
 * ask, unless they block it. */
#include "store/registries.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct registries *c, const char *text)
{
    autostrv names = STRV_INIT;
    struct err e = ERR_INIT;

    if (registries_names(c, text, NAMES_STORED, &names, &e) < 0)
        return;
    BUG_ON(!names.n);
    for (size_t i = 0; i < names.n; i++) {
        __attribute__((cleanup(reference_done))) struct reference r = {0};
        autosources sources = {0};

        BUG_ON(reference_parse(names.v[i], &r, &e) < 0);
        if (registries_sources(c, &r, &sources, &e) < 0)
            BUG_ON(!str_eq(e.reason, "RegistryBlocked") && !str_eq(e.reason, "BadReference"));
        else
            BUG_ON(!sources.n);
        e = ERR_INIT;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoregistries c = {0};
    struct err e = ERR_INIT;

    if (registries_add(&c, (struct text){(const char *)data, size}, "f", &e) < 0) {
        BUG_ON(!str_eq(e.reason, "BadToml") && !str_eq(e.reason, "BadRegistriesConf"));
        BUG_ON(!str_starts(e.msg, "f:"));
        return 0;
    }
    ask(&c, "a");
    ask(&c, "a/b:1");
    ask(&c, "x.example.com:5000/a@sha256:"
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    return 0;
}

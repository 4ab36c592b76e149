/* SPDX-License-Identifier: Apache-2.0 */
/* Any words as the shim's command line: an error that says which, or an action that has what it
 * needs, whose strings are those of the words. */
#include "shim/command/flags.h"
#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_of(const char *text, const struct words *w, size_t size)
{
    return !text || (text >= w->text && text <= w->text + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words w = words_from("shim", data, size);
    struct shim_flags f = {.action = SHIM_NONE};
    struct err e = ERR_INIT;

    if (shim_flags_parse(w.argc, w.argv, &f, &e) < 0) {
        BUG_ON(e.code != -EINVAL || !str_eq(e.reason, "BadUsage") || !*e.msg || f.action);
    } else {
        BUG_ON(f.action == SHIM_NONE);
        BUG_ON(f.action <= SHIM_DELETE && (!*f.id || !*f.namespace));
        BUG_ON(!is_of(f.id, &w, size) || !is_of(f.namespace, &w, size) ||
               !is_of(f.bundle, &w, size) || !is_of(f.address, &w, size) ||
               !is_of(f.publish_binary, &w, size) || !is_of(f.socket, &w, size));
    }
    free(w.text);
    return 0;
}

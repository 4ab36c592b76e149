/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/mman.h>

#include "base/digest.h"
#include "base/util.h"
#include "engine/engine.h"
#include "store/cache.h"
#include "unit.h"

/* Fills the cache: the compiler is a child process with a limit on memory, under which programs
 * with AddressSanitizer cannot even begin. */
static inline void unit_compile(struct cache *cache, const char *module, size_t len)
{
    const struct engine_options o = {.is_interruptible = true, .has_compiler = true};
    char settings[512], key[CACHE_KEY_SIZE];
    struct engine *engine = NULL;
    struct digest digest;
    struct err e = ERR_INIT;
    int handle = -EBADF;

    digest_bytes(module, len, &digest);
    engine_settings(true, false, settings, sizeof(settings));
    cache_key(&digest, settings, key);
    if (cache_begin(cache, key, &handle, &e) == 0) {
        autofd code = memfd_create("code", MFD_CLOEXEC);

        assert_ok(engine_open(&o, &engine, &e));
        assert_ok(engine_compile(engine, module, len, code, &e));
        assert_ok(cache_commit(cache, key, handle, code, &e));
        engine_close(engine);
    } else {
        close(handle);
    }
}

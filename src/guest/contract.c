/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/contract.h"

#include "base/strv.h"
#include "base/util.h"

const char *contract_name(enum contract c)
{
    switch (c) {
    case CONTRACT_P1_COMMAND:
        return "WASI 0.1 command";
    case CONTRACT_P1_REACTOR:
        return "WASI 0.1 reactor";
    case CONTRACT_LIBRARY:
        return "library";
    case CONTRACT_P2_COMMAND:
        return "WASI 0.2 command";
    case CONTRACT_P3_COMMAND:
        return "WASI 0.3 command";
    case CONTRACT_P2_HTTP:
        return "WASI 0.2 HTTP service";
    case CONTRACT_P3_HTTP:
        return "WASI 0.3 HTTP service";
    case CONTRACT_UNKNOWN:
        break;
    }
    return "unknown";
}

static const char *const words[] = {
    [CONTRACT_UNKNOWN] = "unknown",       [CONTRACT_P1_COMMAND] = "p1-command",
    [CONTRACT_P1_REACTOR] = "p1-reactor", [CONTRACT_LIBRARY] = "library",
    [CONTRACT_P2_COMMAND] = "p2-command", [CONTRACT_P3_COMMAND] = "p3-command",
    [CONTRACT_P2_HTTP] = "p2-http",       [CONTRACT_P3_HTTP] = "p3-http",
};

const char *contract_word(enum contract c)
{
    return words[c];
}

enum contract contract_parse(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_eq(words[i], word))
            return (enum contract)i;
    return CONTRACT_UNKNOWN;
}

/* ---- Collecting ---- */

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static void item_add(struct artifact *a, struct artifact_item **items, size_t *n,
                     struct artifact_item item)
{
    if (*n == ARTIFACT_ITEM_LIMIT) {
        a->is_cut = true;
        return;
    }
    /* Grows by doubling: a power of two is full. */
    if (!(*n & (*n - 1)))
        *items = xrealloc(*items, *n ? *n * 2 : 1, sizeof(item));
    (*items)[(*n)++] = (struct artifact_item){
        .space = copy(item.space),
        .name = copy(item.name),
        .kind = copy(item.kind),
        .type = copy(item.type),
    };
}

void artifact_import_add(struct artifact *a, const char *space, const char *name, const char *kind,
                         const char *type)
{
    item_add(a, &a->imports, &a->n_imports,
             (struct artifact_item){(char *)space, (char *)name, (char *)kind, (char *)type});
}

void artifact_export_add(struct artifact *a, const char *name, const char *kind, const char *type)
{
    item_add(a, &a->exports, &a->n_exports,
             (struct artifact_item){NULL, (char *)name, (char *)kind, (char *)type});
}

static void items_done(struct artifact_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(items[i].space);
        free(items[i].name);
        free(items[i].kind);
        free(items[i].type);
    }
    free(items);
}

void artifact_done(struct artifact *a)
{
    items_done(a->imports, a->n_imports);
    items_done(a->exports, a->n_exports);
    *a = (struct artifact){0};
}

/* ---- Deciding ---- */

/* "wasi:cli/run@0.2.3" matches the prefix "wasi:cli/run@0.2."; a track is any patch version. */
static const struct artifact_item *export_find(const struct artifact *a, const char *prefix,
                                               bool is_whole)
{
    for (size_t i = 0; i < a->n_exports; i++)
        if (is_whole ? str_eq(a->exports[i].name, prefix) : str_starts(a->exports[i].name, prefix))
            return &a->exports[i];
    return NULL;
}

static bool has_function(const struct artifact *a)
{
    for (size_t i = 0; i < a->n_exports; i++)
        if (str_eq(a->exports[i].kind, "func") || str_eq(a->exports[i].kind, "instance"))
            return true;
    return false;
}

struct world {
    bool is_component;
    bool is_whole; /* the whole name, not a prefix */
    const char *export;
    enum contract contract;
};

static const struct world worlds[] = {
    {true,  false, "wasi:cli/run@0.3.",               CONTRACT_P3_COMMAND},
    {true,  false, "wasi:cli/run@0.2.",               CONTRACT_P2_COMMAND},
    {true,  false, "wasi:http/handler@0.3.",          CONTRACT_P3_HTTP   },
    {true,  false, "wasi:http/incoming-handler@0.2.", CONTRACT_P2_HTTP   },
    {false, true,  "_start",                          CONTRACT_P1_COMMAND},
    {false, true,  "_initialize",                     CONTRACT_P1_REACTOR},
};

bool contract_is_concurrent(enum contract c, const struct artifact *a)
{
    if (!a->is_component || (c != CONTRACT_P2_COMMAND && c != CONTRACT_P2_HTTP))
        return a->is_component;
    for (size_t i = 0; i < a->n_imports; i++)
        if (strstr(a->imports[i].name, "@0.3."))
            return true;
    return false;
}

enum contract contract_decide(const struct artifact *a, struct buf *why)
{
    const char *what = a->is_component ? "a component" : "a module";

    for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
        const struct artifact_item *found;

        if (worlds[i].is_component != a->is_component)
            continue;
        found = export_find(a, worlds[i].export, worlds[i].is_whole);
        if (found) {
            buf_addf(why, "it is %s and exports %s", what, found->name);
            return worlds[i].contract;
        }
    }
    if (has_function(a)) {
        buf_addf(why,
                 "it is %s that exports functions, but no entry point that wherry knows "
                 "(%s)",
                 what, a->is_component ? "wasi:cli/run" : "_start or _initialize");
        return CONTRACT_LIBRARY;
    }
    buf_addf(why, "it is %s that exports no function", what);
    return CONTRACT_UNKNOWN;
}

/* ---- Imports ---- */

static const char *const p1_functions[] = {
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_fdstat_set_rights",
    "fd_pread",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "sched_yield",
    "random_get",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
};

struct offer {
    const char *prefix; /* of the import's module, or of the interface name */
    const char *who;
};

static const struct offer module_offers[] = {
    {"wasi_snapshot_preview1", "an extension of WASI 0.1 that only some runtimes have (WasmEdge, "
                               "WASIX); build without it"                           },
    {"wasi_unstable",          "WASI preview 0 of 2019; rebuild with a current tool chain"                        },
    {"wasi_ephemeral",
     "a WASI proposal such as wasi-nn or wasi-crypto, which wherry does not offer"                                },
    {"wasix_",                 "WASIX (Wasmer); build for wasm32-wasip1 instead"                                  },
    {"wasi",                   "the wasi-threads proposal; build without threads"                                 },
    {"gojs",                   "a browser (Go's js/wasm port); build with GOOS=wasip1 instead"                    },
    {"go",                     "a browser (Go's js/wasm port); build with GOOS=wasip1 instead"                    },
    {"wbg",                    "a browser (wasm-bindgen); build for wasm32-wasip1 instead"                        },
    {"__wbindgen",             "a browser (wasm-bindgen); build for wasm32-wasip1 instead"                        },
    {"a",                      "JavaScript made by Emscripten; build with -sSTANDALONE_WASM instead"              },
    {"env",                    "whoever embeds the module (Emscripten's JavaScript, a plug-in host, or a library that "
            "was not linked in)"                                                                       },
    {"wasi:",                  "the host of a component that was not made into one yet (wasm-tools component new)"},
    {"$root",                  "the host of a component that was not made into one yet (wasm-tools component new)"},
};

static const struct offer interface_offers[] = {
    {"wasi:http/",      "another HTTP component; compose it in (wac plug)"             },
    {"wasi:keyvalue/",  "a key-value provider link"                                    },
    {"wasi:blobstore/", "a blob store provider link"                                   },
    {"wasi:messaging/", "a messaging provider link"                                    },
    {"wasi:config/",    "a configuration provider link"                                },
    {"wasi:logging/",   "a logging provider link"                                      },
    {"wasi:tls/",       "the WASI TLS proposal, which wherry does not offer"           },
    {"wasi:nn/",        "the WASI neural network proposal, which wherry does not offer"},
    {"wasmcloud:",      "a wasmCloud provider link"                                    },
    {"fermyon:",        "Spin"                                                         },
    {"spin:",           "Spin"                                                         },
};

static const char *offer_find(const struct offer *offers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(offers[i].prefix);

        if (!strncmp(name, offers[i].prefix, len) &&
            (len > 4 || !name[len])) /* short names are whole names */
            return offers[i].who;
    }
    return NULL;
}

static bool module_import_is_known(const struct artifact_item *i)
{
    if (!str_eq(i->space, "wasi_snapshot_preview1") || !str_eq(i->kind, "func"))
        return false;
    for (size_t f = 0; f < ARRAY_SIZE(p1_functions); f++)
        if (str_eq(i->name, p1_functions[f]))
            return true;
    return false;
}

/* The packages and interfaces that the engine has, in versions of these tracks. */
static const char *const packages[] = {"wasi:cli/",
                                       "wasi:clocks/",
                                       "wasi:filesystem/",
                                       "wasi:http/types",
                                       "wasi:http/outgoing-handler",
                                       "wasi:http/client",
                                       "wasi:io/",
                                       "wasi:random/",
                                       "wasi:sockets/"};

static const char *interface_missing(const char *name)
{
    const char *at = strchr(name, '@'), *who;

    for (size_t p = 0; p < ARRAY_SIZE(packages); p++) {
        if (!str_starts(name, packages[p]))
            continue;
        if (!at)
            return "an unversioned draft of WASI; rebuild with a current tool chain";
        if (str_starts(at, "@0.3.0-"))
            return "a release candidate of WASI 0.3; rebuild against 0.3.0";
        if (str_starts(at, "@0.2.0-"))
            return "a release candidate of WASI 0.2; rebuild against 0.2.0 or later";
        if (str_starts(at, "@0.2.") || str_starts(at, "@0.3."))
            return NULL;
        return "a version of WASI that this wherry does not know";
    }
    who = offer_find(interface_offers, ARRAY_SIZE(interface_offers), name);
    return who ? who : "another component; compose it in (wac plug) or link it";
}

const char *contract_import_missing(const struct artifact *a, const struct artifact_item *import)
{
    const char *who;

    if (a->is_component) {
        /* Types that are named on the way in need nobody to offer them. */
        return str_eq(import->kind, "type") ? NULL : interface_missing(import->name);
    }
    if (module_import_is_known(import))
        return NULL;
    who = offer_find(module_offers, ARRAY_SIZE(module_offers), import->space);
    return who ? who : "a host that wherry does not know";
}

int contract_check_imports(const struct artifact *a, struct err *e)
{
    autobuf text = BUF_INIT;
    const char *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < a->n_imports; i++) {
        const struct artifact_item *import = &a->imports[i];
        const char *who = contract_import_missing(a, import);

        if (!who)
            continue;
        if (!first)
            first = who;
        if (n++ < 3)
            buf_addf(&text, "%s%s%s%.100s", n > 1 ? ", " : "", import->space ? import->space : "",
                     import->space ? "." : "", import->name);
    }
    if (!n)
        return 0;
    if (n > 3)
        buf_addf(&text, " and %zu more", n - 3);
    return err_set(e, -ENOEXEC, "UnknownImport",
                   "it imports %s, which nothing here offers; that is offered by %s",
                   buf_str(&text), first);
}

/* ---- Needs ---- */

struct need {
    const char *module_prefix, *interface_prefix;
    const char *words;
};

static const struct need needs[] = {
    {"path_",    "wasi:filesystem/",     "files and folders: only those that --dir grants"       },
    {"sock_",    "wasi:sockets/",        "the network: only addresses that --allow-net grants"   },
    {"environ_", "wasi:cli/environment", "environment variables: those of --env and of its image"},
    {"args_",    NULL,                   "arguments"                                             },
    {"fd_read",  "wasi:cli/stdin",       "standard input: only with -i"                          },
    {"clock_",   "wasi:clocks/",         "the time"                                              },
    {"random_",  "wasi:random/",         "random numbers"                                        },
    {"poll_",    "wasi:io/poll",         "waiting for time or input"                             },
    {NULL,       "wasi:http/outgoing",   "HTTP requests: only to what --allow-net grants"        },
    {NULL,       "wasi:http/client",     "HTTP requests: only to what --allow-net grants"        },
};

void contract_needs(const struct artifact *a, struct strv *ret)
{
    for (size_t n = 0; n < ARRAY_SIZE(needs); n++) {
        const char *prefix = a->is_component ? needs[n].interface_prefix : needs[n].module_prefix;

        for (size_t i = 0; prefix && i < a->n_imports; i++)
            if (str_starts(a->imports[i].name, prefix)) {
                strv_add(ret, needs[n].words);
                break;
            }
    }
}

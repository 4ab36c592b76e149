/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Which contract an artifact follows, decided from its imports and exports alone, never from a
 * flag, a file name or a media type.
 */

enum contract {
    CONTRACT_UNKNOWN,    /* none of these; `why` says what is missing */
    CONTRACT_P1_COMMAND, /* module exporting _start */
    CONTRACT_P1_REACTOR, /* module exporting _initialize */
    CONTRACT_LIBRARY,    /* module or component with functions, but no entry point */
    CONTRACT_P2_COMMAND, /* component exporting wasi:cli/run@0.2 */
    CONTRACT_P3_COMMAND, /* component exporting wasi:cli/run@0.3 */
    CONTRACT_P2_HTTP,    /* component exporting wasi:http/incoming-handler@0.2 */
    CONTRACT_P3_HTTP,    /* component exporting wasi:http/handler@0.3 */
};

/* "WASI 0.1 command", ... */
const char *contract_name(enum contract c);

/* "p1-command", ...: what programs tell each other, and never changes. */
const char *contract_word(enum contract c);
/* CONTRACT_UNKNOWN for "unknown" and what is none of them. */
enum contract contract_parse(const char *word);

static inline bool contract_is_http(enum contract c)
{
    return c == CONTRACT_P2_HTTP || c == CONTRACT_P3_HTTP;
}

/* A function, memory, interface or other thing that goes in or out. Heap strings. */
struct artifact_item {
    char *space; /* import of a module: the module's name; otherwise NULL */
    char *name;
    char *kind;
    char *type;
};

/* Filled through the engine's visitor; a limit keeps a hostile file from filling memory. */
#define ARTIFACT_ITEM_LIMIT 100000

struct artifact {
    bool is_component;
    struct artifact_item *imports, *exports;
    size_t n_imports, n_exports;
    bool is_cut; /* there were more than ARTIFACT_ITEM_LIMIT */
};

void artifact_import_add(struct artifact *a, const char *space, const char *name, const char *kind,
                         const char *type);
void artifact_export_add(struct artifact *a, const char *name, const char *kind, const char *type);
void artifact_done(struct artifact *a);

/* Decides, and writes one sentence that says why. */
enum contract contract_decide(const struct artifact *a, struct buf *why);

/* Whether calls into it may be concurrent: WASI 0.3, and components that follow no contract. */
bool contract_is_concurrent(enum contract c, const struct artifact *a);

/*
 * Who would offer this import: NULL when the engine does; otherwise a phrase such as "a browser
 * (wasm-bindgen); build for wasm32-wasip1 instead". Static storage.
 */
const char *contract_import_missing(const struct artifact *a, const struct artifact_item *import);

/* Fails with "UnknownImport" (-ENOEXEC) and names the first imports that nobody offers. */
int contract_check_imports(const struct artifact *a, struct err *e);

/* What the program may ask for, in plain words, one line each: "folders, if --dir grants some". */
struct strv;
void contract_needs(const struct artifact *a, struct strv *ret);

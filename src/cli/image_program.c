/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "cli/cli.h"
#include "cli/image.h"

#define INSPECTED_LIMIT (64u << 20)
#define INSPECTED_DEPTH 16

struct item {
    char *name;
};

struct compiled {
    bool for_run, for_serve;
};

struct inspected {
    bool is_component;
    char *contract, *reason, *command;
    struct item *imports, *exports;
    size_t n_imports, n_exports;
    bool has_compiled;
    struct compiled compiled;
};

static const struct json_field item_fields[] = {
    JSON_FIELD("name", FIELD_STRING, struct item, name),
    {0},
};

static const struct json_field compiled_fields[] = {
    JSON_FIELD("run", FIELD_BOOL, struct compiled, for_run),
    JSON_FIELD("serve", FIELD_BOOL, struct compiled, for_serve),
    {0},
};

#define ITEMS(name_, member_)                                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct inspected, member_),     \
        .count_offset = offsetof(struct inspected, n_##member_), .elem_size = sizeof(struct item), \
        .fields = item_fields                                                                      \
    }

static const struct json_field inspected_fields[] = {
    JSON_REQUIRED("component", FIELD_BOOL, struct inspected, is_component),
    JSON_FIELD("contract", FIELD_STRING, struct inspected, contract),
    JSON_FIELD("reason", FIELD_STRING, struct inspected, reason),
    JSON_FIELD("command", FIELD_RAW, struct inspected, command),
    ITEMS("imports", imports),
    ITEMS("exports", exports),
    {.name = "compiled",
                          .type = FIELD_OBJECT,
                          .offset = offsetof(struct inspected, compiled),
                          .has_flag = true,
                          .has_offset = offsetof(struct inspected, has_compiled),
                          .fields = compiled_fields},
    {0},
};

/* Its output; it says itself what is wrong with the program. */
static int inspect_run(const char *name, struct buf *ret, struct err *e)
{
    const char *program = getenv(CLI_PROGRAM_VARIABLE);
    char *argv[] = {(char *)"wherry", (char *)"inspect",       (char *)"-o",
                    (char *)"json",   (char *)"--pull",        (char *)"never",
                    (char *)"--",     (char *)(uintptr_t)name, NULL};
    int r;

    if (!program)
        return err_set(e, -ENOENT, "ProgramMissing", "start it by 'wherry'");
    r = cli_program_output(program, argv, INSPECTED_LIMIT, ret, e);
    TRY(r);
    return r ? err_set(e, -ENOEXEC, "NotRunnable", "'%s' is no WebAssembly program", name) : 0;
}

static void names_add(const struct item *items, size_t n, struct strv *ret)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].name)
            strv_add(ret, items[i].name);
}

int image_program_inspect(const char *name, struct image_program *ret, struct err *e)
{
    struct json_limits limits = {.bytes = INSPECTED_LIMIT, .depth = INSPECTED_DEPTH};
    struct inspected i = {0};
    autobuf text = BUF_INIT;

    TRY(inspect_run(name, &text, e));
    TRY(json_decode(text.data, text.len, limits, inspected_fields, 0, &i, e));
    *ret = (struct image_program){.is_component = i.is_component,
                                  .contract = take_ptr(i.contract),
                                  .reason = take_ptr(i.reason),
                                  .command = take_ptr(i.command),
                                  .is_compiled_known = i.has_compiled,
                                  .is_compiled_for_run = i.compiled.for_run,
                                  .is_compiled_for_serve = i.compiled.for_serve};
    names_add(i.imports, i.n_imports, &ret->imports);
    names_add(i.exports, i.n_exports, &ret->exports);
    json_fields_done(inspected_fields, &i);
    return 0;
}

void image_program_done(struct image_program *p)
{
    free(p->contract);
    free(p->reason);
    free(p->command);
    strv_done(&p->imports);
    strv_done(&p->exports);
    *p = (struct image_program){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fds.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/push.h"

#define INSPECTED_LIMIT (64u << 20)
#define INSPECTED_DEPTH 16

/* ---- What the program is: `wherry inspect` knows ---- */

struct item {
    char *name;
};

struct inspected {
    bool is_component;
    struct item *imports, *exports;
    size_t n_imports, n_exports;
};

static const struct json_field item_fields[] = {
    JSON_FIELD("name", FIELD_STRING, struct item, name),
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
    ITEMS("imports", imports),
    ITEMS("exports", exports),
    {0},
};

/* Its output; it says itself what is wrong with the file. */
static int inspect_run(const char *file, struct buf *ret, struct err *e)
{
    const char *program = getenv(CLI_PROGRAM_VARIABLE);
    char *argv[] = {(char *)"wherry", (char *)"inspect",       (char *)"-o", (char *)"json",
                    (char *)"--",     (char *)(uintptr_t)file, NULL};
    autofd out = memfd_create("inspected", MFD_CLOEXEC);
    int r;

    if (!program || out < 0)
        return err_set(e, -ENOENT, "ProgramMissing", "start it as 'wherry push'");
    r = cli_program_run(program, argv, out);
    if (r < 0)
        return err_errno(e, r, "ProgramMissing", "cannot run '%s'", program);
    if (r)
        return err_set(e, -ENOEXEC, "NotRunnable", "'%s' cannot be pushed", file);
    lseek(out, 0, SEEK_SET);
    return fd_read_all(out, INSPECTED_LIMIT, ret, e);
}

static void names_add(const struct item *items, size_t n, struct strv *ret)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].name)
            strv_add(ret, items[i].name);
}

static int program_describe(const char *file, struct push_program *ret, struct err *e)
{
    struct json_limits limits = {.bytes = INSPECTED_LIMIT, .depth = INSPECTED_DEPTH};
    struct inspected i = {0};
    autobuf text = BUF_INIT;

    TRY(inspect_run(file, &text, e));
    TRY(json_decode(text.data, text.len, limits, inspected_fields, 0, &i, e));
    ret->is_component = i.is_component;
    if (i.is_component) {
        names_add(i.imports, i.n_imports, &ret->imports);
        names_add(i.exports, i.n_exports, &ret->exports);
    }
    json_fields_done(inspected_fields, &i);
    return 0;
}

/* ---- push ---- */

static int push(const struct image_push_options *o, const char *file, const char *name,
                struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    autoregistries registries = {0};
    struct push_options p = {
        .registry = {.authfile = o->authfile,
                     .is_plain_http = o->is_plain_http,
                     .is_insecure = o->is_insecure,
                     .registries = &registries},
        .annotations = o->annotations,
    };
    autofd fd = -EBADF;
    struct push_program program = {.fd = -1};
    autofree char *full = NULL;
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;
    int result;

    TRY(reference_parse(name, &r, e));
    TRY(image_registries_read(&registries, e));
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "ReadFailed", "cannot open '%s'",
                         file);
    TRY(program_describe(file, &program, e));
    program.fd = fd;
    result = image_push(&program, &r, &p, &digest, e);
    strv_done(&program.imports);
    strv_done(&program.exports);
    TRY(result);
    full = reference_format(&r);
    digest_format(&digest, text);
    printf("%s@%s\n", full, text);
    return 0;
}

int image_push_command(int argc, char *const *argv)
{
    struct image_push_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_push, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    log_level_set((enum log_level)(LOG_LEVEL_WARN + o.verbosity));
    status = push(&o, operands.v[0], operands.v[1], &e) < 0
                 ? cli_fail("push", &e, image_exit_for(&e))
                 : 0;
    options_done(&command_push, &o);
    return status;
}

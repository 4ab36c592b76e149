/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/push.h"

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
        .format = o->format && str_eq(o->format, commands_format_words[PUSH_IMAGE]) ? PUSH_IMAGE
                                                                                    : PUSH_ARTIFACT,
        .annotations = o->annotations,
    };
    __attribute__((cleanup(image_program_done))) struct image_program inspected = {0};
    autofd fd = -EBADF;
    struct push_program program = {.fd = -1};
    autofree char *full = NULL;
    char text[DIGEST_TEXT_SIZE];
    struct digest digest;

    TRY(reference_parse(name, &r, e));
    TRY(image_registries_read(&registries, e));
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "ReadFailed", "cannot open '%s'",
                         file);
    TRY(image_program_inspect(file, &inspected, e));
    program.fd = fd;
    program.path = file;
    program.is_component = inspected.is_component;
    if (program.is_component) {
        program.imports = inspected.imports;
        program.exports = inspected.exports;
    }
    TRY(image_push(&program, &r, &p, &digest, e));
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

/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/utsname.h>

#include "base/json.h"
#include "base/version.h"
#include "cli/cli.h"

static void print_json(struct buf *out)
{
    struct json_writer w;
    struct err e = ERR_INIT;
    struct utsname system;

    uname(&system);
    json_writer_init(&w, out, true);
    json_begin_object(&w);
    json_key_str(&w, "version", wherry_version);
    json_key_str(&w, "commit", wherry_git);
    json_key_str(&w, "engine", WHERRY_ENGINE);
    json_key_str(&w, "architecture", system.machine);
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
}

int main(int argc, char **argv)
{
    struct version_options o = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    int status = cli_parse(&command_version, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (str_eq(o.output, "json"))
        print_json(&out);
    else
        buf_addf(&out, "wherry %s (%s)\nengine: %s\n", wherry_version, wherry_git, WHERRY_ENGINE);
    return cli_print(&out);
}

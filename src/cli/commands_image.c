/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/option_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

static const struct option_positional reference_positionals[] = {
    {.name = "IMAGE",
     .help =
         "[HOST[:PORT]/]NAME[:TAG][@sha256:HEX]; what a name without a host is, registries.conf "
         "says; otherwise it is one of docker.io"},
    {0              },
};

static const struct option_exit_status image_statuses[] = {
    {"0",                                                          "Success"},
    {"1",                                                            "The registry or the store refuses it, or does not have it"},
    {"125","wherry itself failed, or the command line is wrong"},
    {0                                                       },
};

static const char *const image_see_also[] = {
    "wherry-images", "wherry-login", "wherry-pull", "wherry-push",
    "wherry-rmi",    "wherry-run",   NULL};

/* --- pull --- */

static const struct option_spec pull_table[] = {
    OPTION_POLICY_ROW(image_pull_options),
    OPTION_AUTHFILE_ROW(image_pull_options),
    OPTION_PLAIN_HTTP_ROW(image_pull_options),
    OPTION_INSECURE_ROW(image_pull_options),
    OPTION_STALL_TIMEOUT_ROW(image_pull_options),
    OPTION_NO_COMPILE_ROW(image_pull_options),
    OPTION_CACHE_DIR_ROW(image_pull_options),
    OPTION_QUIET_ROW(image_pull_options),
    OPTION_VERBOSE_ROW(image_pull_options),
    OPTION_HELP_ROW(struct image_pull_options, is_help),
    {0},
};

static const char *const pull_description[] = {
    "Fetches an image from a registry into the store of this machine, of an image for several "
    "platforms the one for WebAssembly. What is there already is not fetched again; what was cut "
    "off goes on where it was. The name in full, with the digest, is written to standard output.",
    "Mirrors, blocked and insecure registries, search registries and aliases for short names are "
    "those of podman: containers-registries.conf(5). Mirrors are asked first; when every place has "
    "failed, the error has what each of them said. Nobody is asked which search registry is meant: "
    "they are tried in turn, or (short-name-mode enforcing) the full names are listed.",
    "Then its program is compiled into the cache, so that its first run starts at once: a command "
    "for 'wherry run', an HTTP service for 'wherry serve'. That happens in a process with limits "
    "on "
    "memory and time (see wherry(1)); where it fails there is a warning, the image is there all "
    "the "
    "same, and its first run tries again.",
    "The certificates of a registry are looked for where podman and docker do: in "
    "/etc/containers/certs.d, /etc/docker/certs.d and ~/.config/containers/certs.d.",
    NULL,
};

static const struct option_example pull_examples[] = {
    {"wherry pull ghcr.io/example/hello:1.0",  "Fetch an image"},
    {"wherry run ghcr.io/example/hello:1.0",                                        "Fetch it if it is missing, and run it"},
    {0},
};

const struct command_spec command_pull = {
    .name = "pull",
    .helper = "image",
    .summary = "fetch an image from a registry",
    .usage = "[options] IMAGE",
    .description = pull_description,
    .options = pull_table,
    .positionals = reference_positionals,
    .exit_statuses = image_statuses,
    .examples = pull_examples,
    .see_also = image_see_also,
    .positionals_min = 1,
    .positionals_max = 1,
};

/* --- push --- */

const char *const commands_format_words[] = {"artifact", "image", NULL};

static const struct option_spec push_table[] = {
    {.name = "annotation",
     .type = OPTION_STRINGS,
     .arg_name = "NAME=VALUE",
     .help = "Add this annotation to the manifest",
     ROW(image_push_options, annotations)},
    {.name = "format",
     .type = OPTION_STRING,
     .arg_name = "FORM",
     .help = "Send a wasm artifact, or the image of a container for podman, crun and containerd",
     .default_text = "artifact",
     .complete = COMPLETE_WORDS,
     .words = commands_format_words,
     ROW(image_push_options, format)},
    OPTION_AUTHFILE_ROW(image_push_options),
    OPTION_PLAIN_HTTP_ROW(image_push_options),
    OPTION_INSECURE_ROW(image_push_options),
    OPTION_VERBOSE_ROW(image_push_options),
    OPTION_HELP_ROW(struct image_push_options, is_help),
    {0  },
};

static const struct option_positional push_positionals[] = {
    {.name = "FILE",             .help = "A WebAssembly module or component", .complete = COMPLETE_FILE},
    {.name = "IMAGE", .help = "[HOST[:PORT]/]NAME[:TAG]"},
    {0           },
};

static const char *const push_description[] = {
    "Sends a program to a registry as a wasm artifact (config application/vnd.wasm.config.v0+json, "
    "one layer application/wasm), with the imports and exports of a component's world. The name in "
    "full, with the digest, is written to standard output.",
    "With --format image it is the image of a container instead, which container engines read as "
    "well: the file is all that is in it, and its entry point; the platform is wasip1/wasm, or "
    "wasip2/wasm for a component; annotations become labels, too.",
    "Of registries.conf only blocked and insecure count here: nothing is sent to a mirror, and a "
    "name without a host is one of docker.io.",
    NULL,
};

static const struct option_example push_examples[] = {
    {"wherry push hello.wasm ghcr.io/me/hello:1.0", "Send a program"},
    {"wherry push --format image hello.wasm ghcr.io/me/hello:1.0",                                             "Send it for container engines"},
    {0},
};

const struct command_spec command_push = {
    .name = "push",
    .helper = "image",
    .summary = "send a program to a registry",
    .usage = "[options] FILE IMAGE",
    .description = push_description,
    .options = push_table,
    .positionals = push_positionals,
    .exit_statuses = image_statuses,
    .examples = push_examples,
    .see_also = image_see_also,
    .positionals_min = 2,
    .positionals_max = 2,
};

/* --- images --- */

static const struct option_spec images_table[] = {
    OPTION_OUTPUT_ROW(images_options),
    OPTION_HELP_ROW(struct images_options, is_help),
    {0},
};

static const char *const images_description[] = {
    "Lists the images in the store of this machine by name, with the digest of the manifest, the "
    "size of the WebAssembly program and when it was fetched.",
    NULL,
};

const struct command_spec command_images = {
    .name = "images",
    .helper = "image",
    .summary = "list the images of this machine",
    .usage = "[options]",
    .description = images_description,
    .options = images_table,
    .exit_statuses = image_statuses,
    .see_also = image_see_also,
};

/* --- tag, rmi --- */

static const struct option_positional tag_positionals[] = {
    {.name = "IMAGE",                        .help = "An image of this machine"},
    {.name = "NAME",                                      .help = "What it is to be called too"},
    {0},
};

static const char *const tag_description[] = {
    "Gives an image of this machine another name as well.",
    NULL,
};

const struct command_spec command_tag = {
    .name = "tag",
    .helper = "image",
    .summary = "give an image another name",
    .usage = "IMAGE NAME",
    .description = tag_description,
    .options = commands_plain_table,
    .positionals = tag_positionals,
    .exit_statuses = image_statuses,
    .see_also = image_see_also,
    .positionals_min = 2,
    .positionals_max = 2,
};

static const struct option_positional rmi_positionals[] = {
    {.name = "IMAGE...", .help = "Names as 'wherry images' lists them, or shorter"},
    {0                 },
};

static const char *const rmi_description[] = {
    "Removes names from the store of this machine, and the blobs that no other name leads to. What "
    "guests use meanwhile stays until they end, and so does what a pull in progress needs.",
    NULL,
};

const struct command_spec command_rmi = {
    .name = "rmi",
    .helper = "image",
    .summary = "remove images from this machine",
    .usage = "IMAGE...",
    .description = rmi_description,
    .options = commands_plain_table,
    .positionals = rmi_positionals,
    .exit_statuses = image_statuses,
    .see_also = image_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- login, logout --- */

static const struct option_positional registry_positionals[] = {
    {.name = "REGISTRY", .help = "HOST[:PORT], docker.io for Docker's"},
    {0                 },
};

static const struct option_spec login_table[] = {
    {.name = "username",
     .short_name = 'u',
     .type = OPTION_STRING,
     .arg_name = "NAME",
     .help = "The name of the account; without it, it is asked for",
     ROW(login_options, username)},
    {.name = "password-stdin",
     .type = OPTION_FLAG,
     .help = "Read the password from standard input, to its end",
     ROW(login_options, is_password_stdin)},
    OPTION_AUTHFILE_ROW(login_options),
    OPTION_PLAIN_HTTP_ROW(login_options),
    OPTION_INSECURE_ROW(login_options),
    OPTION_HELP_ROW(struct login_options, is_help),
    {0},
};

static const char *const login_description[] = {
    "Keeps the credentials for a registry where podman and skopeo keep them too, or with the "
    "credential helper that is set there, after the registry has accepted them.",
    "With credential-helpers in registries.conf it is the first of these that takes them, where "
    "containers-auth.json stands for the files.",
    NULL,
};

static const struct option_example login_examples[] = {
    {"wherry login -u me --password-stdin ghcr.io < token", "Log in without a terminal"},
    {0                                                    },
};

const struct command_spec command_login = {
    .name = "login",
    .helper = "image",
    .summary = "log in to a registry",
    .usage = "[options] REGISTRY",
    .description = login_description,
    .options = login_table,
    .positionals = registry_positionals,
    .exit_statuses = image_statuses,
    .examples = login_examples,
    .see_also = image_see_also,
    .positionals_min = 1,
    .positionals_max = 1,
};

static const struct option_spec logout_table[] = {
    OPTION_AUTHFILE_ROW(logout_options),
    OPTION_HELP_ROW(struct logout_options, is_help),
    {0},
};

static const char *const logout_description[] = {
    "Forgets the credentials for a registry: those in the file, and those of each of the "
    "credential-helpers in registries.conf.",
    NULL,
};

const struct command_spec command_logout = {
    .name = "logout",
    .helper = "image",
    .summary = "forget the credentials for a registry",
    .usage = "[options] REGISTRY",
    .description = logout_description,
    .options = logout_table,
    .positionals = registry_positionals,
    .exit_statuses = image_statuses,
    .see_also = image_see_also,
    .positionals_min = 1,
    .positionals_max = 1,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/option_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

static const struct option_exit_status archive_statuses[] = {
    {"0",                                                                                       "Success"},
    {"1",                                                                                         "An image is not there, or something is wrong with the file, or the registry refuses it"},
    {"125","wherry itself failed, or the command line is wrong"},
    {0                                                                                    },
};

static const char *const archive_see_also[] = {"wherry-image",
                                               "wherry-images",
                                               "wherry-inspect",
                                               "wherry-load",
                                               "wherry-pull",
                                               "wherry-save",
                                               NULL};

/* --- image --- */

static const struct option_spec image_table[] = {
    OPTION_OUTPUT_ROW(image_describe_options),
    {.name = "remote",
                              .type = OPTION_FLAG,
                              .help = "Show what the registry has, whether it is on this machine or not, and store nothing",
                              ROW(image_describe_options, is_remote)},
    OPTION_AUTHFILE_ROW(image_describe_options),
    OPTION_PLAIN_HTTP_ROW(image_describe_options),
    OPTION_INSECURE_ROW(image_describe_options),
    OPTION_STALL_TIMEOUT_ROW(image_describe_options),
    {.name = "no-trunc",
                              .type = OPTION_FLAG,
                              .help = "Do not shorten the columns of history",
                              ROW(image_describe_options, is_whole)},
    OPTION_HELP_ROW(struct image_describe_options, is_help),
    {0                                                                                  },
};

static const char *const image_actions[] = {"inspect", "history", NULL};

static const struct option_positional image_positionals[] = {
    {.name = "inspect|history",
     .help =
         "inspect: names, digest, platform, configuration, layers with their sizes, annotations, "
         "a component's world, size on disk, and what the program is and whether it is "
         "compiled; history: by what commands its layers were made, the last one first", .complete = COMPLETE_WORDS,
     .words = image_actions},
    {.name = "IMAGE...",
     .help = "Names as 'wherry images' lists them, or shorter; with --remote as 'wherry pull' "
             "takes them"},
    {0                          },
};

static const char *const image_description[] = {
    "Shows what is known of images of this machine, or with --remote what a registry says of them: "
    "the manifest and the configuration, how much there is to fetch, and all platforms of an image "
    "for several, of which the one is shown in full that a pull takes. What a program in a "
    "container's layers is cannot be told without them.",
    "'wherry inspect' shows the program in an image, its imports and exports, and knows files too.",
    NULL,
};

static const struct option_example image_examples[] = {
    {"wherry image inspect hello:1",                          "Show an image"},
    {"wherry image inspect -o json hello:1",                                                       "The same for programs: a list"},
    {"wherry image inspect --remote ghcr.io/example/hello:1","Show what a registry has"},
    {"wherry image history hello:1", "Show how it was made"},
    {0                                                      },
};

const struct command_spec command_image = {
    .name = "image",
    .helper = "image",
    .summary = "show an image of this machine or of a registry, or its history",
    .usage = "inspect|history [options] IMAGE...",
    .description = image_description,
    .options = image_table,
    .positionals = image_positionals,
    .exit_statuses = archive_statuses,
    .examples = image_examples,
    .see_also = archive_see_also,
    .positionals_min = 2,
    .positionals_max = -1,
};

/* --- save --- */

const char *const commands_save_formats[] = {"oci-archive", "docker-archive", "oci-dir", NULL};

static const struct option_spec save_table[] = {
    {.name = "output",
     .short_name = 'o',
     .type = OPTION_STRING,
     .arg_name = "FILE",
     .help = "Write to this file, which is replaced as a whole, instead of standard output; for "
             "oci-dir the folder, new or empty", .complete = COMPLETE_FILE,
     ROW(image_save_options, output)},
    {.name = "format",
     .type = OPTION_STRING,
     .arg_name = "FORMAT",
     .help = "oci-archive (an OCI image layout as a tar archive), docker-archive (the same with "
             "what docker load reads; only images of files, no wasm artifacts) or oci-dir (the "
             "layout as a folder)", .default_text = "oci-archive",
     .complete = COMPLETE_WORDS,
     .words = commands_save_formats,
     ROW(image_save_options, format)},
    OPTION_HELP_ROW(struct image_save_options, is_help),
    {0},
};

static const struct option_positional save_positionals[] = {
    {.name = "IMAGE...", .help = "Names as 'wherry images' lists them, or shorter"},
    {0                 },
};

static const char *const save_description[] = {
    "Writes images of this machine with their names to one file, for a machine that reaches no "
    "registry. The same images make the same file, byte for byte.",
    "wherry load, podman load, ctr images import and skopeo (oci-archive:FILE) read it, and "
    "wherry run oci-archive:FILE:TAG.",
    NULL,
};

static const struct option_example save_examples[] = {
    {"wherry save -o hello.tar ghcr.io/example/hello:1.0", "Write an image to a file"},
    {"wherry save hello:1 | gzip | ssh host wherry load",                                                    "Move it to another machine"},
    {0},
};

const struct command_spec command_save = {
    .name = "save",
    .helper = "image",
    .summary = "write images to a file",
    .usage = "[options] IMAGE...",
    .description = save_description,
    .options = save_table,
    .positionals = save_positionals,
    .exit_statuses = archive_statuses,
    .examples = save_examples,
    .see_also = archive_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- load --- */

static const struct option_spec load_table[] = {
    {.name = "input",
     .short_name = 'i',
     .type = OPTION_STRING,
     .arg_name = "FILE",
     .help = "Read this file, or folder with an OCI image layout, instead of standard input",
     .complete = COMPLETE_FILE,
     ROW(image_load_options, input)},
    {.name = "name",
     .type = OPTION_STRING,
     .arg_name = "IMAGE",
     .help = "Give the only image in it this name, whatever it is called there",
     ROW(image_load_options, name)},
    OPTION_NO_COMPILE_ROW(image_load_options),
    OPTION_CACHE_DIR_ROW(image_load_options),
    OPTION_QUIET_ROW(image_load_options),
    OPTION_VERBOSE_ROW(image_load_options),
    OPTION_HELP_ROW(struct image_load_options, is_help),
    {0},
};

static const char *const load_description[] = {
    "Stores the images of a file on this machine, with the names that they have there: an OCI "
    "image "
    "layout, as a folder or as a tar archive, or an archive of docker save (since 1.10) or podman "
    "save. An "
    "archive may be packed with gzip, bzip2, xz or zstd. A tag without a name becomes "
    "localhost/TAG:latest, as with podman. Of an image for several platforms the one for "
    "WebAssembly is taken.",
    "Everything is verified by its digest before an image gets its name, and read in a process "
    "that "
    "can do nothing else. The name in full of each image, with the digest, is written to standard "
    "output.",
    "Then each program is compiled into the cache, as wherry-pull(1) has it; where that fails "
    "there "
    "is a warning, and its first run tries again.",
    NULL,
};

static const struct option_example load_examples[] = {
    {"wherry load -i hello.tar", "Store the images in a file"},
    {0                         },
};

const struct command_spec command_load = {
    .name = "load",
    .helper = "image",
    .summary = "store the images of a file",
    .usage = "[options]",
    .description = load_description,
    .options = load_table,
    .exit_statuses = archive_statuses,
    .examples = load_examples,
    .see_also = archive_see_also,
};

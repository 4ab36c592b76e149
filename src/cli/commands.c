/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include "cli/commands_pods.h"
#include "cli/option_rows.h"

#define ROW(type_, field_) .offset = offsetof(struct type_, field_)

const char *const commands_pull_words[] = {"missing", "always", "never", NULL};

const char *const commands_output_words[] = {"text", "json", NULL};

/* --- run --- */

static const struct option_spec run_table[] = {
    {.name = "interactive",
     .short_name = 'i',
     .type = OPTION_FLAG,
     .help = "Pass standard input to the guest; without it the guest reads nothing",
     ROW(run_options, is_interactive)},
    OPTION_ENV_ROW(run_options),
    OPTION_ENV_FILE_ROW(run_options),
    OPTION_DIR_ROW(run_options),
    {.name = "memory",
     .type = OPTION_SIZE,
     .arg_name = "SIZE",
     .help = "Limit the linear memory of the guest, all its memories together",
     .default_text = "4Gi",
     .min = 65536,
     .max = INT64_MAX,
     ROW(run_options, memory_bytes)},
    {.name = "timeout",
     .type = OPTION_DURATION_MS,
     .arg_name = "DURATION",
     .help = "Stop the guest after this time (90, 1.5s, 250ms, 1h30m); 0 means no deadline",
     ROW(run_options, timeout_ms)},
    {.name = "invoke",
     .type = OPTION_STRING,
     .arg_name = "EXPORT",
     .help = "Call this export instead of the entry point, with the arguments as its parameters, "
             "and print its results", ROW(run_options, invoke)},
    OPTION_ALLOW_NET_ROW(run_options),
    {.name = "status-file",
     .type = OPTION_STRING,
     .arg_name = "PATH",
     .help = "Write how the guest ended, as JSON, to this file",
     .complete = COMPLETE_FILE,
     ROW(run_options, status_file)},
    {.name = "name",
     .type = OPTION_STRING,
     .arg_name = "NAME",
     .help = "Name the guest in messages and the status file (default: the file's name)",
     ROW(run_options, name)},
    {.name = "max-descriptors",
     .type = OPTION_INT,
     .arg_name = "N",
     .help = "Limit the files, sockets and other handles of the guest; one more is a trap",
     .default_text = "1024",
     .min = 3,
     .max = 1 << 20,
     ROW(run_options, max_descriptors)},
    {.name = "max-instances",
     .type = OPTION_INT,
     .arg_name = "N",
     .help = "Limit the core module instances of a component",
     .default_text = "10000",
     .min = 1,
     .max = 1 << 30,
     ROW(run_options, max_instances)},
    {.name = "max-tables",
     .type = OPTION_INT,
     .arg_name = "N",
     .help = "Limit the number of tables",
     .default_text = "10000",
     .min = 1,
     .max = 1 << 30,
     ROW(run_options, max_tables)},
    {.name = "max-table-elements",
     .type = OPTION_INT,
     .arg_name = "N",
     .help = "Limit the elements of all tables together",
     .default_text = "10000000",
     .min = 1,
     .max = 1 << 30,
     ROW(run_options, max_table_elements)},
    OPTION_PULL_ROW(run_options),
    OPTION_CACHE_DIR_ROW(run_options),
    OPTION_NO_CACHE_ROW(run_options),
    OPTION_VERBOSE_ROW(run_options),
    OPTION_QUIET_ROW(run_options),
    OPTION_HELP_ROW(struct run_options, is_help),
    {0},
};

static const struct option_positional run_positionals[] = {
    {.name = "FILE",
     .help =
         "A WebAssembly command: a WASI preview 1 module, or a component for WASI 0.2 or 0.3; "
         "or an image: [HOST/]NAME:TAG of a registry, oci:DIR[:TAG][@sha256:HEX] of an OCI image "
         "layout, oci-archive:FILE[:TAG][@sha256:HEX] of one in a tar archive", .complete = COMPLETE_FILE},
    {.name = "[ARG...]",
     .help =
         "Arguments of the guest; options behind FILE are the guest's too. Of a container's image "
         "they replace Cmd", .complete = COMPLETE_FILE},
    {0        },
};

static const char *const run_description[] = {
    "Runs one WebAssembly program in the foreground. The guest sees only what the options give it: "
    "no files, no network, no environment and an empty standard input by default. Standard output "
    "and standard error are those of wherry.",
    "The program of a container's image is started as its config says: the words of Entrypoint, "
    "and "
    "then the arguments, or Cmd without any; the variables of Env, over which --env-file and --env "
    "are stronger; and of an entry point FILE#FUNCTION that function, unless --invoke names "
    "another. "
    "Without Entrypoint the first word of Cmd is the program, and arguments replace the others.",
    "Compiled code is kept in a cache, so that the second run of the same file starts at once.",
    NULL,
};

static const struct option_exit_status run_statuses[] = {
    {"0-255",                                                                             "The guest's own status; --status-file tells it apart from the ones below"},
    {"124",                                                                                   "The guest was stopped at its deadline (--timeout)"},
    {"125","wherry itself failed: bad options, a folder that cannot be opened, no memory"},
    {"126",                                                                               "FILE is there but cannot be run: no WebAssembly, unknown imports, no entry point"},
    {"127",                                                                                   "FILE, or the image in it, was not found"},
    {"130, 143","The guest was stopped by SIGINT or SIGTERM"},
    {"134",                                                                               "The guest trapped: unreachable code, a memory access out of bounds, a stack overflow"},
    {"137",                                                                                   "The guest trapped after the memory limit (--memory) had refused it memory"},
    {0                                                                                                                    },
};

static const struct option_example run_examples[] = {
    {"wherry run hello.wasm",                                                          "Run a program without any access"},
    {"wherry run --dir .::/work --dir /etc:ro -e HOME=/work tool.wasm -o out.txt",
     "Give it the current folder as /work, /etc for reading, and a variable"},
    {"wherry run --memory 64Mi --timeout 2s --allow-net '10.0.0.0/8:443' client.wasm",
     "Bound memory and time and let it reach one network"},
    {"echo 1 2 | wherry run -i sum.wasm", "Pass standard input"},
    {"wherry run --invoke add math.wasm 1 2",                                                                                "Call one exported function"},
    {0                                                          },
};

static const char *const run_see_also[] = {"wherry-compile", "wherry-doctor", "wherry-inspect",
                                           "wherry-serve", NULL};

const struct command_spec command_run = {
    .name = "run",
    .summary = "run a WebAssembly program",
    .usage = "[options] FILE [ARG...]",
    .description = run_description,
    .options = run_table,
    .positionals = run_positionals,
    .exit_statuses = run_statuses,
    .examples = run_examples,
    .see_also = run_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
    .is_stopped_by_positional = true,
};

/* --- compile --- */

static const struct option_spec compile_table[] = {
    {.name = "shared",
     .type = OPTION_FLAG,
     .help = "Compile the form that workers with several guests use, which can be interrupted",
     ROW(compile_options, is_shared)},
    OPTION_PULL_ROW(compile_options),
    OPTION_CACHE_DIR_ROW(compile_options),
    OPTION_VERBOSE_ROW(compile_options),
    OPTION_HELP_ROW(struct compile_options, is_help),
    {0},
};

static const struct option_positional compile_positionals[] = {
    {.name = "FILE...",
     .help = "WebAssembly modules or components, or images: [HOST/]NAME:TAG, "
             "oci:DIR[:TAG][@sha256:HEX], oci-archive:FILE[:TAG][@sha256:HEX]", .complete = COMPLETE_FILE},
    {0},
};

static const char *const compile_description[] = {
    "Compiles programs into the cache, so that their first run starts at once: commands for "
    "'wherry "
    "run', HTTP services for 'wherry serve'. What is in the cache already is not compiled again.",
    NULL,
};

static const struct option_exit_status file_statuses[] = {
    {"0",                     "Success"},
    {"125",                       "wherry itself failed"},
    {"126","A file is not valid WebAssembly"},
    {"127",                   "A file was not found"},
    {0                      },
};

static const struct option_example compile_examples[] = {
    {"wherry compile hello.wasm", "Fill the cache before the first run"},
    {0                          },
};

static const char *const compile_see_also[] = {"wherry-run", "wherry-serve", NULL};

const struct command_spec command_compile = {
    .name = "compile",
    .summary = "compile programs into the cache",
    .usage = "[options] FILE...",
    .description = compile_description,
    .options = compile_table,
    .positionals = compile_positionals,
    .exit_statuses = file_statuses,
    .examples = compile_examples,
    .see_also = compile_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- inspect --- */

static const struct option_spec inspect_table[] = {
    OPTION_OUTPUT_ROW(inspect_options),
    OPTION_PULL_ROW(inspect_options),
    OPTION_CACHE_DIR_ROW(inspect_options),
    OPTION_HELP_ROW(struct inspect_options, is_help),
    {0},
};

static const struct option_positional inspect_positionals[] = {
    {.name = "FILE",
     .help = "A WebAssembly module or component, or an image: [HOST/]NAME:TAG, "
             "oci:DIR[:TAG][@sha256:HEX], oci-archive:FILE[:TAG][@sha256:HEX]", .complete = COMPLETE_FILE},
    {0},
};

static const char *const inspect_description[] = {
    "Shows what a file is without running it: the contract it was built for and how that was "
    "recognised, its imports and exports, what it may need in plain words, its size and digest, "
    "and whether its "
    "compiled code is in the cache.",
    "Of an image it shows the program, and how a container's image starts it: the words of "
    "Entrypoint as its command, Cmd as its arguments, its variables, and the function that it "
    "calls. "
    "The image around it is shown by 'wherry image inspect'.",
    NULL,
};

static const struct option_example inspect_examples[] = {
    {"wherry inspect hello.wasm", "Show what a program is and what it may need"},
    {"wherry inspect -o json hello.wasm",                           "The same for programs"},
    {0},
};

static const char *const inspect_see_also[] = {"wherry-image", "wherry-run", NULL};

const struct command_spec command_inspect = {
    .name = "inspect",
    .summary = "show what a WebAssembly program is and what it needs",
    .usage = "[options] FILE",
    .description = inspect_description,
    .options = inspect_table,
    .positionals = inspect_positionals,
    .exit_statuses = file_statuses,
    .examples = inspect_examples,
    .see_also = inspect_see_also,
    .positionals_min = 1,
    .positionals_max = 1,
};

/* --- version --- */

static const struct option_spec version_table[] = {
    OPTION_OUTPUT_ROW(version_options),
    OPTION_HELP_ROW(struct version_options, is_help),
    {0},
};

const struct command_spec command_version = {
    .name = "version",
    .summary = "show the versions of wherry and its engine",
    .usage = "[options]",
    .options = version_table,
};

/* --- doctor --- */

static const struct option_spec doctor_table[] = {
    OPTION_OUTPUT_ROW(doctor_options),
    {.name = "cache-dir",
                      .type = OPTION_STRING,
                      .arg_name = "DIR",
                      .help = "Examine this cache folder instead of the usual one",
                      .complete = COMPLETE_DIR,
                      ROW(doctor_options, cache_dir)},
    {.name = "verbose",
                      .short_name = 'v',
                      .type = OPTION_FLAG,
                      .help = "Say also of what is well why it matters",
                      ROW(doctor_options, is_verbose)},
    OPTION_HELP_ROW(struct doctor_options, is_help),
    {0},
};

static const char *const doctor_description[] = {
    "Examines this machine: the kernel and its features, namespaces, control groups, limits, "
    "folders and their permissions, the worker and its engine. Each finding is ok, warn or fail; "
    "what is not ok says why it matters and what to type.",
    NULL,
};

static const struct option_exit_status doctor_statuses[] = {
    {"0",                          "Nothing failed; there may be warnings"},
    {"1",                            "At least one check failed"},
    {"125","wherry itself failed"},
    {0                       },
};

static const char *const doctor_see_also[] = {"wherry-run", NULL};

const struct command_spec command_doctor = {
    .name = "doctor",
    .summary = "examine whether this machine can run wherry well",
    .usage = "[options]",
    .description = doctor_description,
    .options = doctor_table,
    .exit_statuses = doctor_statuses,
    .see_also = doctor_see_also,
};

/* --- new, completion, help --- */

const struct option_spec commands_plain_table[] = {
    OPTION_HELP_ROW(struct plain_options, is_help),
    {0},
};

static const char *const language_words[] = {"c", "go", "js", "python", "rust", NULL};

static const struct option_positional new_positionals[] = {
    {.name = "LANGUAGE",
     .help = "c, go, js, python or rust",
     .complete = COMPLETE_WORDS,
     .words = language_words},
    {.name = "DIR",
     .help = "The folder to make; it must be new or empty",
     .complete = COMPLETE_DIR},
    {0                         },
};

static const char *const new_description[] = {
    "Writes a small project that builds with its own make and runs under wherry, with the tool "
    "chain that its README names.",
    NULL,
};

static const struct option_example new_examples[] = {
    {"wherry new c hello && make -C hello && wherry run hello/hello.wasm",
     "From nothing to a running program"},
    {0                                                                   },
};

static const char *const new_see_also[] = {"wherry-run", NULL};

const struct command_spec command_new = {
    .name = "new",
    .summary = "write a new project of a language",
    .usage = "LANGUAGE DIR",
    .description = new_description,
    .options = commands_plain_table,
    .positionals = new_positionals,
    .examples = new_examples,
    .see_also = new_see_also,
    .positionals_min = 2,
    .positionals_max = 2,
};

static const char *const shell_words[] = {"bash", "zsh", "fish", NULL};

static const struct option_positional completion_positionals[] = {
    {.name = "SHELL",
     .help = "bash, zsh or fish",
     .complete = COMPLETE_WORDS,
     .words = shell_words},
    {0},
};

static const struct option_example completion_examples[] = {
    {"wherry completion bash > /etc/bash_completion.d/wherry",          "For every user's bash"},
    {"source <(wherry completion zsh)",                                                                 "For this zsh only"},
    {"wherry completion fish > ~/.config/fish/completions/wherry.fish","For your own fish"},
    {0},
};

const struct command_spec command_completion = {
    .name = "completion",
    .summary = "print the completion script of a shell",
    .usage = "SHELL",
    .options = commands_plain_table,
    .positionals = completion_positionals,
    .examples = completion_examples,
    .positionals_min = 1,
    .positionals_max = 1,
};

static const struct option_positional help_positionals[] = {
    {.name = "[COMMAND]",           .help = "The command to explain", .complete = COMPLETE_COMMAND},
    {0},
};

const struct command_spec command_help = {
    .name = "help",
    .summary = "list the commands or explain one",
    .usage = "[COMMAND]",
    .options = commands_plain_table,
    .positionals = help_positionals,
    .positionals_max = 2,
};

/* --- all --- */

const struct command_spec *const commands_all[] = {
    &command_run,
    &command_serve,
    &command_agent,
    &command_compile,
    &command_inspect,
    &command_up,
    &command_down,
    &command_apply,
    &command_delete,
    &command_get,
    &command_ps,
    &command_describe,
    &command_logs,
    &command_stop,
    &command_restart,
    &command_top,
    &command_events,
    &command_wait,
    &command_config_show,
    &command_exec,
    &command_cp,
    &command_port_forward,
    &command_pull,
    &command_push,
    &command_images,
    &command_tag,
    &command_rmi,
    &command_image,
    &command_save,
    &command_load,
    &command_login,
    &command_logout,
    &command_system_df,
    &command_system_prune,
    &command_system_check,
    &command_install_containerd,
    &command_uninstall_containerd,
    &command_new,
    &command_doctor,
    &command_version,
    &command_help,
    &command_completion,
    NULL,
};

static const char *const program_description[] = {
    "Runs WebAssembly programs as a container engine runs containers: each guest sees only what it "
    "was given, has limits on memory and time, and is known by its exit status.",
    "A command that is not built in is a program named wherry-COMMAND in the folder libexec/wherry "
    "beside the executable.",
    NULL,
};

static const struct option_example program_environment[] = {
    {"WHERRY_EXEC_PATH",                                                 "The only folder in which helper programs are looked for"},
    {"XDG_CACHE_HOME",                                                                  "Where the folder wherry with compiled code is; default ~/.cache"},
    {"WHERRY_STATE_DIR",
     "The folder with images and other state; default /var/lib/wherry for root"},
    {"WHERRY_GC_HIGH",
     "Remove images and compiled code after a pull when the file system is as full (85%), or they "
     "take as much (20Gi); not set, none is removed"},
    {"WHERRY_GC_LOW",                                                                  "Until when they are removed; default 5% or a tenth below"},
    {"WHERRY_GC_MIN_AGE",                    "What was used since then is never removed so; default 2m"},
    {"WHERRY_GC_MAX_AGE",                                                    "Remove what was not used for longer, once a day; not set, none is"},
    {"XDG_STATE_HOME",                                                                  "Where the state folder is for users other than root"},
    {"WHERRY_NO_COMPILE",
     "When set and not empty, 'wherry pull' and 'wherry load' compile nothing"},
    {"WHERRY_COMPILE_MEMORY",                                                "What the compiler of programs may use, as 4Gi; default 12Gi, or "
                              "three quarters of the machine's "
                              "where that is less"},
    {"WHERRY_COMPILE_CPU_TIME",                                                                  "How long it may compute, as 10m; default 30m"},
    {"WHERRY_COMPILE_TIME","How long it may take by the clock; default 1h"},
    {"REGISTRY_AUTH_FILE",                                                "The only file in which credentials for registries are looked for"},
    {"CONTAINERS_REGISTRIES_CONF",                                                                  "Instead of /etc/containers/registries.conf"},
    {"http_proxy, https_proxy, all_proxy, no_proxy",
     "How registries are reached, as curl and docker mean it, also in capitals; this machine is "
     "never reached through a proxy"},
    {"WHERRY_NAMESPACE",
     "The namespace of commands for pods that are given none; default 'default'"},
    {"WHERRY_SOCKET",                                                                  "The agent's socket; default wherry.sock in the run folder"},
    {"XDG_RUNTIME_DIR",                                                                        "Where the run folder is for users other than root"},
    {"NO_COLOR",                                               "When set and not empty, nothing is coloured"},
    {0                                                                 },
};

static const struct option_example program_files[] = {
    {"~/.cache/wherry",                                                          "Compiled code; may be deleted at any time"},
    {"/etc/containers/registries.conf, ~/.config/containers/registries.conf",
     "Mirrors, blocks and short names of images: containers-registries.conf(5)"},
    {"/run/wherry", "Sockets and records of running workers"},
    {0                                                             },
};

const struct program_doc commands_program = {
    .name = "wherry",
    .summary = "run WebAssembly programs like containers",
    .description = program_description,
    .commands = commands_all,
    .environment = program_environment,
    .files = program_files,
};

const struct command_spec *command_find(const char *name)
{
    for (const struct command_spec *const *c = commands_all; *c; c++)
        if (str_eq((*c)->name, name))
            return *c;
    return NULL;
}

/* The first of the group. */
static const struct command_spec *group_find(const char *name)
{
    size_t len = strlen(name);

    for (const struct command_spec *const *c = commands_all; *c; c++)
        if (str_starts((*c)->name, name) && (*c)->name[len] == ' ')
            return *c;
    return NULL;
}

bool command_is_group(const char *name)
{
    return group_find(name);
}

const char *command_helper(const char *name)
{
    const struct command_spec *c = command_find(name);

    if (!c)
        c = group_find(name);
    return c && c->helper ? c->helper : name;
}

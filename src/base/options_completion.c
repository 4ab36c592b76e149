/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion scripts from the option tables, for bash, zsh and fish.
 */
#include "base/options.h"

/* 'text', safe in every shell: a quote inside becomes '\''. */
static void single_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_addstr(out, "'\\''");
        else
            buf_addc(out, *text);
    }
    buf_addc(out, '\'');
}

static bool takes_value(const struct option_spec *o)
{
    return o->arg_name != NULL;
}

static void words_add(struct buf *out, const char *const *words)
{
    for (; words && *words; words++)
        buf_addf(out, "%s ", *words);
}

/* ---- Groups: commands of two words, which stand together in the list ---- */

/* How long the first word of the command is. */
static int first_len(const struct command_spec *c)
{
    return (int)strcspn(c->name, " ");
}

static bool is_in_group(const struct command_spec *c)
{
    return strchr(c->name, ' ');
}

/* Whether `c`, one of the list, has a first word that those before it have not. */
static bool is_first(const struct command_spec *const *c, const struct command_spec *const *list)
{
    return c == list || first_len(c[0]) != first_len(c[-1]) ||
           strncmp(c[0]->name, c[-1]->name, (size_t)first_len(c[0])) != 0;
}

/* The second words of the group that begins here. */
static void group_words(struct buf *out, const struct command_spec *const *c)
{
    const struct command_spec *const *first = c;

    do
        buf_addf(out, "%s%s", c == first ? "" : " ", (*c)->name + first_len(*c) + 1);
    while (*++c && !is_first(c, first));
}

/* The first words of all commands. */
static void command_names(struct buf *out, const struct command_spec *const *commands)
{
    for (const struct command_spec *const *c = commands; *c; c++)
        if (is_first(c, commands))
            buf_addf(out, "%s%.*s", c == commands ? "" : " ", first_len(*c), (*c)->name);
}

/* The bash statement that completes one value into COMPREPLY. */
static void bash_values(struct buf *out, enum option_complete complete, const char *const *words,
                        const struct command_spec *const *commands)
{
    switch (complete) {
    case COMPLETE_FILE:
        buf_addstr(out, "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))");
        return;
    case COMPLETE_DIR:
        buf_addstr(out, "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\"))");
        return;
    case COMPLETE_ENV:
        buf_addstr(out, "COMPREPLY=($(compgen -e -- \"$cur\"))");
        return;
    case COMPLETE_WORDS:
        buf_addstr(out, "COMPREPLY=($(compgen -W '");
        words_add(out, words);
        buf_addstr(out, "' -- \"$cur\"))");
        return;
    case COMPLETE_COMMAND:
        buf_addstr(out, "COMPREPLY=($(compgen -W '");
        command_names(out, commands);
        buf_addstr(out, "' -- \"$cur\"))");
        return;
    case COMPLETE_NONE:
        break;
    }
    buf_addc(out, ':');
}

static void bash_command(struct buf *out, const struct command_spec *c,
                         const struct command_spec *const *commands)
{
    const struct option_positional *p = c->positionals;

    const char *quote = is_in_group(c) ? "'" : "";

    buf_addf(out, "    %s%s%s)\n        case \"$prev\" in\n", quote, c->name, quote);
    for (const struct option_spec *o = c->options; o && o->name; o++) {
        if (!takes_value(o))
            continue;
        buf_addstr(out, "        ");
        if (o->short_name)
            buf_addf(out, "-%c | ", o->short_name);
        buf_addf(out, "--%s) ", o->name);
        bash_values(out, o->complete, o->words, commands);
        buf_addstr(out, "; return ;;\n");
    }
    buf_addstr(out, "        *) ;;\n        esac\n"
                    "        if [[ $cur == -* ]]; then\n            COMPREPLY=($(compgen -W '");
    for (const struct option_spec *o = c->options; o && o->name; o++)
        buf_addf(out, "--%s ", o->name);
    buf_addstr(out, "' -- \"$cur\"))\n        else\n            ");
    bash_values(out, p && p->name ? p->complete : COMPLETE_NONE, p && p->name ? p->words : NULL,
                commands);
    buf_addstr(out, "\n        fi\n        ;;\n");
}

static void bash_script(const char *program, const struct command_spec *const *commands,
                        struct buf *out)
{
    buf_addf(out,
             "# bash completion for %s; made by '%s completion bash'\n"
             "_%s()\n{\n"
             "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
             "    COMPREPLY=()\n"
             "    if ((COMP_CWORD == 1)); then\n"
             "        COMPREPLY=($(compgen -W '",
             program, program, program);
    command_names(out, commands);
    buf_addstr(out, " --help --version' -- \"$cur\"))\n        return\n    fi\n"
                    "    local command=${COMP_WORDS[1]}\n    case \"$command\" in\n");
    for (const struct command_spec *const *c = commands; *c; c++) {
        if (!is_in_group(*c) || !is_first(c, commands))
            continue;
        buf_addf(out,
                 "    %.*s)\n        command+=\" ${COMP_WORDS[2]}\"\n"
                 "        if ((COMP_CWORD == 2)); then\n"
                 "            COMPREPLY=($(compgen -W '",
                 first_len(*c), (*c)->name);
        group_words(out, c);
        buf_addstr(out, "' -- \"$cur\"))\n            return\n        fi\n        ;;\n");
    }
    buf_addstr(out, "    esac\n    case \"$command\" in\n");
    for (const struct command_spec *const *c = commands; *c; c++)
        bash_command(out, *c, commands);
    buf_addf(out, "    esac\n}\ncomplete -F _%s %s\n", program, program);
}

/* Text inside a zsh specification: brackets and colons have a meaning there. */
static void zsh_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'') {
            buf_addstr(out, "'\\''");
            continue;
        }
        if (strchr("[]:\\", *text))
            buf_addc(out, '\\');
        buf_addc(out, *text);
    }
}

static void zsh_action(struct buf *out, enum option_complete complete, const char *const *words,
                       const struct command_spec *const *commands)
{
    switch (complete) {
    case COMPLETE_FILE:
        buf_addstr(out, "_files");
        return;
    case COMPLETE_DIR:
        buf_addstr(out, "_files -/");
        return;
    case COMPLETE_ENV:
        buf_addstr(out, "_parameters -g \"*export*\"");
        return;
    case COMPLETE_WORDS:
        buf_addc(out, '(');
        words_add(out, words);
        buf_addc(out, ')');
        return;
    case COMPLETE_COMMAND:
        buf_addc(out, '(');
        command_names(out, commands);
        buf_addc(out, ')');
        return;
    case COMPLETE_NONE:
        buf_addc(out, ' ');
        return;
    }
}

static void zsh_option(struct buf *out, const struct option_spec *o,
                       const struct command_spec *const *commands)
{
    buf_addstr(out, " \\\n            ");
    if (o->type == OPTION_STRINGS || o->type == OPTION_COUNT)
        buf_addstr(out, "'*'");
    else if (o->short_name)
        buf_addf(out, "'(-%c --%s)'", o->short_name, o->name);
    if (o->short_name)
        buf_addf(out, "{-%c,--%s}", o->short_name, o->name);
    else
        buf_addf(out, "--%s", o->name);
    buf_addstr(out, "'[");
    zsh_escaped(out, o->help);
    buf_addc(out, ']');
    if (takes_value(o)) {
        buf_addc(out, ':');
        zsh_escaped(out, o->arg_name);
        buf_addc(out, ':');
        zsh_action(out, o->complete, o->words, commands);
    }
    buf_addc(out, '\'');
}

static void zsh_command(struct buf *out, const struct command_spec *c,
                        const struct command_spec *const *commands)
{
    const struct option_positional *p = c->positionals;
    int number = 1;

    buf_addf(out, "        '%s')\n            _arguments -s%s", c->name,
             c->is_stopped_by_positional ? " -A \"-*\"" : "");
    for (const struct option_spec *o = c->options; o && o->name; o++)
        zsh_option(out, o, commands);
    for (; p && p->name; p++, number++) {
        bool is_rest = c->positionals_max < 0 && !p[1].name;

        if (is_rest)
            buf_addstr(out, " \\\n            '*:");
        else
            buf_addf(out, " \\\n            '%d:", number);
        zsh_escaped(out, p->name);
        buf_addc(out, ':');
        zsh_action(out, p->complete, p->words, commands);
        buf_addc(out, '\'');
    }
    buf_addstr(out, "\n            ;;\n");
}

static void zsh_script(const char *program, const struct command_spec *const *commands,
                       struct buf *out)
{
    buf_addf(out,
             "#compdef %s\n# zsh completion for %s; made by '%s completion zsh'\n"
             "_%s()\n{\n    local line state\n"
             "    _arguments -C '1:command:->command' '*::argument:->argument'\n"
             "    case $state in\n    command)\n        local -a commands=(\n",
             program, program, program, program);
    for (const struct command_spec *const *c = commands; *c; c++) {
        if (!is_first(c, commands))
            continue;
        buf_addf(out, "            '%.*s:", first_len(*c), (*c)->name);
        if (is_in_group(*c))
            group_words(out, c);
        else
            zsh_escaped(out, (*c)->summary);
        buf_addstr(out, "'\n");
    }
    buf_addstr(out, "        )\n        _describe command commands\n        ;;\n"
                    "    argument)\n        local command=$line[1]\n"
                    "        case $command in\n");
    for (const struct command_spec *const *c = commands; *c; c++) {
        if (!is_in_group(*c) || !is_first(c, commands))
            continue;
        buf_addf(out,
                 "        %.*s)\n            if ((CURRENT == 2)); then\n"
                 "                compadd ",
                 first_len(*c), (*c)->name);
        group_words(out, c);
        buf_addstr(out, "\n                return\n            fi\n"
                        "            command+=\" $words[2]\"\n            shift words\n"
                        "            ((CURRENT--))\n            ;;\n");
    }
    buf_addstr(out, "        esac\n        case $command in\n");
    for (const struct command_spec *const *c = commands; *c; c++)
        zsh_command(out, *c, commands);
    buf_addf(out,
             "        esac\n        ;;\n    esac\n}\n"
             "if [[ $funcstack[1] == _%s ]]; then\n    _%s \"$@\"\nelse\n"
             "    compdef _%s %s\nfi\n",
             program, program, program, program);
}

static void fish_values(struct buf *out, enum option_complete complete, const char *const *words,
                        const struct command_spec *const *commands)
{
    switch (complete) {
    case COMPLETE_FILE:
        buf_addstr(out, " -F");
        return;
    case COMPLETE_DIR:
        buf_addstr(out, " -f -a '(__fish_complete_directories)'");
        return;
    case COMPLETE_ENV:
        buf_addstr(out, " -f -a '(set -nx)'");
        return;
    case COMPLETE_WORDS:
        buf_addstr(out, " -f -a '");
        words_add(out, words);
        buf_addc(out, '\'');
        return;
    case COMPLETE_COMMAND:
        buf_addstr(out, " -f -a '");
        command_names(out, commands);
        buf_addc(out, '\'');
        return;
    case COMPLETE_NONE:
        buf_addstr(out, " -f");
        return;
    }
}

static void fish_command(struct buf *out, const char *program, const struct command_spec *c,
                         const struct command_spec *const *commands)
{
    const struct option_positional *p = c->positionals;

    /* What was typed: the command, or both words of it. */
    autofree char *seen = is_in_group(c)
                              ? xasprintf("__fish_seen_subcommand_from %.*s; and "
                                          "__fish_seen_subcommand_from %s",
                                          first_len(c), c->name, c->name + first_len(c) + 1)
                              : xasprintf("__fish_seen_subcommand_from %s", c->name);

    for (const struct option_spec *o = c->options; o && o->name; o++) {
        buf_addf(out, "complete -c %s -n '%s'", program, seen);
        if (o->short_name)
            buf_addf(out, " -s %c", o->short_name);
        buf_addf(out, " -l %s -d ", o->name);
        single_quoted(out, o->help);
        if (takes_value(o)) {
            buf_addstr(out, " -r");
            fish_values(out, o->complete, o->words, commands);
        }
        buf_addc(out, '\n');
    }
    buf_addf(out, "complete -c %s -n '%s'", program, seen);
    fish_values(out, p && p->name ? p->complete : COMPLETE_NONE, p && p->name ? p->words : NULL,
                commands);
    buf_addc(out, '\n');
}

static void fish_name(struct buf *out, const char *program, const struct command_spec *const *c,
                      const struct command_spec *const *group)
{
    if (is_in_group(*c)) {
        if (c == group)
            buf_addf(out, "complete -c %s -n __fish_use_subcommand -f -a %.*s\n", program,
                     first_len(*c), (*c)->name);
        buf_addf(out,
                 "complete -c %s -n '__fish_seen_subcommand_from %.*s; and not "
                 "__fish_seen_subcommand_from ",
                 program, first_len(*c), (*c)->name);
        group_words(out, group);
        buf_addf(out, "' -f -a %s -d ", (*c)->name + first_len(*c) + 1);
    } else {
        buf_addf(out, "complete -c %s -n __fish_use_subcommand -f -a %s -d ", program, (*c)->name);
    }
    single_quoted(out, (*c)->summary);
    buf_addc(out, '\n');
}

static void fish_script(const char *program, const struct command_spec *const *commands,
                        struct buf *out)
{
    buf_addf(out, "# fish completion for %s; made by '%s completion fish'\ncomplete -c %s -e\n",
             program, program, program);
    const struct command_spec *const *group = commands;

    for (const struct command_spec *const *c = commands; *c; c++) {
        if (is_first(c, commands))
            group = c;
        fish_name(out, program, c, group);
        fish_command(out, program, *c, commands);
    }
}

int options_completion(const char *shell, const char *program,
                       const struct command_spec *const *commands, struct buf *out, struct err *e)
{
    if (str_eq(shell, "bash"))
        bash_script(program, commands, out);
    else if (str_eq(shell, "zsh"))
        zsh_script(program, commands, out);
    else if (str_eq(shell, "fish"))
        fish_script(program, commands, out);
    else
        return err_set(e, -EINVAL, "BadShell", "'%.40s' is not one of bash, zsh, fish", shell);
    return 0;
}

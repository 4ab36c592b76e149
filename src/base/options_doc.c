/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --help and man pages (mdoc, see mandoc's mdoc(7)) from the option tables.
 */
#include <ctype.h>

#include "base/options.h"

/* Adds words of `text` from column `column` on, wrapped to `columns`, further lines indented. */
static void wrap(struct buf *out, const char *text, int column, int indent, int columns)
{
    bool is_first = true;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (!is_first && column + 1 + len > columns) {
            buf_addf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!is_first) {
            buf_addc(out, ' ');
            column++;
        }
        buf_add(out, text, (size_t)len);
        column += len;
        is_first = false;
        text += len;
        text += strspn(text, " ");
    }
    buf_addc(out, '\n');
}

#define LEFT_WIDTH 28 /* of the column with options, arguments and codes */

/* One row of two columns. */
static void row(struct buf *out, const char *left, const char *right, int columns)
{
    int len = (int)strlen(left) + 2;

    buf_addf(out, "  %s", left);
    if (len + 2 > LEFT_WIDTH)
        buf_addf(out, "\n%*s", LEFT_WIDTH, "");
    else
        buf_addf(out, "%*s", LEFT_WIDTH - len, "");
    wrap(out, right, LEFT_WIDTH, LEFT_WIDTH, columns);
}

static void option_help_text(const struct option_spec *o, struct buf *text)
{
    buf_addstr(text, o->help);
    if (o->complete == COMPLETE_WORDS) {
        buf_addstr(text, ": ");
        for (const char *const *w = o->words; *w; w++)
            buf_addf(text, "%s%s", w == o->words ? "" : w[1] ? ", " : " or ", *w);
    }
    if (o->type == OPTION_STRINGS)
        buf_addstr(text, "; may be repeated");
    if (o->default_text)
        buf_addf(text, " (default: %s)", o->default_text);
}

static void options_section(const struct command_spec *c, int columns, struct buf *out)
{
    if (!c->options || !c->options->name)
        return;
    buf_addstr(out, "\nOptions:\n");
    for (const struct option_spec *o = c->options; o->name; o++) {
        autobuf left = BUF_INIT;
        autobuf right = BUF_INIT;

        if (o->short_name)
            buf_addf(&left, "-%c, ", o->short_name);
        else
            buf_addstr(&left, "    ");
        buf_addf(&left, "--%s", o->name);
        if (o->arg_name)
            buf_addf(&left, " %s", o->arg_name);
        option_help_text(o, &right);
        row(out, buf_str(&left), buf_str(&right), columns);
    }
}

void options_help(const struct command_spec *c, const char *program, int columns, struct buf *out)
{
    if (columns < 60)
        columns = 60;
    if (columns > 100)
        columns = 100;
    buf_addf(out, "Usage: %s %s%s%s\n\n", program, c->name, *c->usage ? " " : "", c->usage);
    buf_addc(out, (char)toupper((unsigned char)c->summary[0]));
    buf_addf(out, "%s.\n", c->summary + 1);
    for (const char *const *p = c->description; p && *p; p++) {
        buf_addc(out, '\n');
        wrap(out, *p, 0, 0, columns);
    }
    if (c->positionals && c->positionals->name) {
        buf_addstr(out, "\nArguments:\n");
        for (const struct option_positional *p = c->positionals; p->name; p++)
            row(out, p->name, p->help, columns);
    }
    options_section(c, columns, out);
    if (c->exit_statuses) {
        buf_addstr(out, "\nExit status:\n");
        for (const struct option_exit_status *s = c->exit_statuses; s->code; s++)
            row(out, s->code, s->meaning, columns);
    }
    if (c->examples) {
        buf_addstr(out, "\nExamples:\n");
        for (const struct option_example *x = c->examples; x->command; x++) {
            buf_addf(out, "  %s\n      ", x->command);
            wrap(out, x->explanation, 6, 6, columns);
        }
    }
}

/* Text on a line of its own: what roff would take for a request or an escape is disarmed. */
static void man_text(struct buf *out, const char *text)
{
    char previous = 0;
    bool is_first = true; /* of its line */

    for (; *text; previous = *text++) {
        if (is_first && (*text == '.' || *text == '\''))
            buf_addstr(out, "\\&");
        is_first = *text == ' ' && previous == '.';
        if (*text == '\\')
            buf_addstr(out, "\\e");
        else if (*text == '-')
            buf_addstr(out, "\\-");
        else if (*text == ' ' && previous == '.')
            buf_addc(out, '\n'); /* mdoc wants each sentence on its own line */
        else
            buf_addc(out, *text);
    }
}

static void man_line(struct buf *out, const char *text)
{
    man_text(out, text);
    buf_addc(out, '\n');
}

/* A word on a macro line; \& keeps it from being a macro itself. */
static void man_word(struct buf *out, const char *macro, const char *word)
{
    buf_addf(out, " %s \\&", macro);
    man_text(out, word);
}

static void man_head(struct buf *out, const char *page, const char *summary, const char *date)
{
    autofree char *upper = xstrdup(page);

    for (char *s = upper; *s; s++)
        *s = (char)toupper((unsigned char)*s);
    buf_addf(out,
             ".\\\" SPDX-License-Identifier: Apache-2.0\n.\\\" Made from the option tables; do "
             "not edit.\n.Dd %s\n.Dt %s 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd ",
             date, upper, page);
    man_line(out, summary);
}

static void man_paragraphs(const char *const *paragraphs, const char *fallback, struct buf *out)
{
    buf_addstr(out, ".Sh DESCRIPTION\n");
    if (!paragraphs || !*paragraphs) {
        autofree char *sentence = xasprintf("%s.", fallback);

        sentence[0] = (char)toupper((unsigned char)sentence[0]);
        man_line(out, sentence);
        return;
    }
    for (const char *const *p = paragraphs; *p; p++) {
        if (p != paragraphs)
            buf_addstr(out, ".Pp\n");
        man_line(out, *p);
    }
}

static void man_options(const struct command_spec *c, struct buf *out)
{
    if (!c->options || !c->options->name)
        return;
    buf_addstr(out, ".Pp\nThe options are:\n.Bl -tag -width Ds\n");
    for (const struct option_spec *o = c->options; o->name; o++) {
        autobuf text = BUF_INIT;

        buf_addstr(out, ".It");
        if (o->short_name)
            buf_addf(out, " Fl %c ,", o->short_name);
        man_word(out, "Fl Fl", o->name);
        if (o->arg_name)
            man_word(out, "Ar", o->arg_name);
        buf_addc(out, '\n');
        option_help_text(o, &text);
        buf_addc(&text, '.');
        man_line(out, buf_str(&text));
    }
    buf_addstr(out, ".El\n");
}

static void man_positionals(const struct command_spec *c, struct buf *out)
{
    if (!c->positionals || !c->positionals->name)
        return;
    buf_addstr(out, ".Pp\nThe arguments are:\n.Bl -tag -width Ds\n");
    for (const struct option_positional *p = c->positionals; p->name; p++) {
        buf_addstr(out, ".It");
        man_word(out, "Ar", p->name);
        buf_addc(out, '\n');
        man_text(out, p->help);
        buf_addstr(out, ".\n");
    }
    buf_addstr(out, ".El\n");
}

static void man_exit_statuses(const struct option_exit_status *s, struct buf *out)
{
    if (!s)
        return;
    buf_addstr(out, ".Sh EXIT STATUS\n.Bl -tag -width 130,_143\n");
    for (; s->code; s++) {
        buf_addf(out, ".It \\&%s\n", s->code);
        man_text(out, s->meaning);
        buf_addstr(out, ".\n");
    }
    buf_addstr(out, ".El\n");
}

static void man_pairs(const char *title, const char *macro, const struct option_example *x,
                      struct buf *out)
{
    if (!x)
        return;
    buf_addf(out, ".Sh %s\n.Bl -tag -width Ds\n", title);
    for (; x->command; x++) {
        buf_addstr(out, ".It");
        man_word(out, macro, x->command);
        buf_addc(out, '\n');
        man_text(out, x->explanation);
        buf_addstr(out, ".\n");
    }
    buf_addstr(out, ".El\n");
}

static void man_examples(const struct command_spec *c, struct buf *out)
{
    if (!c->examples)
        return;
    buf_addstr(out, ".Sh EXAMPLES\n");
    for (const struct option_example *x = c->examples; x->command; x++) {
        if (x != c->examples)
            buf_addstr(out, ".Pp\n");
        man_text(out, x->explanation);
        buf_addstr(out, ":\n.Bd -literal -offset indent\n");
        man_line(out, x->command);
        buf_addstr(out, ".Ed\n");
    }
}

/* The name of the page: "wherry-system-df". Heap. */
static char *page_name(const char *program, const char *command)
{
    char *page = xasprintf("%s-%s", program, command);

    for (char *space = strchr(page, ' '); space; space = strchr(space, ' '))
        *space = '-';
    return page;
}

void options_man(const struct command_spec *c, const char *program, const char *date,
                 struct buf *out)
{
    autofree char *page = page_name(program, c->name);

    man_head(out, page, c->summary, date);
    buf_addf(out, ".Sh SYNOPSIS\n.Nm %s %s\n", program, c->name);
    if (*c->usage)
        man_line(out, c->usage);
    man_paragraphs(c->description, c->summary, out);
    man_positionals(c, out);
    man_options(c, out);
    man_exit_statuses(c->exit_statuses, out);
    man_examples(c, out);
    buf_addf(out, ".Sh SEE ALSO\n.Xr %s 1", program);
    for (const char *const *s = c->see_also; s && *s; s++)
        if (!str_eq(*s, page)) /* pages that belong together share a list */
            buf_addf(out, " ,\n.Xr %s 1", *s);
    buf_addc(out, '\n');
}

void options_man_program(const struct program_doc *p, const char *date, struct buf *out)
{
    man_head(out, p->name, p->summary, date);
    buf_addf(out, ".Sh SYNOPSIS\n.Nm %s\n.Ar command\n.Op Ar argument ...\n", p->name);
    man_paragraphs(p->description, p->summary, out);
    buf_addstr(out, ".Pp\nThe commands are:\n.Bl -tag -width Ds\n");
    for (const struct command_spec *const *c = p->commands; *c; c++) {
        autofree char *page = page_name(p->name, (*c)->name);

        buf_addf(out, ".It Xr %s 1\n", page);
        buf_addc(out, (char)toupper((unsigned char)(*c)->summary[0]));
        man_text(out, (*c)->summary + 1);
        buf_addstr(out, ".\n");
    }
    buf_addstr(out, ".El\n");
    man_pairs("ENVIRONMENT", "Ev", p->environment, out);
    man_pairs("FILES", "Pa", p->files, out);
    man_exit_statuses(p->exit_statuses, out);
}

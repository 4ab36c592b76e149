/* SPDX-License-Identifier: Apache-2.0 */
/* grep, sort, uniq, tr, cut */
#include <ctype.h>
#include <limits.h>
#include <regex.h>

#include "toolbox/toolbox.h"

#define SORT_MAX ((size_t)64 << 20)

struct grep {
    regex_t regex;
    bool is_inverted, is_counting, is_quiet, is_listing, is_numbered, is_named;
    bool has_match;
};

static int grep_stream(struct job *j, struct stream *s, const char *name, void *arg)
{
    struct grep *g = arg;
    autobuf line = BUF_INIT;
    unsigned long long number = 0, matches = 0;

    while (stream_line(s, '\n', &line, NULL)) {
        number++;
        if ((regexec(&g->regex, buf_str(&line), 0, NULL, 0) == 0) == g->is_inverted)
            continue;
        matches++;
        if (g->is_quiet || g->is_listing)
            break;
        if (g->is_counting)
            continue;
        if (g->is_named)
            stream_printf(j->out, "%s:", name);
        if (g->is_numbered)
            stream_printf(j->out, "%llu:", number);
        buf_addc(&line, '\n');
        if (stream_write(j->out, line.data, line.len) < 0)
            break;
    }
    g->has_match = g->has_match || matches;
    if (g->is_listing && matches)
        stream_printf(j->out, "%s\n", name);
    if (g->is_counting)
        stream_printf(j->out, g->is_named ? "%s:%llu\n" : "%.0s%llu\n", name, matches);
    return 0;
}

/* The pattern for -F and -x: as an expression. */
static void add_pattern(struct buf *all, const char *pattern, bool is_fixed, bool is_whole,
                        bool is_extended)
{
    if (is_whole)
        buf_addc(all, '^');
    if (is_whole && !is_fixed)
        buf_addstr(all, is_extended ? "(" : "\\(");
    for (; *pattern; pattern++) {
        if (is_fixed && strchr("\\.[*^$", *pattern))
            buf_addc(all, '\\');
        buf_addc(all, *pattern);
    }
    if (is_whole && !is_fixed)
        buf_addstr(all, is_extended ? ")" : "\\)");
    if (is_whole)
        buf_addc(all, '$');
}

static int grep_compile(struct job *j, struct grep *g, const char *pattern, bool is_fixed,
                        bool is_whole, int flags)
{
    autobuf text = BUF_INIT;
    char problem[100];
    int result;

    add_pattern(&text, pattern, is_fixed, is_whole, flags & REG_EXTENDED);
    result = regcomp(&g->regex, buf_str(&text), flags | REG_NOSUB);
    if (!result)
        return 0;
    regerror(result, &g->regex, problem, sizeof(problem));
    return job_error(j, "bad regex '%s': %s", pattern, problem) + 1;
}

int tool_grep(struct job *j)
{
    struct opts o = OPTS(j, "EFivcqlnsxhHe:");
    struct grep g = {0};
    const char *pattern = NULL;
    bool is_fixed = false, is_whole = false, is_unnamed = false;
    int c, flags = 0, status;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 2;
        is_fixed = is_fixed || c == 'F';
        is_whole = is_whole || c == 'x';
        is_unnamed = is_unnamed || c == 'h';
        g.is_inverted = g.is_inverted || c == 'v';
        g.is_counting = g.is_counting || c == 'c';
        g.is_quiet = g.is_quiet || c == 'q';
        g.is_listing = g.is_listing || c == 'l';
        g.is_numbered = g.is_numbered || c == 'n';
        g.is_named = g.is_named || c == 'H';
        flags |= (c == 'i' ? REG_ICASE : 0) | (c == 'E' ? REG_EXTENDED : 0);
        if (c == 'e')
            pattern = o.value;
    }
    if (!pattern && o.next < j->argc)
        pattern = j->argv[o.next++];
    if (!pattern)
        return job_error(j, "usage: grep [-EFivcqlnx] PATTERN [FILE]...") + 1;
    g.is_named = !is_unnamed && (g.is_named || j->argc - o.next > 1);
    if (grep_compile(j, &g, pattern, is_fixed, is_whole, is_fixed ? flags & REG_ICASE : flags))
        return 2;
    status = job_each_input(j, o.next, grep_stream, &g);
    regfree(&g.regex);
    if (status && !(g.is_quiet && g.has_match))
        return 2;
    return !g.has_match;
}

struct sort {
    struct strv lines;
    size_t bytes;
    bool is_numeric, is_reversed, is_unique;
    int key; /* field from which on, 1 for the whole line */
    char separator;
};

/* qsort(3) passes nothing on, and tools run one at a time. */
static const struct sort *sorting;

static const char *sort_key(const char *line)
{
    for (int i = 1; i < sorting->key; i++) {
        if (sorting->separator) {
            const char *next = strchr(line, sorting->separator);

            if (!next)
                return "";
            line = next + 1;
        } else {
            while (*line == ' ' || *line == '\t')
                line++;
            while (*line && *line != ' ' && *line != '\t')
                line++;
        }
    }
    return line;
}

static int compare(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    const char *kx = sort_key(x), *ky = sort_key(y);
    int order = 0;

    if (sorting->is_numeric) {
        double nx = strtod(kx, NULL), ny = strtod(ky, NULL);

        order = (nx > ny) - (nx < ny);
    } else if (sorting->key > 1) {
        order = strcmp(kx, ky);
    }
    if (!order && !(sorting->is_numeric && sorting->is_unique))
        order = strcmp(x, y);
    return sorting->is_reversed ? -order : order;
}

static int sort_stream(struct job *j, struct stream *s, const char *name, void *arg)
{
    struct sort *sort = arg;
    autobuf line = BUF_INIT;

    while (stream_line(s, '\n', &line, NULL)) {
        sort->bytes += line.len + sizeof(char *);
        if (sort->bytes > SORT_MAX)
            return job_error(j, "%s: more than %zu MiB", name, SORT_MAX >> 20) + 1;
        strv_add(&sort->lines, buf_str(&line));
    }
    return 0;
}

int tool_sort(struct job *j)
{
    struct opts o = OPTS(j, "nruk:t:");
    struct sort sort = {.key = 1};
    int c, status;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 2;
        if (c == 'k')
            sort.key = (int)strtol(o.value, NULL, 10);
        if (c == 'k' && strchr(o.value, 'n'))
            sort.is_numeric = true;
        if (c == 't')
            sort.separator = *o.value;
        sort.is_numeric = sort.is_numeric || c == 'n';
        sort.is_reversed = sort.is_reversed || c == 'r';
        sort.is_unique = sort.is_unique || c == 'u';
    }
    status = job_each_input(j, o.next, sort_stream, &sort);
    sorting = &sort;
    if (sort.lines.n)
        qsort(sort.lines.v, sort.lines.n, sizeof(*sort.lines.v), compare);
    for (size_t i = 0; i < sort.lines.n && status < 2; i++)
        if (!sort.is_unique || !i || compare(&sort.lines.v[i - 1], &sort.lines.v[i]) != 0)
            stream_printf(j->out, "%s\n", sort.lines.v[i]);
    sorting = NULL;
    strv_done(&sort.lines);
    return status ? 2 : 0;
}

struct uniq {
    bool is_counting, is_repeated, is_single;
};

static void uniq_print(struct job *j, const struct uniq *u, const char *line, unsigned long n)
{
    if (!n || (u->is_repeated && n == 1) || (u->is_single && n > 1))
        return;
    if (u->is_counting)
        stream_printf(j->out, "%7lu ", n);
    stream_printf(j->out, "%s\n", line);
}

static int uniq_stream(struct job *j, struct stream *s, const char *name, void *arg)
{
    autobuf line = BUF_INIT, last = BUF_INIT;
    unsigned long n = 0;

    (void)name;
    while (stream_line(s, '\n', &line, NULL)) {
        if (n && str_eq(buf_str(&line), buf_str(&last))) {
            n++;
            continue;
        }
        uniq_print(j, arg, buf_str(&last), n);
        buf_clear(&last);
        buf_addstr(&last, buf_str(&line));
        n = 1;
    }
    uniq_print(j, arg, buf_str(&last), n);
    return 0;
}

int tool_uniq(struct job *j)
{
    struct opts o = OPTS(j, "cdu");
    struct uniq u = {0};
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        u.is_counting = u.is_counting || c == 'c';
        u.is_repeated = u.is_repeated || c == 'd';
        u.is_single = u.is_single || c == 'u';
    }
    return job_each_input(j, o.next, uniq_stream, &u);
}

/* [:class:] at the text; its length, 0 for none. */
static size_t add_class(const char *text, struct buf *set)
{
    static const struct {
        const char *name;
        int (*has)(int);
    } classes[] = {
        {"[:upper:]", isupper},
        {"[:lower:]", islower},
        {"[:digit:]", isdigit},
        {"[:alpha:]", isalpha},
        {"[:alnum:]", isalnum},
        {"[:space:]", isspace},
        {"[:blank:]", isblank},
        {"[:punct:]", ispunct},
    };

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        if (!str_starts(text, classes[i].name))
            continue;
        for (int c = 0; c < 256; c++)
            if (classes[i].has(c))
                buf_addc(set, (char)c);
        return strlen(classes[i].name);
    }
    return 0;
}

static void tr_set(const char *text, struct buf *set)
{
    autobuf plain = BUF_INIT;

    unescape(text, false, &plain);
    for (const char *at = buf_str(&plain); *at; at++) {
        size_t class_len = add_class(at, set);

        if (class_len) {
            at += class_len - 1;
        } else if (at[1] == '-' && at[2]) {
            for (int c = (unsigned char)at[0]; c <= (unsigned char)at[2]; c++)
                buf_addc(set, (char)c);
            at += 2;
        } else {
            buf_addc(set, *at);
        }
    }
}

/* For every byte what it becomes, -1 for nothing; and which bytes come only once in a row. */
struct tr {
    short map[256];
    bool squeezes[256];
};

static void tr_make(struct tr *t, const char *from, const char *to, bool is_complement,
                    bool is_deleting, bool is_squeezing)
{
    autobuf set = BUF_INIT, target = BUF_INIT;
    size_t n = 0;

    tr_set(from, &set);
    if (to)
        tr_set(to, &target);
    for (int c = 0; c < 256; c++) {
        const char *found = set.len ? memchr(set.data, c, set.len) : NULL;
        size_t i = is_complement ? n : found ? (size_t)(found - set.data) : 0;

        t->map[c] = (short)c;
        if (!found != is_complement)
            continue;
        n++;
        if (is_deleting)
            t->map[c] = -1;
        else if (target.len)
            t->map[c] = (unsigned char)target.data[i < target.len ? i : target.len - 1];
        if (is_squeezing && !to)
            t->squeezes[c] = true;
    }
    for (size_t i = 0; is_squeezing && i < target.len; i++)
        t->squeezes[(unsigned char)target.data[i]] = true;
}

int tool_tr(struct job *j)
{
    struct opts o = OPTS(j, "cCds");
    struct tr t = {0};
    bool is_complement = false, is_deleting = false, is_squeezing = false;
    int c, last = -1;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        is_complement = is_complement || c == 'c' || c == 'C';
        is_deleting = is_deleting || c == 'd';
        is_squeezing = is_squeezing || c == 's';
    }
    if (o.next >= j->argc || (o.next + 1 >= j->argc && !is_deleting && !is_squeezing))
        return job_error(j, "usage: tr [-cds] SET1 [SET2]");
    tr_make(&t, j->argv[o.next], o.next + 1 < j->argc ? j->argv[o.next + 1] : NULL, is_complement,
            is_deleting, is_squeezing);
    while ((c = stream_getc(j->in)) >= 0) {
        int mapped = t.map[c];
        char byte = (char)mapped;

        if (mapped < 0 || (mapped == last && t.squeezes[mapped]))
            continue;
        last = mapped;
        if (stream_write(j->out, &byte, 1) < 0)
            return 1;
    }
    return 0;
}

struct cut {
    const char *list;
    char kind; /* c or f */
    char delimiter;
    bool is_strict; /* -s */
};

/* Whether a list such as 1,3-5,7- has the position. */
static bool list_has(const char *list, unsigned long position)
{
    while (*list) {
        char *end;
        unsigned long from = *list == '-' ? 1 : strtoul(list, &end, 10), to = from;

        if (*list == '-')
            end = (char *)list;
        if (*end == '-')
            to = isdigit((unsigned char)end[1]) ? strtoul(end + 1, &end, 10) : (end++, ULONG_MAX);
        if (position >= from && position <= to)
            return true;
        if (*end != ',')
            return false;
        list = end + 1;
    }
    return false;
}

static void cut_fields(struct job *j, const struct cut *c, char *line)
{
    bool was_one = false;
    unsigned long position = 1;

    if (!strchr(line, c->delimiter)) {
        if (!c->is_strict)
            stream_printf(j->out, "%s\n", line);
        return;
    }
    for (char *field = line, *next; field; field = next, position++) {
        next = strchr(field, c->delimiter);
        if (next)
            *next++ = '\0';
        if (!list_has(c->list, position))
            continue;
        if (was_one)
            stream_write(j->out, &c->delimiter, 1);
        stream_puts(j->out, field);
        was_one = true;
    }
    stream_puts(j->out, "\n");
}

static int cut_stream(struct job *j, struct stream *s, const char *name, void *arg)
{
    const struct cut *c = arg;
    autobuf line = BUF_INIT;

    (void)name;
    while (stream_line(s, '\n', &line, NULL)) {
        if (c->kind == 'f') {
            buf_terminate(&line);
            cut_fields(j, c, line.data ? line.data : (char[1]){0});
            continue;
        }
        for (size_t i = 0; i < line.len; i++)
            if (list_has(c->list, i + 1))
                stream_write(j->out, line.data + i, 1);
        stream_puts(j->out, "\n");
    }
    return 0;
}

int tool_cut(struct job *j)
{
    struct opts o = OPTS(j, "c:b:f:d:s");
    struct cut cut = {.delimiter = '\t'};
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        if (c == 'd') {
            cut.delimiter = *o.value;
        } else if (c == 's') {
            cut.is_strict = true;
        } else {
            cut.list = o.value;
            cut.kind = c == 'f' ? 'f' : 'c';
        }
    }
    if (!cut.list || !isdigit((unsigned char)cut.list[*cut.list == '-']))
        return job_error(j, "usage: cut -c LIST | -f LIST [-d CHAR] [-s] [FILE]...");
    return job_each_input(j, o.next, cut_stream, &cut);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/containerd_config.h"

#include <ctype.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/toml.h"

int containerd_version_parse(const char *text, struct containerd_version *ret, struct err *e)
{
    const char *at = text;

    /* "containerd github.com/containerd/containerd/v2 2.4.2 REVISION", of k3s "v2.4.2-k3s1". */
    while (*at) {
        char *end;
        long major = strtol(*at == 'v' ? at + 1 : at, &end, 10);

        if (*end == '.' && isdigit((unsigned char)end[1]) && major > 0 && major < 1000) {
            long minor = strtol(end + 1, NULL, 10);

            *ret = (struct containerd_version){(int)major, minor < 1000 ? (int)minor : 1000};
            return 0;
        }
        at += strcspn(at, " \t\n");
        at += strspn(at, " \t\n");
    }
    return err_set(e, -EINVAL, "BadVersion", "'%.*s' names no version of containerd such as 1.7",
                   (int)strcspn(text, "\n"), text);
}

/* --- The text of one file --- */

static size_t skip_blanks(const char *s, size_t at, size_t end)
{
    while (at < end && (s[at] == ' ' || s[at] == '\t'))
        at++;
    return at;
}

/* One word of a table's name at *at; quotes are taken off. */
static bool word_parse(const char *s, size_t *at, size_t end, struct strv *name)
{
    size_t start = *at;
    char quote = start < end ? s[start] : 0;

    if (quote == '"' || quote == '\'') {
        const char *close = memchr(s + start + 1, quote, end - start - 1);

        if (!close)
            return false;
        strv_addn(name, s + start + 1, (size_t)(close - s) - start - 1);
        *at = (size_t)(close - s) + 1;
        return true;
    }
    while (*at < end && (isalnum((unsigned char)s[*at]) || s[*at] == '-' || s[*at] == '_'))
        ++*at;
    strv_addn(name, s + start, *at - start);
    return *at > start;
}

/* "[a . "b.c"]" or "[[a]]", with blanks and a comment around. */
static bool header_parse(const char *s, size_t at, size_t end, struct strv *name)
{
    bool is_array;

    at = skip_blanks(s, at, end);
    is_array = at + 1 < end && s[at + 1] == '[';
    at += is_array ? 2 : 1;
    do {
        at = skip_blanks(s, at, end);
        if (!word_parse(s, &at, end, name))
            return false;
        at = skip_blanks(s, at, end);
    } while (at < end && s[at++] == '.');
    if (at > end || s[at - 1] != ']')
        return false;
    if (is_array && (at >= end || s[at++] != ']'))
        return false;
    at = skip_blanks(s, at, end);
    return at >= end || s[at] == '#' || s[at] == '\r';
}

/* How many brackets the line leaves open; strings and comments do not count. False when it has what
 * a line cannot be cut by: a string of several lines. */
static bool depth_add(const char *s, size_t at, size_t end, int *depth)
{
    for (; at < end && s[at] != '#'; at++) {
        char c = s[at];

        if (c == '[' || c == '{')
            ++*depth;
        else if (c == ']' || c == '}')
            --*depth;
        if (c != '"' && c != '\'')
            continue;
        if (at + 2 < end && s[at + 1] == c && s[at + 2] == c)
            return false;
        for (at++; at < end && s[at] != c; at++)
            at += c == '"' && s[at] == '\\';
    }
    return true;
}

static int tables_find(const char *path, struct containerd_file *f, struct err *e)
{
    const char *s = buf_str(&f->text);
    unsigned line = 0;
    int depth = 0;

    for (size_t at = 0, next; at < f->text.len; at = next) {
        const char *newline = memchr(s + at, '\n', f->text.len - at);
        size_t end = newline ? (size_t)(newline - s) : f->text.len;
        size_t first = skip_blanks(s, at, end);
        struct containerd_table t = {.start = at};

        next = end + (newline ? 1 : 0);
        t.body = next;
        t.line = ++line;
        if (depth > 0 || first >= end || s[first] != '[') {
            if (!depth_add(s, at, end, &depth))
                return err_set(e, -EINVAL, "BadContainerdConfig",
                               "%s:%u: strings of several lines are not understood; write it in "
                               "one line",
                               path, line);
            continue;
        }
        if (!header_parse(s, first, end, &t.name)) {
            strv_done(&t.name);
            return err_set(e, -EINVAL, "BadContainerdConfig", "%s:%u: this is no name of a table",
                           path, line);
        }
        f->tables = xrealloc(f->tables, f->n + 1, sizeof(f->tables[0]));
        f->tables[f->n++] = t;
    }
    for (size_t i = 0; i < f->n; i++)
        f->tables[i].end = i + 1 < f->n ? f->tables[i + 1].start : f->text.len;
    return 0;
}

static void strings_take(const struct toml *list, struct strv *ret)
{
    for (size_t i = 0; list && list->type == TOML_ARRAY && i < list->n; i++)
        if (list->items[i].type == TOML_STRING)
            strv_add(ret, list->items[i].string);
}

/* What is above the first table. */
static int top_read(const char *path, struct containerd_file *f, struct err *e)
{
    static const char *const cri[] = {"cri", CRI_PLUGIN_1, CRI_PLUGIN_2};
    struct text top = {buf_str(&f->text), f->n ? f->tables[0].start : f->text.len};
    autotoml t = {0};
    autostrv disabled = STRV_INIT;
    const struct toml *value;

    TRY(toml_parse(top, path, &t, e));
    value = toml_find(&t, "version");
    if (value && value->type == TOML_INTEGER)
        f->version = (int)strtol(value->string, NULL, 10);
    value = toml_find(&t, "imports");
    f->imports_line = value ? value->line : 0;
    strings_take(value, &f->imports);
    strings_take(toml_find(&t, "disabled_plugins"), &disabled);
    for (size_t i = 0; i < ARRAY_SIZE(cri); i++)
        f->is_cri_disabled |= strv_contains(&disabled, cri[i]);
    if (toml_find(&t, "plugins"))
        return err_set(e, -EINVAL, "BadContainerdConfig",
                       "%s:%u: settings of plugins are understood as tables only: "
                       "[plugins.\"NAME\"]",
                       path, toml_find(&t, "plugins")->line);
    return 0;
}

int containerd_file_parse(const char *path, const char *text, size_t len,
                          struct containerd_file *ret, struct err *e)
{
    autocontainerd_file f = {.path = xstrdup(path)};

    buf_add(&f.text, text, len);
    TRY(tables_find(path, &f, e));
    TRY(top_read(path, &f, e));
    for (size_t i = 0; i < f.n; i++) {
        const struct containerd_table *t = &f.tables[i];
        struct text body = {text + t->body, t->end - t->body};
        autotoml inner = {0};

        if (t->name.n != 1 || !str_eq(t->name.v[0], "plugins"))
            continue;
        TRY(toml_parse(body, path, &inner, e));
        if (inner.n)
            return err_set(e, -EINVAL, "BadContainerdConfig",
                           "%s:%u: settings of plugins are understood as tables only: "
                           "[plugins.\"NAME\"]",
                           path, t->line);
    }
    *ret = f;
    f = (struct containerd_file){0};
    return 0;
}

void containerd_file_done(struct containerd_file *f)
{
    for (size_t i = 0; i < f->n; i++)
        strv_done(&f->tables[i].name);
    free(f->tables);
    free(f->path);
    buf_done(&f->text);
    strv_done(&f->imports);
    *f = (struct containerd_file){0};
}

/* --- Files that import files --- */

static int order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Without "//", "." and "..", as containerd compares paths. Heap. */
static char *path_clean(const char *path)
{
    autobuf out = BUF_INIT;

    while (*(path += strspn(path, "/"))) {
        size_t len = strcspn(path, "/");
        bool is_up = len == 2 && path[0] == '.' && path[1] == '.';

        if (is_up) {
            while (out.len && out.data[--out.len] != '/')
                ;
        } else if (len != 1 || *path != '.') {
            buf_addc(&out, '/');
            buf_add(&out, path, len);
        }
        path += len;
    }
    if (!out.len)
        buf_addc(&out, '/');
    buf_terminate(&out);
    return buf_take(&out);
}

/* Adds the paths that one import names, as containerd sorts them. */
static void import_resolve(const char *parent, const char *import, const char *own,
                           struct strv *pending)
{
    autofree char *dir = path_dir(parent);
    autofree char *joined = *import == '/' ? xstrdup(import) : path_join(dir, import);
    autofree char *pattern = path_clean(joined);
    autostrv found = STRV_INIT;
    glob_t g = {0};

    if (!strchr(pattern, '*')) {
        strv_add(pending, pattern);
        return;
    }
    if (glob(pattern, GLOB_NOSORT, NULL, &g) == 0)
        strv_addv(&found, g.gl_pathv);
    globfree(&g);
    if (fnmatch(pattern, own, FNM_PATHNAME) == 0 && !strv_contains(&found, own))
        strv_add(&found, own);
    if (found.n)
        qsort(found.v, found.n, sizeof(found.v[0]), order);
    strv_addv(pending, found.v);
}

static int file_load(const char *path, struct containerd_config *c, struct err *e)
{
    autobuf text = BUF_INIT;
    struct containerd_file f;

    TRY(file_read(path, CONTAINERD_CONFIG_LIMIT_BYTES, &text, e));
    TRY(containerd_file_parse(path, buf_str(&text), text.len, &f, e));
    c->files = xrealloc(c->files, c->n + 1, sizeof(c->files[0]));
    c->files[c->n++] = f;
    return 0;
}

int containerd_config_load(const char *path, const char *own, struct containerd_config *ret,
                           struct err *e)
{
    autocontainerd_config c = {0};
    autostrv pending = STRV_INIT;

    strv_add(&pending, path);
    for (size_t i = 0; i < pending.n; i++) {
        bool is_loaded = false;

        for (size_t k = 0; k < i; k++)
            is_loaded |= str_eq(pending.v[k], pending.v[i]);
        if (is_loaded)
            continue;
        if (str_eq(pending.v[i], own)) {
            c.is_imported = true;
            c.own_at = c.n;
            continue;
        }
        if (i >= CONTAINERD_FILES_LIMIT)
            return err_set(e, -EFBIG, "TooLarge", "%s: more than %d files are imported", path,
                           CONTAINERD_FILES_LIMIT);
        TRY(file_load(pending.v[i], &c, e));
        for (size_t k = 0; k < c.files[c.n - 1].imports.n; k++)
            import_resolve(pending.v[i], c.files[c.n - 1].imports.v[k], own, &pending);
    }
    *ret = c;
    c = (struct containerd_config){0};
    return 0;
}

void containerd_config_done(struct containerd_config *c)
{
    for (size_t i = 0; i < c->n; i++)
        containerd_file_done(&c->files[i]);
    free(c->files);
    *c = (struct containerd_config){0};
}

/* --- What is in them --- */

bool containerd_is_cri(const struct containerd_table *t, const char *plugin)
{
    const struct strv *n = &t->name;

    if (n->n < 2 || !str_eq(n->v[0], "plugins"))
        return false;
    return plugin ? str_eq(n->v[1], plugin)
                  : str_eq(n->v[1], CRI_PLUGIN_1) || str_eq(n->v[1], CRI_PLUGIN_2);
}

/* Whether the words behind the plugin's name are these. */
static bool is_below(const struct containerd_table *t, const char *const *words)
{
    size_t n = 0;

    if (!containerd_is_cri(t, NULL))
        return false;
    for (; words[n]; n++)
        if (t->name.n < n + 3 || !str_eq(t->name.v[n + 2], words[n]))
            return false;
    return t->name.n == n + 2;
}

static const struct containerd_table *table_find(const struct containerd_config *c,
                                                 const char *const *words,
                                                 const struct containerd_file **ret_file)
{
    for (size_t i = c->n; i-- > 0;)
        for (size_t k = 0; k < c->files[i].n; k++)
            if (is_below(&c->files[i].tables[k], words)) {
                if (ret_file)
                    *ret_file = &c->files[i];
                return &c->files[i].tables[k];
            }
    return NULL;
}

const struct containerd_table *containerd_runtime_find(const struct containerd_config *c,
                                                       const char *runtime, bool has_options,
                                                       const struct containerd_file **ret_file)
{
    const char *words[] = {"containerd", "runtimes", runtime, has_options ? "options" : NULL, NULL};

    return table_find(c, words, ret_file);
}

const struct containerd_file *containerd_cri_file(const struct containerd_config *c)
{
    for (size_t i = c->n; i-- > 0;)
        for (size_t k = 0; k < c->files[i].n; k++)
            if (containerd_is_cri(&c->files[i].tables[k], CRI_PLUGIN_1))
                return &c->files[i];
    return NULL;
}

/* What is set in a table; an empty one when it cannot be read. */
static void table_read(const struct containerd_file *f, const struct containerd_table *t,
                       struct toml *ret)
{
    struct text body = {buf_str(&f->text) + t->body, t->end - t->body};
    struct err e = ERR_INIT;

    toml_parse(body, f->path, ret, &e);
}

bool containerd_has_systemd_cgroup(const struct containerd_config *c)
{
    static const char *const words[] = {"containerd", NULL};
    const struct containerd_file *f;
    const struct containerd_table *t = table_find(c, words, &f);
    autotoml containerd = {0};
    autotoml options = {0};
    const struct toml *value = NULL;
    const char *runtime = "runc";

    if (t) {
        table_read(f, t, &containerd);
        value = toml_find(&containerd, "default_runtime_name");
    }
    if (value && value->type == TOML_STRING && *value->string)
        runtime = value->string;
    t = containerd_runtime_find(c, runtime, true, &f);
    if (!t)
        return false;
    table_read(f, t, &options);
    value = toml_find(&options, "SystemdCgroup");
    return value && value->type == TOML_BOOL && value->is_true;
}

char *containerd_drop_in_dir(const struct containerd_config *c, const char *path)
{
    autofree char *beside = path_dir(path);

    for (size_t i = 0; c->n && i < c->files[0].imports.n; i++) {
        const char *import = c->files[0].imports.v[i];
        autofree char *dir = path_dir(import);

        if (str_eq(path_base(import), "*.toml") && !strchr(dir, '*'))
            return *dir == '/' ? take_ptr(dir) : path_join(beside, dir);
    }
    return path_join(beside, "conf.d");
}

bool containerd_dump_has(const char *dump, size_t len, const char *runtime, const char *type,
                         const char *shim)
{
    struct containerd_file f = {0};
    struct containerd_config c = {.files = &f, .n = 1};
    const struct containerd_table *t;
    autotoml table = {0};
    const struct toml *value = NULL;
    struct err e = ERR_INIT;

    if (containerd_file_parse("dump", dump, len, &f, &e) < 0)
        return false;
    t = containerd_runtime_find(&c, runtime, false, NULL);
    if (t) {
        table_read(&f, t, &table);
        value = toml_find(&table, "runtime_type");
    }
    containerd_file_done(&f);
    return value && value->type == TOML_STRING &&
           (str_eq(value->string, type) || str_eq(path_base(value->string), shim));
}

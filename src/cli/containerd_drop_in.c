/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/containerd_drop_in.h"

#define OURS     "# Written by 'wherry install containerd'; 'wherry uninstall containerd' removes it.\n"
#define MADE_DIR "# The folder was made for it.\n"

/* A basic string of TOML. */
static void string_add(const char *s, struct buf *out)
{
    buf_addc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_addc(out, '\\');
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            buf_addf(out, "\\u%04x", (unsigned)*s);
        else
            buf_addc(out, *s);
    }
    buf_addc(out, '"');
}

static bool is_runtime(const struct containerd_table *t, const char *runtime)
{
    const struct strv *n = &t->name;

    return n->n >= 5 && str_eq(n->v[2], "containerd") && str_eq(n->v[3], "runtimes") &&
           (!runtime || str_eq(n->v[4], runtime));
}

/* The CRI settings of the user's file, but for our runtime. */
static void cri_copy(const struct containerd_config *c, struct buf *out)
{
    const struct containerd_file *f = containerd_cri_file(c);
    bool has_runtimes = false;

    if (f)
        buf_addf(out,
                 "#\n# containerd 1.x takes all settings of CRI from the last file that has any, "
                 "so those of\n# %s\n# are repeated here. After a change there: "
                 "wherry install containerd --apply\n",
                 f->path);
    buf_addstr(out, "version = 2\n");
    for (size_t i = 0; f && i < f->n; i++) {
        const struct containerd_table *t = &f->tables[i];
        size_t end = t->end;

        if (!containerd_is_cri(t, CRI_PLUGIN_1))
            continue;
        has_runtimes |= is_runtime(t, NULL);
        while (end > t->start && strchr(" \t\r\n", f->text.data[end - 1]))
            end--;
        buf_addc(out, '\n');
        buf_add(out, f->text.data + t->start, end - t->start);
        buf_addc(out, '\n');
    }
    /* A table of ours alone would take the place of the default one. */
    if (!has_runtimes)
        buf_addstr(out, "\n[plugins.\"" CRI_PLUGIN_1 "\".containerd.runtimes.runc]\n"
                        "  runtime_type = \"io.containerd.runc.v2\"\n");
}

void containerd_drop_in_add(const struct containerd_drop_in *d, const struct containerd_config *c,
                            struct buf *out)
{
    bool has_merge = containerd_has_merge(d->version);
    /* 1.6 takes runtime_path and ignores it; there the type may be a path. */
    bool has_path = has_merge || d->version.minor >= 7;
    const char *plugin = has_merge ? CRI_PLUGIN_2 : CRI_PLUGIN_1;

    buf_addstr(out, OURS);
    if (d->has_made_dir)
        buf_addstr(out, MADE_DIR);
    buf_addstr(out, "# Changes are lost the next time; without the first line it is yours.\n");
    if (has_merge)
        buf_addstr(out, "version = 3\n");
    else
        cri_copy(c, out);
    buf_addf(out, "\n[plugins.\"%s\".containerd.runtimes.%s]\n  runtime_type = ", plugin,
             d->runtime);
    string_add(has_path || !d->shim_path ? WHERRY_RUNTIME_TYPE : d->shim_path, out);
    if (has_path && d->shim_path) {
        buf_addstr(out, "\n  runtime_path = ");
        string_add(d->shim_path, out);
    }
    buf_addc(out, '\n');
    if (d->sandboxer)
        buf_addf(out, "  sandboxer = \"%s\"\n", d->sandboxer);
    /* The ports that a pod declares are where an HTTP component is served. */
    buf_addstr(out, "  pod_annotations = [\"wherry.dev/*\"]\n"
                    "  container_annotations = [\"io.kubernetes.container.ports\", "
                    "\"wherry.dev/*\"]\n");
    buf_addf(out, "\n[plugins.\"%s\".containerd.runtimes.%s.options]\n  SystemdCgroup = %s\n",
             plugin, d->runtime, d->has_systemd_cgroup ? "true" : "false");
}

bool containerd_drop_in_is_ours(const char *text)
{
    return str_starts(text, OURS);
}

bool containerd_drop_in_has_made_dir(const char *text)
{
    return str_starts(text, OURS MADE_DIR);
}

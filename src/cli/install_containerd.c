/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/containerd_drop_in.h"
#include "cli/install.h"

#define DUMP_LIMIT_BYTES (4u << 20)

/* Exit status: containerd does not have the handler, and what to do was said. */
#define NOT_IN_FORCE 1

/* Where a containerd has what. The first whose configuration is there is meant. */
struct place {
    const char *config;
    const char *program;
    const char *restart;
    const char *template_dir; /* the configuration is made at each start of a template there; NULL
                               * when the administrator writes it */
};

static const struct place places[] = {
    {"/etc/containerd/config.toml",                            "containerd", "systemctl restart containerd",                            NULL                                       },
    {"/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
     "/var/lib/rancher/k3s/data/current/bin/containerd",                     "systemctl restart k3s (on an agent: k3s-agent)",          "/var/lib/rancher/k3s/agent/etc/containerd"},
    {"/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
     "/var/lib/rancher/rke2/bin/containerd",                                 "systemctl restart rke2-server (on an agent: rke2-agent)",
     "/var/lib/rancher/rke2/agent/etc/containerd"                                                                                                                                  },
};

/* Where systemd starts services with; containerd also looks beside itself. */
static const char *const usual_dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                         "/usr/bin",        "/sbin",          "/bin"};

/* What is to be written, and where. */
struct plan {
    const struct place *place;
    char *config_path; /* absolute */
    bool has_config;   /* it is there */
    char *program;     /* containerd; NULL when the version was given, or it is not wanted */
    char *dir, *path;  /* of the drop-in */
    char *shim;
    struct containerd_version version;
    struct containerd_config config;
    struct buf old; /* what is at `path`; is_there tells from empty */
    bool is_there;
    struct buf text;
};

static void plan_done(struct plan *p)
{
    free(p->config_path);
    free(p->program);
    free(p->dir);
    free(p->path);
    free(p->shim);
    containerd_config_done(&p->config);
    buf_done(&p->old);
    buf_done(&p->text);
}

/* --- Finding things --- */

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* In PATH, then where daemons are; NULL without one. Heap. */
static char *program_find(const char *name)
{
    const char *at = getenv("PATH");
    char *path = NULL;

    if (*name == '/')
        return is_program(name) ? xstrdup(name) : NULL;
    while (at && *at) {
        size_t len = strcspn(at, ":");
        autofree char *dir = xstrndup(at, len);

        path = path_join(dir, name);
        if (*dir == '/' && is_program(path))
            return path;
        free(path);
        at += len + (at[len] == ':');
    }
    for (size_t i = 0; i < ARRAY_SIZE(usual_dirs); i++) {
        path = path_join(usual_dirs[i], name);
        if (is_program(path))
            return path;
        free(path);
    }
    return NULL;
}

static int runtime_check(const char *name, struct err *e)
{
    size_t len = strlen(name);

    if (len < 1 || len > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len ||
        name[0] == '-' || name[len - 1] == '-')
        return err_set(e, -EINVAL, "BadRuntimeName",
                       "'%s' cannot be the handler of a RuntimeClass: take small letters, digits "
                       "and -, at most 63",
                       name);
    return 0;
}

static int shim_find(const struct install_options *o, char **ret, struct err *e)
{
    const char *self = getenv(CLI_PROGRAM_VARIABLE);
    autofree char *path = NULL;

    if (o->shim) {
        TRY(path_absolute(o->shim, &path, e));
    } else if (self) {
        autofree char *dir = path_dir(self);

        path = path_join(dir, WHERRY_SHIM);
    }
    if (path && !is_program(path) && !o->shim) {
        free(path);
        path = NULL;
    }
    if (!path)
        path = program_find(WHERRY_SHIM);
    if (!path || !is_program(path))
        return err_set(e, -ENOENT, "ShimMissing",
                       "there is no program %s%s%s; install wherry again, or name it with --shim",
                       path ? "at " : "", path ? path : WHERRY_SHIM,
                       path ? "" : " beside wherry or in PATH");
    *ret = take_ptr(path);
    return 0;
}

/* NULL when containerd finds it by itself. */
static const char *runtime_path(const struct plan *p)
{
    autofree char *dir = path_dir(p->shim);
    autofree char *beside = p->program ? path_dir(p->program) : NULL;

    if (beside && str_eq(dir, beside))
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(usual_dirs); i++)
        if (str_eq(dir, usual_dirs[i]))
            return NULL;
    return p->shim;
}

static int version_find(const struct install_options *o, struct plan *p, struct err *e)
{
    char flag[] = "--version";
    autobuf out = BUF_INIT;

    if (o->version)
        return containerd_version_parse(o->version, &p->version, e);
    p->program = program_find(o->containerd ? o->containerd : p->place->program);
    if (!p->program)
        return err_set(e, -ENOENT, "ContainerdMissing",
                       "there is no program %s; name it with --containerd, or its version with "
                       "--containerd-version",
                       o->containerd ? o->containerd : p->place->program);
    TRY(cli_program_output(p->program, (char *[]){p->program, flag, NULL}, 65536, &out, e));
    return containerd_version_parse(buf_str(&out), &p->version, e);
}

/* Which configuration, which file, and what is in them. */
static int places_find(const struct install_options *o, struct plan *p, struct err *e)
{
    autocontainerd_config config = {0};

    p->place = &places[0];
    for (size_t i = ARRAY_SIZE(places); i-- > 0;)
        if (o->config ? str_eq(o->config, places[i].config) : !access(places[i].config, F_OK))
            p->place = &places[i];
    TRY(path_absolute(o->config ? o->config : p->place->config, &p->config_path, e));
    p->has_config = !access(p->config_path, F_OK);
    if (p->has_config)
        TRY(containerd_config_load(p->config_path, "", &config, e));
    p->dir = containerd_drop_in_dir(&config, p->config_path);
    autofree char *name = xasprintf("%s.toml", o->runtime);
    p->path = path_join(p->dir, name);
    if (p->has_config)
        TRY(containerd_config_load(p->config_path, p->path, &p->config, e));
    p->is_there = !access(p->path, F_OK);
    if (p->is_there)
        TRY(file_read(p->path, CONTAINERD_CONFIG_LIMIT_BYTES, &p->old, e));
    if (p->is_there && !containerd_drop_in_is_ours(buf_str(&p->old)))
        return err_set(e, -EEXIST, "ForeignFile",
                       "%s was not written by wherry and is left as it is; remove it, or take "
                       "another --runtime-name",
                       p->path);
    return 0;
}

/* Whether the configuration leaves room for ours. */
static int config_check(const struct install_options *o, const struct plan *p, struct err *e)
{
    const struct containerd_file *f;
    const struct containerd_table *t = containerd_runtime_find(&p->config, o->runtime, false, &f);

    if (t)
        return err_set(e, -EEXIST, "HandlerTaken",
                       "%s:%u has a handler '%s' already; remove it there, or take another "
                       "--runtime-name",
                       f->path, t->line, o->runtime);
    if (p->has_config && !containerd_has_merge(p->version) && p->config.files[0].version < 2)
        return err_set(e, -EINVAL, "OldContainerdConfig",
                       "%s is of version 1, which knows no drop-ins of version 2: write it anew "
                       "by 'containerd config default', or change its tables and put 'version = 2' "
                       "above them",
                       p->config_path);
    /* 1.7 has it behind a variable of its environment; 2.0 looks for the sandboxes in the wrong
     * folder when it is started again, and loses them. */
    if (!str_eq(o->sandboxer, "podsandbox") &&
        (p->version.major < 2 || (p->version.major == 2 && p->version.minor < 1)))
        return err_set(e, -ENOTSUP, "NoSandboxApi",
                       "containerd %d.%d does not keep sandboxes that a shim makes (2.1 and later "
                       "do); leave --sandboxer out",
                       p->version.major, p->version.minor);
    for (size_t i = 0; i < p->config.n; i++)
        if (p->config.files[i].is_cri_disabled)
            log_warn("CRI is disabled in %s (disabled_plugins): ctr finds the runtime, Kubernetes "
                     "does not",
                     p->config.files[i].path);
    return 0;
}

static int plan_make(const struct install_options *o, struct plan *p, struct err *e)
{
    TRY(runtime_check(o->runtime, e));
    TRY(places_find(o, p, e));
    TRY(version_find(o, p, e));
    TRY(config_check(o, p, e));
    TRY(shim_find(o, &p->shim, e));
    struct containerd_drop_in d = {
        .version = p->version,
        .runtime = o->runtime,
        .shim_path = runtime_path(p),
        .sandboxer = str_eq(o->sandboxer, "podsandbox") ? NULL : o->sandboxer,
        .has_systemd_cgroup = containerd_has_systemd_cgroup(&p->config),
        .has_made_dir = p->is_there ? containerd_drop_in_has_made_dir(buf_str(&p->old))
                                    : access(p->dir, F_OK) < 0,
    };
    containerd_drop_in_add(&d, &p->config, &p->text);
    return 0;
}

/* --- What the administrator has to do --- */

static const char *config_version(const struct plan *p)
{
    return containerd_has_merge(p->version) ? "3" : "2";
}

/* containerd reads the file as it is configured now. */
static bool is_read(const struct plan *p)
{
    return p->has_config && p->config.is_imported;
}

static void import_say(const struct install_options *o, const struct plan *p, struct buf *out)
{
    if (is_read(p))
        return;
    if (p->place->template_dir)
        buf_addf(out,
                 "containerd does not read it: %s imports nothing, and is made anew at each start. "
                 "Newer releases import a folder; for this one write to %s/config%s.toml.tmpl "
                 "(not tried by wherry's tests)\n"
                 "  {{ template \"base\" . }}\n"
                 "and below it the tables of the runtime '%s' that 'wherry install containerd' "
                 "shows.\n",
                 p->config_path, p->place->template_dir,
                 containerd_has_merge(p->version) ? "-v3" : "", o->runtime);
    else if (!p->has_config)
        buf_addf(out,
                 "containerd does not read it, because there is no %s. Make one:\n"
                 "  printf 'version = %s\\nimports = [\"%s/*.toml\"]\\n' > %s\n",
                 p->config_path, config_version(p), p->dir, p->config_path);
    else if (p->config.files[0].imports_line)
        buf_addf(out,
                 "containerd does not read it yet. Add this to the list of line %u of %s:\n"
                 "  \"%s/*.toml\"\n",
                 p->config.files[0].imports_line, p->config_path, p->dir);
    else
        buf_addf(out,
                 "containerd does not read it yet. Put this line above the first table of "
                 "%s:\n  imports = [\"%s/*.toml\"]\n",
                 p->config_path, p->dir);
}

/* The file that makes ours have no effect in containerd 1.x; NULL without one. */
static const char *later_file(const struct plan *p)
{
    if (containerd_has_merge(p->version) || !is_read(p))
        return NULL;
    for (size_t i = p->config.own_at; i < p->config.n; i++)
        for (size_t k = 0; k < p->config.files[i].n; k++)
            if (containerd_is_cri(&p->config.files[i].tables[k], CRI_PLUGIN_1))
                return p->config.files[i].path;
    return NULL;
}

/* It is imported, and has no effect all the same. */
static void unread_say(const struct plan *p, struct buf *out)
{
    const char *later = later_file(p);

    if (later)
        buf_addf(
            out,
            "containerd 1.x takes the settings of CRI from %s alone, which is read after ours: "
            "rename that file so that it comes before %s, and install again.\n",
            later, path_base(p->path));
    else
        buf_addf(out,
                 "'%s --config %s config dump' does not have it. containerd 1.6 reads imports from "
                 "its working folder: begin them with a slash.\n",
                 p->program, p->config_path);
}

/* --- Applying --- */

/* The last line of what was said. */
static void last_line(int fd, struct buf *out)
{
    struct err e = ERR_INIT;

    if (lseek(fd, 0, SEEK_SET) < 0 || fd_read_all(fd, DUMP_LIMIT_BYTES, out, &e) < 0)
        return;
    while (out->len && out->data[out->len - 1] == '\n')
        out->data[--out->len] = 0;
    const char *newline = strrchr(buf_str(out), '\n');
    if (newline)
        buf_consume(out, (size_t)(newline - out->data) + 1);
}

/* 1 when containerd has the handler by its files as they are, 0 when not. Its warnings, such as
 * that files of older versions are read, are nobody's business here. */
static int dump_ask(const struct install_options *o, const struct plan *p, struct err *e)
{
    char config[] = "--config", word[] = "config", dump[] = "dump";
    char *argv[] = {p->program, config, p->config_path, word, dump, NULL};
    autofd said = memfd_create("said", MFD_CLOEXEC), stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
    autobuf out = BUF_INIT;
    autobuf line = BUF_INIT;
    int status;

    if (said < 0 || stderr_fd < 0 || dup2(said, STDERR_FILENO) < 0)
        return err_errno(e, -errno, "ExecFailed", "cannot run '%s'", p->program);
    status = cli_program_output(p->program, argv, DUMP_LIMIT_BYTES, &out, e);
    dup2(stderr_fd, STDERR_FILENO);
    if (status < 0)
        return status;
    last_line(said, &line);
    if (status)
        return err_set(e, -EINVAL, "ContainerdRefuses",
                       "'%s --config %s config dump' ends with status %d: %s", p->program,
                       p->config_path, status, buf_str(&line));
    return containerd_dump_has(buf_str(&out), out.len, o->runtime, WHERRY_RUNTIME_TYPE,
                               WHERRY_SHIM);
}

static int root_say(const char *what, struct err *e)
{
    if ((e->code == -EACCES || e->code == -EPERM) && geteuid())
        err_set(e, e->code, "NotRoot", "only root may do that: sudo wherry %s containerd --apply",
                what);
    return e->code;
}

static void old_restore(const struct plan *p)
{
    struct err e = ERR_INIT;

    if (p->is_there)
        file_write(p->path, buf_str(&p->old), p->old.len, 0644, 0, &e);
    else
        unlink(p->path);
    if (!p->is_there && containerd_drop_in_has_made_dir(buf_str(&p->text)))
        rmdir(p->dir);
}

static int apply(const struct install_options *o, const struct plan *p, struct buf *out,
                 int *ret_status, struct err *e)
{
    bool is_done;
    int r;

    if (path_mkdir_p(p->dir, 0755, e) < 0 ||
        file_write(p->path, buf_str(&p->text), p->text.len, 0644, FILE_WRITE_SYNC, e) < 0)
        return root_say("install", e);
    r = p->program && is_read(p) ? dump_ask(o, p, e) : 0;
    if (r < 0) {
        old_restore(p);
        return err_prefix(e, "%s was taken back", p->path);
    }
    buf_addf(out, "Wrote %s.\n", p->path);
    import_say(o, p, out);
    is_done = is_read(p) && (r || !p->program);
    if (is_read(p) && !is_done)
        unread_say(p, out);
    else
        buf_addf(out, "Then let containerd read it; containers go on meanwhile:\n  %s\n",
                 p->place->restart);
    *ret_status = is_done ? 0 : NOT_IN_FORCE;
    return 0;
}

/* --- Checking --- */

static long long file_age_ms(const char *path)
{
    struct timespec now;
    struct stat st;

    if (stat(path, &st) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return 0;
    return (now.tv_sec - st.st_mtim.tv_sec) * 1000LL + (now.tv_nsec - st.st_mtim.tv_nsec) / 1000000;
}

static int check(const struct install_options *o, const struct plan *p, struct buf *out,
                 int *ret_status, struct err *e)
{
    long long age = 0;
    pid_t pid = running_containerd(p->config_path, str_eq(p->config_path, places[0].config), &age);
    int r = p->program ? dump_ask(o, p, e) : 0;

    if (r < 0)
        return r;
    *ret_status = NOT_IN_FORCE;
    if (!p->is_there)
        buf_addf(out, "%s is not there: wherry install containerd --apply\n", p->path);
    else if (p->old.len != p->text.len ||
             memcmp(buf_str(&p->old), buf_str(&p->text), p->text.len) != 0)
        buf_addf(out, "%s is not what would be written now: wherry install containerd --apply\n",
                 p->path);
    else if (!is_read(p))
        import_say(o, p, out);
    else if (p->program && !r)
        unread_say(p, out);
    else if (!pid && geteuid())
        buf_addf(out,
                 "the handler '%s' is configured; only root sees whether the containerd that runs "
                 "has it: sudo wherry install containerd --check\n",
                 o->runtime);
    else if (!pid)
        buf_addf(out, "the handler '%s' is configured, but no containerd that uses %s runs: %s\n",
                 o->runtime, p->config_path, p->place->restart);
    else if (age > file_age_ms(p->path))
        buf_addf(out,
                 "the containerd that runs (process %d) is older than %s and has not read it: %s\n",
                 (int)pid, p->path, p->place->restart);
    else {
        buf_addf(out, "containerd %d.%d (process %d) has the handler '%s'\n", p->version.major,
                 p->version.minor, (int)pid, o->runtime);
        *ret_status = 0;
    }
    return 0;
}

/* --- The commands --- */

/* The text to standard output, so that it can be kept; the rest beside it. */
static int show(const struct install_options *o, const struct plan *p, int *ret_status,
                struct err *e)
{
    autobuf notes = BUF_INIT;

    buf_addf(&notes, "This goes to %s by 'wherry install containerd --apply':\n\n", p->path);
    TRY(fd_write_all(STDERR_FILENO, buf_str(&notes), notes.len, e));
    if (cli_print(&p->text))
        return err_set(e, -EIO, "WriteFailed", "standard output takes nothing");
    buf_clear(&notes);
    buf_addc(&notes, '\n');
    import_say(o, p, &notes);
    *ret_status = 0;
    return notes.len > 1 ? fd_write_all(STDERR_FILENO, buf_str(&notes), notes.len, e) : 0;
}

int install_containerd(int argc, char *const *argv)
{
    struct install_options o = {0};
    struct plan p = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_install_containerd, argc, argv, &o, &operands);
    int r;

    if (status >= 0)
        return status;
    r = plan_make(&o, &p, &e);
    if (r >= 0 && o.is_check)
        r = check(&o, &p, &out, &status, &e);
    else if (r >= 0 && o.is_apply)
        r = apply(&o, &p, &out, &status, &e);
    else if (r >= 0)
        r = show(&o, &p, &status, &e);
    if (r < 0)
        status = cli_fail("install containerd", &e, GUEST_EXIT_WHERRY);
    else if (out.len && cli_print(&out))
        status = GUEST_EXIT_WHERRY;
    plan_done(&p);
    options_done(&command_install_containerd, &o);
    return status;
}

static int uninstall(const struct install_options *o, const struct plan *p, struct buf *out,
                     struct err *e)
{
    unsigned shims = running_count(WHERRY_SHIM);

    if (!p->is_there) {
        buf_addf(out, "There is no %s: nothing to do.\n", p->path);
        return 0;
    }
    if (shims)
        log_warn("%u processes %s run: remove the pods of the runtime before containerd restarts, "
                 "or it cannot remove them",
                 shims, WHERRY_SHIM);
    if (!o->is_apply) {
        buf_addf(out, "Would remove %s; to do so: wherry uninstall containerd --apply\n", p->path);
        return 0;
    }
    if (unlink(p->path) < 0) {
        err_errno(e, -errno, "RemoveFailed", "cannot remove '%s'", p->path);
        return root_say("uninstall", e);
    }
    if (containerd_drop_in_has_made_dir(buf_str(&p->old)))
        rmdir(p->dir); /* stays when others use it now */
    buf_addf(out, "Removed %s. Then let containerd see it:\n  %s\n", p->path, p->place->restart);
    return 0;
}

int uninstall_containerd(int argc, char *const *argv)
{
    struct install_options o = {0};
    struct plan p = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_uninstall_containerd, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = 0;
    if (runtime_check(o.runtime, &e) < 0 || places_find(&o, &p, &e) < 0 ||
        uninstall(&o, &p, &out, &e) < 0)
        status = cli_fail("uninstall containerd", &e, GUEST_EXIT_WHERRY);
    else if (cli_print(&out))
        status = GUEST_EXIT_WHERRY;
    plan_done(&p);
    options_done(&command_uninstall_containerd, &o);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/container.h"

#include "base/fds.h"
#include "base/paths.h"
#include "image/confine.h"
#include "image/layers.h"
#include "image/rootfs.h"
#include "store/layout.h"

#define FOLDER_LIMIT 32 /* of PATH, that are looked into */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define GIB          (1LL << 30)
#define CPU_LIMIT_S  120
#define MEMORY_LIMIT                                                                               \
    (768u << 20) /* names of a million files, and zstd's window of 128 MiB twice                   \
                  */
#define PROGRAM_LIMIT (1 * GIB)

static const struct layers_limits limits = {
    .program_bytes = PROGRAM_LIMIT,
    .content_bytes = 8 * GIB,
    .free_bytes = 64 << 20,
    .ratio = 200,
};

/* ---- The entry point ---- */

static void path_folders_add(const struct container_config *c, const char *name, struct strv *ret)
{
    const char *at = DEFAULT_PATH;

    for (size_t i = 0; i < c->env.n; i++)
        if (str_starts(c->env.v[i], "PATH="))
            at = c->env.v[i] + strlen("PATH=");
    for (size_t n = 0; *at && n < FOLDER_LIMIT; n++) {
        size_t len = strcspn(at, ":");

        if (*at == '/' && len <= ROOTFS_NAME_LIMIT)
            strv_addf(ret, "%.*s/%s", (int)len, at, name);
        at += len + (at[len] == ':');
    }
}

int container_paths(const struct container_config *c, const struct image_wasm *said,
                    struct strv *ret, struct err *e)
{
    autofree char *name = container_program_file(c);
    const char *ending = strrchr(name, '.');
    const char *folder = c->working_dir ? c->working_dir : "";

    if (!*name)
        return err_set(e, -ENOEXEC, "NotRunnable", "its config names no entry point");
    if (strlen(name) > ROOTFS_NAME_LIMIT)
        return err_set(e, -ENOEXEC, "NotRunnable", "its entry point has a name that is too long");
    if (!image_architecture_is_wasm(c->architecture) && !image_wasm_is_said(said) &&
        !(ending && str_eq(ending, ".wasm")))
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "it is a container for %.32s/%.32s: its entry point '%.128s' is no .wasm",
                       c->os ? c->os : "?", c->architecture ? c->architecture : "?", name);
    if (*name == '/')
        strv_add(ret, name);
    else
        strv_addf(ret, "/%s/%s", folder, name);
    if (!strchr(name, '/'))
        path_folders_add(c, name, ret);
    return 0;
}

/* ---- From layers to a blob ---- */

struct unpacking {
    struct layers layers; /* `layers.fds` is `fds` */
    int *fds;             /* the last is the program's */
    struct confine_watch watch;
};

static void unpacking_done(struct unpacking *u)
{
    for (size_t i = 0; i < u->layers.n + 1; i++)
        if (u->fds[i] >= 0)
            close(u->fds[i]);
    free(u->fds);
    free((void *)(uintptr_t)u->layers.diff_ids);
    strv_done(&u->layers.paths);
}

static int diff_ids_parse(const struct strv *texts, struct digest *ret, struct err *e)
{
    for (size_t i = 0; i < texts->n; i++)
        if (digest_parse(texts->v[i], &ret[i], e) < 0) {
            e->reason = "BadImage";
            return err_prefix(e, "the image's config (diff_ids)");
        }
    return 0;
}

static int layers_open(int dirfd, const struct image_document *m, struct unpacking *u,
                       struct err *e)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        TRY(layout_blob_open(dirfd, &m->layers[i], &u->fds[i], e));
        TRY(fd_move_above(&u->fds[i], STDERR_FILENO + 1, e));
    }
    return 0;
}

static int extract(void *ctx, struct err *e)
{
    struct unpacking *u = ctx;

    return layers_program_extract(&u->layers, u->fds[u->layers.n], e);
}

static int extract_confined(struct unpacking *u, struct err *e)
{
    struct layers_locale locale;
    struct confine c = {
        .what = "the layers of the image",
        .limits = {.cpu_s = CPU_LIMIT_S,
                   .memory_bytes = MEMORY_LIMIT,
                   .output_bytes = PROGRAM_LIMIT},
        .fds = u->fds,
        .n_fds = u->layers.n + 1,
        .reasons = layers_reasons,
        .run = extract,
        .ctx = u,
        .watch = u->watch,
    };
    int r;

    TRY(layers_locale_begin(&locale, e));
    r = confine_run(&c, e);
    layers_locale_done(&locale);
    return r;
}

static int unpack(struct images *s, int dirfd, const struct image_document *m,
                  const struct container_config *config, struct unpacking *u, struct digest *ret,
                  int64_t *ret_size, struct err *e)
{
    struct digest *diff_ids = xcalloc(m->n_layers, sizeof(*diff_ids));

    u->layers.diff_ids = diff_ids;
    TRY(container_paths(config, &m->wasm, &u->layers.paths, e));
    if (config->diff_ids.n != m->n_layers)
        return err_set(e, -EINVAL, "BadImage",
                       "the image has %zu layers, and its config tells of %zu (diff_ids)",
                       m->n_layers, config->diff_ids.n);
    TRY(diff_ids_parse(&config->diff_ids, diff_ids, e));
    TRY(layers_open(dirfd, m, u, e));
    TRY(images_file_open(s, &u->fds[m->n_layers], e));
    TRY(fd_move_above(&u->fds[m->n_layers], STDERR_FILENO + 1, e));
    TRY(extract_confined(u, e));
    return images_file_add(s, u->fds[m->n_layers], ret, ret_size, e);
}

int container_command_read(int dirfd, const struct image_document *manifest,
                           struct guest_command *ret, struct err *e)
{
    __attribute__((cleanup(container_config_done))) struct container_config config = {0};
    autobuf text = BUF_INIT;

    TRY(layout_text_read(dirfd, &manifest->config, &text, e));
    TRY(container_config_decode(&text, &config, e));
    container_command(&config, ret);
    return 0;
}

int container_program_store(struct images *s, int dirfd, const struct image_document *manifest,
                            const struct digest *manifest_digest, struct confine_watch watch,
                            struct digest *ret, int64_t *ret_size, struct err *e)
{
    __attribute__((cleanup(container_config_done))) struct container_config config = {0};
    __attribute__((cleanup(unpacking_done))) struct unpacking u = {.watch = watch};
    autobuf text = BUF_INIT;

    u.fds = xcalloc(manifest->n_layers + 1, sizeof(*u.fds));
    for (size_t i = 0; i < manifest->n_layers + 1; i++)
        u.fds[i] = -EBADF;
    u.layers = (struct layers){.fds = u.fds, .n = manifest->n_layers, .limits = limits};
    if (images_program_find(s, manifest_digest, ret, ret_size))
        return 0;
    if (manifest->n_layers > CONTAINER_LAYER_LIMIT)
        return err_set(e, -EINVAL, "BadImage", "the image has more than %d layers",
                       CONTAINER_LAYER_LIMIT);
    TRY(layout_text_read(dirfd, &manifest->config, &text, e));
    TRY(container_config_decode(&text, &config, e));
    TRY(unpack(s, dirfd, manifest, &config, &u, ret, ret_size, e));
    return images_program_note(s, manifest_digest, ret, e);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image.h"

#include <signal.h>
#include <stdio.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/json.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "cli/system.h"
#include "store/collect.h"

int image_exit_for(const struct err *e)
{
    static const char *const reasons[] = {
        "NotFound",        "Unauthorized", "TooManyRequests", "RegistryFailed", "BadImage",
        "DigestMismatch",  "Unreachable",  "TlsFailed",       "Stalled",        "CutOff",
        "BadResponse",     "TooLarge",     "NotRunnable",     "BadChallenge",   "BadJson",
        "CpuLimit",        "MemoryLimit",  "OutputLimit",     "ForbiddenCall",  "ReaderDied",
        "RegistryBlocked", "ProxyRefused",
    };

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq(e->reason, reasons[i]))
            return 1;
    return GUEST_EXIT_WHERRY;
}

int image_registries_read(struct registries *ret, struct err *e)
{
    TRY(registries_read(ret, e));
    for (size_t i = 0; i < ret->warnings.n; i++)
        log_warn("%s", ret->warnings.v[i]);
    return 0;
}

int image_store_open(struct images **ret, struct err *e)
{
    autofree char *dir = NULL;

    TRY(paths_images_dir(&dir, e));
    return images_open(dir, ret, e);
}

/* ---- pull ---- */

/* By the policy, in podman's words: 1 when the image that is here will do, 0 when the registry
 * is to be asked. */
static int pull_spared(const struct image_pull_options *o, struct images *images,
                       const struct registries *registries, const char *text, struct image *ret,
                       struct err *e)
{
    int r;

    if (!o->policy || str_eq(o->policy, "always"))
        return 0;
    r = image_stored_find(images, registries, text, ret, e);
    if (r != -ENOENT)
        return r < 0 ? r : 1;
    if (str_eq(o->policy, "never"))
        return err_set(e, -ENOENT, "NotFound",
                       "the image '%s' is not on this machine, and --policy is never; to fetch it: "
                       "wherry pull %s",
                       text, text);
    *e = ERR_INIT;
    return 0;
}

static int pull(const struct image_pull_options *o, const char *text, struct err *e)
{
    __attribute__((cleanup(image_done))) struct image image = {0};
    AUTO(images) images = NULL;
    AUTO(image_progress) progress = NULL;
    autoregistries registries = {0};
    autostrv names = STRV_INIT;
    struct pull_options p = {
        .registry = {.authfile = o->authfile,
                     .is_plain_http = o->is_plain_http,
                     .is_insecure = o->is_insecure,
                     .stall_ms = (unsigned)o->stall_ms.value,
                     .registries = &registries},
        .progress = image_progress_tell,
        .unpacking = image_progress_unpacking,
    };
    char digest[DIGEST_TEXT_SIZE];
    autobuf out = BUF_INIT;
    int is_spared;

    TRY(image_registries_read(&registries, e));
    TRY(registries_names(&registries, text, NAMES_TO_FETCH, &names, e));
    TRY(image_store_open(&images, e));
    TRY(is_spared = pull_spared(o, images, &registries, text, &image, e));
    progress = image_progress_new("pulling", o->is_quiet);
    p.ctx = progress;
    if (!is_spared)
        TRY(image_pull(images, &names, &p, &image, e));
    if (!o->is_uncompiled)
        image_compile(image.name, &(struct image_compile_options){.cache_dir = o->cache_dir,
                                                                  .is_quiet = o->is_quiet,
                                                                  .verbosity = o->verbosity});
    system_retain(images, image.name);
    digest_format(&image.manifest, digest);
    buf_addf(&out, "%s", image.name);
    if (!strchr(image.name, '@'))
        buf_addf(&out, "@%s", digest);
    buf_addc(&out, '\n');
    return cli_print(&out) ? -EIO : 0;
}

static int image_pull_command(int argc, char *const *argv)
{
    struct image_pull_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_pull, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    log_level_set((enum log_level)(LOG_LEVEL_WARN + (unsigned)o.verbosity));
    status = 0;
    if (pull(&o, operands.v[0], &e) < 0)
        status = e.code ? cli_fail("pull", &e, image_exit_for(&e)) : GUEST_EXIT_WHERRY;
    options_done(&command_pull, &o);
    return status;
}

/* ---- images ---- */

struct list {
    struct buf out;
    struct json_writer *json; /* NULL: text */
    size_t n;
};

static int list_image(void *ctx, const struct image *i, struct err *e)
{
    struct list *l = ctx;
    char digest[DIGEST_TEXT_SIZE], size[SIZE_TEXT_SIZE] = "-", fetched[CLOCK_RFC3339_SIZE];

    (void)e;
    digest_format(&i->manifest, digest);
    clock_rfc3339_format(i->fetched_at_ns, fetched);
    if (i->program)
        size_bytes_format((uint64_t)i->program_size, size);
    l->n++;
    if (!l->json) {
        buf_addf(&l->out, "%-56s  %.19s  %10s  %s\n", i->name, digest, size, fetched);
        return 0;
    }
    json_begin_object(l->json);
    json_key_str(l->json, "name", i->name);
    json_key_str(l->json, "digest", digest);
    json_key_str(l->json, "mediaType", i->manifest_type);
    json_key_str(l->json, "program", i->program);
    json_key_int(l->json, "programBytes", i->program_size);
    json_key_str(l->json, "fetchedAt", fetched);
    json_end_object(l->json);
    return 0;
}

static int list(const struct images_options *o, struct err *e)
{
    AUTO(images) images = NULL;
    struct json_writer w;
    struct list l = {.out = BUF_INIT};
    int r;

    TRY(image_store_open(&images, e));
    if (str_eq(o->output, "json")) {
        json_writer_init(&w, &l.out, true);
        json_begin_array(&w);
        l.json = &w;
    } else {
        buf_addf(&l.out, "%-56s  %-19s  %10s  %s\n", "NAME", "DIGEST", "PROGRAM", "FETCHED");
    }
    r = images_list(images, list_image, &l, e);
    if (r >= 0 && l.json) {
        json_end_array(&w);
        r = json_writer_finish(&w, e);
    }
    if (r >= 0 && cli_print(&l.out))
        r = -EIO;
    buf_done(&l.out);
    return r;
}

static int image_images_command(int argc, char *const *argv)
{
    struct images_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_images, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = 0;
    if (list(&o, &e) < 0)
        status = e.code ? cli_fail("images", &e, image_exit_for(&e)) : GUEST_EXIT_WHERRY;
    options_done(&command_images, &o);
    return status;
}

/* ---- What a name stands for here ---- */

/* Tries what the text may stand for in turn, until one is there (1). */
static int stored_try(const struct registries *registries, const char *text,
                      int (*try)(void *ctx, const struct reference *r, struct err *e), void *ctx,
                      struct err *e)
{
    autostrv names = STRV_INIT;

    TRY(registries_names(registries, text, NAMES_STORED, &names, e));
    for (size_t i = 0; i < names.n; i++) {
        __attribute__((cleanup(reference_done))) struct reference r = {0};
        int found;

        TRY(reference_parse(names.v[i], &r, e));
        TRY(found = try(ctx, &r, e));
        if (found)
            return 0;
    }
    return err_set(e, -ENOENT, "NotFound", "there is no image '%s'; see 'wherry images'", text);
}

struct finding {
    struct images *images;
    struct image *ret;
};

static int try_find(void *ctx, const struct reference *r, struct err *e)
{
    const struct finding *f = ctx;

    return images_find(f->images, r, f->ret, e);
}

int image_stored_find(struct images *images, const struct registries *registries, const char *text,
                      struct image *ret, struct err *e)
{
    return stored_try(registries, text, try_find, &(struct finding){images, ret}, e);
}

/* ---- tag ---- */

static int tag(const char *from, const char *to, struct err *e)
{
    autoregistries registries = {0};
    __attribute__((cleanup(reference_done))) struct reference target = {0};
    __attribute__((cleanup(image_done))) struct image image = {0};
    AUTO(images) images = NULL;

    TRY(image_registries_read(&registries, e));
    TRY(reference_parse(to, &target, e));
    TRY(image_store_open(&images, e));
    TRY(image_stored_find(images, &registries, from, &image, e));
    if (target.has_digest && memcmp(&target.digest, &image.manifest, sizeof(image.manifest)) != 0)
        return err_set(e, -EINVAL, "BadReference", "'%s' has another digest", from);
    TRY(images_lease(images, &image, e)); /* 'from' may be removed meanwhile */
    return images_name(images, &target, &image, e);
}

static int image_tag_command(int argc, char *const *argv)
{
    struct plain_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_tag, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    return tag(operands.v[0], operands.v[1], &e) < 0 ? cli_fail("tag", &e, image_exit_for(&e)) : 0;
}

/* ---- rmi ---- */

static void tell_removed(void *ctx, enum collected what, const char *name, int64_t bytes)
{
    (void)ctx;
    (void)bytes;
    printf("%s: %s\n", what == COLLECTED_NAME ? "Untagged" : "Deleted", name);
}

static int try_unname(void *ctx, const struct reference *r, struct err *e)
{
    return collector_unname(ctx, r, e);
}

static int image_rmi_command(int argc, char *const *argv)
{
    struct plain_options o = {0};
    autostrv operands = STRV_INIT;
    autoregistries registries = {0};
    AUTO(images) images = NULL;
    AUTO(collector) collector = NULL; /* goes first */
    struct err e = ERR_INIT;
    int status = cli_parse(&command_rmi, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (image_registries_read(&registries, &e) < 0 || image_store_open(&images, &e) < 0 ||
        collector_open(images, &(struct collect_options){.removed = tell_removed}, true, &collector,
                       &e) < 0)
        return cli_fail("rmi", &e, image_exit_for(&e));
    status = 0;
    for (size_t i = 0; i < operands.n; i++) {
        e = ERR_INIT;
        if (stored_try(&registries, operands.v[i], try_unname, collector, &e) < 0)
            status = cli_fail("rmi", &e, image_exit_for(&e));
    }
    e = ERR_INIT;
    if (collector_sweep(collector, &e) < 0)
        log_warn("rmi: the names are removed, their blobs are not: %s", e.msg);
    return status;
}

/* What a daemon has fetched is of no use to anybody when it has gone. */
static void parent_mind(void)
{
    const char *parent = getenv(IMAGES_PARENT_VARIABLE);

    if (!parent)
        return;
    if (!child_end_with((pid_t)strtol(parent, NULL, 10), SIGTERM))
        _exit(GUEST_EXIT_WHERRY);
    unsetenv(IMAGES_PARENT_VARIABLE);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char *const *argv);
    } commands[] = {
        {"pull",               image_pull_command    },
        {"push",               image_push_command    },
        {"images",             image_images_command  },
        {"image",              image_describe_command},
        {"save",               image_save_command    },
        {"load",               image_load_command    },
        {IMAGE_UNPACK_LAYOUT,  image_unpack_command  },
        {IMAGE_UNPACK_ARCHIVE, image_unpack_command  },
        {"tag",                image_tag_command     },
        {"rmi",                image_rmi_command     },
        {"login",              image_login           },
        {"logout",             image_logout          },
        {"system",             image_system          },
    };

    parent_mind();
    /* Every blob that is added or found is open until the end, as its lease: a large archive has
     * thousands. */
    fds_make_room(64);
    for (size_t i = 0; argc && i < ARRAY_SIZE(commands); i++)
        if (str_eq(path_base(argv[0]), commands[i].name))
            return commands[i].run(argc, argv);
    log_error("wherry-image is not a command; see 'wherry help'");
    return GUEST_EXIT_WHERRY;
}

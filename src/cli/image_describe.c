/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "guest/command.h"
#include "image/describe.h"
#include "image/remote.h"

#define ANNOTATIONS_LIMIT (4u << 20)
#define CREATED_SIZE      32
#define COMMAND_WIDTH     44 /* of the column of history, as docker has it */

/* All that is known of one image. */
struct shown {
    bool is_remote;
    struct image_remote of; /* of one of this machine only `image` and `d` are filled */
    struct strv names;      /* that lead to it */
    struct image_program program;
    bool has_program;
    char digest[DIGEST_TEXT_SIZE], fetched[CLOCK_RFC3339_SIZE];
};

static void shown_done(struct shown *s)
{
    image_remote_done(&s->of);
    image_program_done(&s->program);
    strv_done(&s->names);
}

/* ---- Finding ---- */

static int name_add(void *ctx, const struct image *i, struct err *e)
{
    struct shown *s = ctx;

    (void)e;
    if (!memcmp(&i->manifest, &s->of.image.manifest, sizeof(i->manifest)))
        strv_add(&s->names, i->name);
    return 0;
}

static int shown_find(struct images *images, const struct registries *registries, const char *name,
                      struct shown *ret, struct err *e)
{
    TRY(image_stored_find(images, registries, name, &ret->of.image, e));
    digest_format(&ret->of.image.manifest, ret->digest);
    clock_rfc3339_format(ret->of.image.fetched_at_ns, ret->fetched);
    return image_describe(images, &ret->of.image, &ret->of.d, e);
}

static int shown_fetch(const struct image_describe_options *o, const struct registries *registries,
                       const char *name, struct shown *ret, struct err *e)
{
    struct registry_options r = {.authfile = o->authfile,
                                 .is_plain_http = o->is_plain_http,
                                 .is_insecure = o->is_insecure,
                                 .stall_ms = (unsigned)o->stall_ms.value,
                                 .registries = registries};
    autostrv names = STRV_INIT;

    TRY(registries_names(registries, name, NAMES_TO_FETCH, &names, e));
    TRY(image_remote_describe(&names, &r, &ret->of, e));
    ret->is_remote = true;
    digest_format(&ret->of.image.manifest, ret->digest);
    strv_add(&ret->names, ret->of.image.name);
    return 0;
}

/* What `wherry inspect` cannot make anything of, it says itself; the rest is shown all the same. */
static void program_find(struct shown *s)
{
    autofree char *name = xasprintf("docker://%s", s->of.image.name);
    struct err e = ERR_INIT;

    s->has_program = s->of.image.program && image_program_inspect(name, &s->program, &e) >= 0;
}

/* Sizes are what somebody says they are. */
static void size_add(int64_t *sum, int64_t size)
{
    if (size < 0 || __builtin_add_overflow(*sum, size, sum))
        *sum = INT64_MAX;
}

/* What a pull fetches, each blob once, unless some of it is here. */
static int64_t bytes_to_fetch(const struct shown *s)
{
    const struct image_description *d = &s->of.d;
    int64_t sum = s->of.image.manifest_size;
    autostrv seen = STRV_INIT;

    size_add(&sum, d->config.size);
    for (size_t i = 0; i < d->n_layers; i++) {
        if (strv_contains(&seen, d->layers[i].digest))
            continue;
        strv_add(&seen, d->layers[i].digest);
        size_add(&sum, d->layers[i].size);
    }
    return sum;
}

/* Whether it is the one of the index that is shown. */
static bool is_taken(const struct shown *s, const struct image_platform *p)
{
    return !s->of.problem && str_eq(p->part.digest, s->digest);
}

/* ---- inspect, as JSON ---- */

static void raw_key(struct json_writer *w, const char *key, const char *json)
{
    if (!json)
        return;
    json_key(w, key);
    json_raw(w, json, strlen(json));
}

static void text_key(struct json_writer *w, const char *key, const char *text)
{
    if (text)
        json_key_str(w, key, text);
}

static void part_json_members(struct json_writer *w, const struct image_part *p)
{
    text_key(w, "mediaType", p->media_type);
    json_key_str(w, "digest", p->digest);
    json_key_int(w, "size", p->size);
    raw_key(w, "annotations", p->annotations);
}

static void part_json(struct json_writer *w, const struct image_part *p, const char *content)
{
    json_begin_object(w);
    part_json_members(w, p);
    raw_key(w, "content", content);
    json_end_object(w);
}

static void program_json(struct json_writer *w, const struct shown *s)
{
    json_key(w, "program");
    json_begin_object(w);
    json_key_str(w, "digest", s->of.image.program);
    json_key_int(w, "size", s->of.image.program_size);
    if (s->has_program) {
        json_key_str(w, "contract", s->program.contract);
        json_key_str(w, "reason", s->program.reason);
        raw_key(w, "command", s->program.command);
    }
    if (s->has_program && s->program.is_compiled_known) {
        json_key(w, "compiled");
        json_begin_object(w);
        json_key_bool(w, "run", s->program.is_compiled_for_run);
        json_key_bool(w, "serve", s->program.is_compiled_for_serve);
        json_end_object(w);
    }
    json_end_object(w);
}

static void platform_json(struct json_writer *w, const char *os, const char *architecture,
                          const char *variant)
{
    json_key(w, "platform");
    json_begin_object(w);
    text_key(w, "os", os);
    text_key(w, "architecture", architecture);
    text_key(w, "variant", variant);
    json_end_object(w);
}

static void index_json(struct json_writer *w, const struct shown *s)
{
    const struct image_platforms *all = &s->of.platforms;

    json_key(w, "index");
    json_begin_object(w);
    text_key(w, "mediaType", s->of.index_type);
    json_key_str(w, "digest", s->of.image.index);
    json_key_int(w, "size", s->of.index_size);
    raw_key(w, "annotations", all->annotations);
    text_key(w, "problem", s->of.problem);
    json_key(w, "manifests");
    json_begin_array(w);
    for (size_t i = 0; i < all->n; i++) {
        const struct image_platform *p = &all->v[i];

        json_begin_object(w);
        part_json_members(w, &p->part);
        platform_json(w, p->os, p->architecture, p->variant);
        json_key_bool(w, "pulled", is_taken(s, p));
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static void world_json(struct json_writer *w, const struct image_world *world)
{
    json_key(w, "component");
    json_begin_object(w);
    json_key_strings(w, "exports", &world->exports);
    json_key_strings(w, "imports", &world->imports);
    text_key(w, "target", world->target);
    json_end_object(w);
}

static bool has_world(const struct image_description *d)
{
    return d->component.exports.n || d->component.imports.n || d->component.target;
}

static void manifest_json(struct json_writer *w, const struct shown *s)
{
    const struct image_description *d = &s->of.d;

    json_key_str(w, "digest", s->digest);
    json_key_str(w, "mediaType", s->of.image.manifest_type);
    text_key(w, "artifactType", d->artifact_type);
    json_key_int(w, "size", s->of.image.manifest_size);
    if (s->is_remote) {
        json_key_int(w, "downloadBytes", bytes_to_fetch(s));
    } else {
        json_key_int(w, "diskBytes", d->disk_bytes);
        json_key_str(w, "fetchedAt", s->fetched);
    }
    text_key(w, "created", d->created);
    text_key(w, "author", d->author);
    platform_json(w, d->os, d->architecture, NULL);
    raw_key(w, "annotations", d->annotations);
    if (d->config.digest) {
        json_key(w, "config");
        part_json(w, &d->config, d->config_text);
    }
    json_key(w, "layers");
    json_begin_array(w);
    for (size_t i = 0; i < d->n_layers; i++)
        part_json(w, &d->layers[i], NULL);
    json_end_array(w);
    if (has_world(d))
        world_json(w, &d->component);
    if (s->of.image.program)
        program_json(w, s);
}

static void inspect_json(struct json_writer *w, const struct shown *s)
{
    json_begin_object(w);
    json_key_strings(w, "names", &s->names);
    if (s->of.platforms.n)
        index_json(w, s);
    if (!s->of.problem)
        manifest_json(w, s);
    json_end_object(w);
}

/* ---- inspect, as text ---- */

static void line(struct buf *out, const char *key, const char *value)
{
    if (value)
        buf_addf(out, "%-12s %s\n", key, value);
}

static void lines(struct buf *out, const char *key, const struct strv *values)
{
    for (size_t i = 0; i < values->n; i++)
        line(out, i ? "" : key, values->v[i]);
}

static void annotations_text(struct buf *out, const char *key, const char *json)
{
    struct json_limits limits = {.bytes = ANNOTATIONS_LIMIT, .depth = 2};
    struct json_members members = {0};
    struct err ignored = ERR_INIT;

    if (!json || json_members_decode(json, strlen(json), limits, &members, &ignored) < 0)
        return;
    for (size_t i = 0; i < members.n; i++)
        buf_addf(out, "%-12s %s = %.*s\n", i ? "" : key, members.v[i].key, (int)members.v[i].len,
                 members.v[i].value);
    json_members_done(&members);
}

static void part_text(struct buf *out, const char *key, const struct image_part *p)
{
    char size[SIZE_TEXT_SIZE];

    size_bytes_format((uint64_t)p->size, size);
    buf_addf(out, "%-12s %s  %s  %s\n", key, p->digest, size, p->media_type ? p->media_type : "-");
    annotations_text(out, "", p->annotations);
}

static void program_text(struct buf *out, const struct image_program *p)
{
    __attribute__((cleanup(guest_command_done))) struct guest_command command = {0};
    struct err ignored = ERR_INIT;

    buf_addf(out, "%-12s %s: %s\n", "Contract:", p->contract, p->reason);
    if (p->is_compiled_known)
        buf_addf(out, "%-12s %s%s%s%s\n", "Compiled:", p->is_compiled_for_run ? "for run" : "",
                 p->is_compiled_for_run && p->is_compiled_for_serve ? ", " : "",
                 p->is_compiled_for_serve ? "for serve" : "",
                 p->is_compiled_for_run || p->is_compiled_for_serve ? "" : "not yet");
    if (p->command && guest_command_decode(p->command, strlen(p->command), &command, &ignored) >= 0)
        guest_command_describe(&command, 12, out);
}

static char *platform_of(const char *os, const char *architecture, const char *variant)
{
    return xasprintf("%s/%s%s%s", os ? os : "?", architecture ? architecture : "?",
                     variant ? "/" : "", variant ? variant : "");
}

static void index_text(struct buf *out, const struct shown *s)
{
    const struct image_platforms *all = &s->of.platforms;

    line(out, "Index:", s->of.image.index);
    line(out, "Type:", s->of.index_type);
    annotations_text(out, "Annotations:", all->annotations);
    for (size_t i = 0; i < all->n; i++) {
        const struct image_platform *p = &all->v[i];
        autofree char *platform = platform_of(p->os, p->architecture, p->variant);

        buf_addf(out, "%-12s %s  %s%s\n", i ? "" : "Platforms:", p->part.digest, platform,
                 is_taken(s, p) ? "  (shown here, and what a pull takes)" : "");
    }
    line(out, "Pull:", s->of.problem);
}

static void manifest_text(struct buf *out, const struct shown *s)
{
    const struct image_description *d = &s->of.d;
    autofree char *platform = platform_of(d->os, d->architecture, NULL);
    char size[SIZE_TEXT_SIZE];

    size_bytes_format((uint64_t)(s->is_remote ? bytes_to_fetch(s) : d->disk_bytes), size);
    line(out, "Digest:", s->digest);
    line(out, "Type:", s->of.image.manifest_type);
    line(out, "Artifact:", d->artifact_type);
    line(out, "Platform:", d->os || d->architecture ? platform : NULL);
    line(out, "Created:", d->created);
    line(out, "Author:", d->author);
    line(out, "Fetched:", s->is_remote ? NULL : s->fetched);
    line(out, s->is_remote ? "To fetch:" : "On disk:", size);
    annotations_text(out, "Annotations:", d->annotations);
    if (d->config.digest)
        part_text(out, "Config:", &d->config);
    for (size_t i = 0; i < d->n_layers; i++)
        part_text(out, i ? "" : "Layers:", &d->layers[i]);
    lines(out, "Exports:", &d->component.exports);
    lines(out, "Imports:", &d->component.imports);
    line(out, "Target:", d->component.target);
    line(out, "Program:", s->of.image.program ? s->of.image.program : s->is_remote ? NULL : "none");
    if (s->has_program)
        program_text(out, &s->program);
}

static void inspect_text(struct buf *out, const struct shown *s)
{
    lines(out, "Names:", &s->names);
    if (s->of.platforms.n)
        index_text(out, s);
    if (!s->of.problem)
        manifest_text(out, s);
}

/* ---- history ---- */

static void step_json(struct json_writer *w, const struct image_step *s)
{
    json_begin_object(w);
    text_key(w, "created", s->created);
    text_key(w, "createdBy", s->created_by);
    text_key(w, "comment", s->comment);
    json_key_bool(w, "emptyLayer", s->is_empty);
    json_key_int(w, "size", s->layer ? s->layer->size : 0);
    if (s->layer) {
        json_key_str(w, "digest", s->layer->digest);
        text_key(w, "mediaType", s->layer->media_type);
    }
    json_end_object(w);
}

/* One line of text: what a builder ran may have been several. */
static void column_add(struct buf *out, const char *text, bool is_whole)
{
    size_t start = out->len, shown = strlen(text);

    if (!is_whole && shown > COMMAND_WIDTH) {
        for (shown = COMMAND_WIDTH - 3; shown && ((unsigned char)text[shown] & 0xc0) == 0x80;)
            shown--; /* not in the middle of a character */
        buf_addf(out, "%.*s...", (int)shown, text);
    } else {
        buf_addstr(out, text);
    }
    for (char *c = out->data + start; c < out->data + out->len; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    while (out->len - start < COMMAND_WIDTH)
        buf_addc(out, ' ');
}

/* Without its fraction of a second. */
static void created_format(const char *created, char ret[static CREATED_SIZE])
{
    size_t n = created ? strcspn(created, ".Z") : 0;

    if (!n)
        snprintf(ret, CREATED_SIZE, "-");
    else
        snprintf(ret, CREATED_SIZE, "%.*s%s", (int)n, created,
                 created[strlen(created) - 1] == 'Z' ? "Z" : "");
}

static void step_text(struct buf *out, const struct image_step *s, bool is_whole)
{
    const char *by = s->created_by                      ? s->created_by
                     : s->layer && s->layer->media_type ? s->layer->media_type
                                                        : "-";
    char size[SIZE_TEXT_SIZE] = "0 B", created[CREATED_SIZE];

    if (s->layer)
        size_bytes_format((uint64_t)s->layer->size, size);
    created_format(s->created, created);
    buf_addf(out, "%-19.19s  %-20s  ", s->layer ? s->layer->digest : "-", created);
    column_add(out, by, is_whole);
    buf_addf(out, "  %10s  ", size);
    column_add(out, s->comment ? s->comment : "", is_whole);
    while (out->len && out->data[out->len - 1] == ' ')
        out->data[--out->len] = 0;
    buf_addc(out, '\n');
}

static void history_out(struct buf *out, struct json_writer *w, const struct shown *s,
                        bool is_whole)
{
    if (w) {
        json_begin_object(w);
        json_key_str(w, "name", s->of.image.name);
        json_key_str(w, "digest", s->digest);
        json_key(w, "history");
        json_begin_array(w);
    } else {
        buf_addf(out, "%-19s  %-20s  %-*s  %10s  %s\n", "LAYER", "CREATED", COMMAND_WIDTH,
                 "CREATED BY", "SIZE", "COMMENT");
    }
    for (size_t i = s->of.d.n_history; i-- > 0;)
        if (w)
            step_json(w, &s->of.d.history[i]);
        else
            step_text(out, &s->of.d.history[i], is_whole);
    if (w) {
        json_end_array(w);
        json_end_object(w);
    }
}

/* ---- The command ---- */

/* Where images are looked for. */
struct source {
    const struct image_describe_options *o;
    struct registries registries;
    struct images *images; /* NULL: in registries */
};

static void source_done(struct source *s)
{
    registries_done(&s->registries);
    if (s->images)
        images_free(s->images);
}

static int one(const struct source *from, const char *action, const char *name, struct buf *out,
               struct json_writer *w, struct err *e)
{
    __attribute__((cleanup(shown_done))) struct shown s = {0};

    if (from->images)
        TRY(shown_find(from->images, &from->registries, name, &s, e));
    else
        TRY(shown_fetch(from->o, &from->registries, name, &s, e));
    if (str_eq(action, "history") && s.of.problem)
        return err_set(e, -ENOEXEC, "NotRunnable", "%s: %s", s.of.image.name, s.of.problem);
    if (str_eq(action, "history")) {
        history_out(out, w, &s, from->o->is_whole);
        return 0;
    }
    if (from->images) {
        TRY(images_list(from->images, name_add, &s, e));
        program_find(&s);
    }
    if (w)
        inspect_json(w, &s);
    else
        inspect_text(out, &s);
    return 0;
}

static int describe(const struct image_describe_options *o, const struct strv *operands,
                    struct err *e)
{
    bool is_json = str_eq(o->output, "json");
    const char *action = operands->v[0];
    __attribute__((cleanup(source_done))) struct source from = {.o = o};
    autobuf out = BUF_INIT;
    struct json_writer w;
    int status = 0;

    if (!str_eq(action, "inspect") && !str_eq(action, "history"))
        return err_set(e, -EINVAL, "BadUsage", "'%s' is neither 'inspect' nor 'history'", action);
    if (!o->is_remote && (o->authfile || o->is_plain_http || o->is_insecure || o->stall_ms.is_set))
        return err_set(e, -EINVAL, "BadUsage",
                       "--authfile, --plain-http, --insecure and --stall-timeout are for --remote");
    TRY(image_registries_read(&from.registries, e));
    if (!o->is_remote)
        TRY(image_store_open(&from.images, e));
    json_writer_init(&w, &out, true);
    if (is_json)
        json_begin_array(&w);
    for (size_t i = 1; i < operands->n; i++) {
        struct err why = ERR_INIT;

        if (!is_json && out.len)
            buf_addc(&out, '\n');
        if (one(&from, action, operands->v[i], &out, is_json ? &w : NULL, &why) < 0)
            status = cli_fail("image", &why, image_exit_for(&why));
    }
    if (is_json) {
        json_end_array(&w);
        TRY(json_writer_finish(&w, e));
    } else {
        text_mute(out.data, out.len, true); /* what an image says of itself */
    }
    return cli_print(&out) ? GUEST_EXIT_WHERRY : status;
}

int image_describe_command(int argc, char *const *argv)
{
    struct image_describe_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_image, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = describe(&o, &operands, &e);
    if (status < 0)
        status = cli_fail("image", &e, image_exit_for(&e));
    options_done(&command_image, &o);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The files below names/ of the image store: what they say, and which there are. */
#include <dirent.h>
#include <fcntl.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/json.h"
#include "store/manifest.h"
#include "store/store_folder.h"

#define RECORD_LIMIT_BYTES 4096
#define RECORD_DEPTH       2

struct record {
    struct image image;
    char *manifest;
};

#define TEXT(name_, member_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct record, member_),         \
        .limit = REFERENCE_LIMIT + DIGEST_TEXT_SIZE                                                \
    }
#define NUMBER(name_, member_)                                                                     \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct record, member_),          \
        .max = INT64_MAX                                                                           \
    }

static const struct json_field record_fields[] = {
    TEXT("name", image.name),
    TEXT("manifest", manifest),
    NUMBER("manifest_size", image.manifest_size),
    TEXT("manifest_type", image.manifest_type),
    TEXT("index", image.index),
    TEXT("program", image.program),
    NUMBER("program_size", image.program_size),
    TEXT("config", image.config),
    NUMBER("fetched_at_ns", image.fetched_at_ns),
    {0},
};

static int record_decode(const struct buf *text, const char *path, struct image *ret, struct err *e)
{
    struct json_limits limits = {.bytes = RECORD_LIMIT_BYTES, .depth = RECORD_DEPTH};
    struct record r = {0};
    struct digest other;
    int d = json_decode(text->data, text->len, limits, record_fields, 0, &r, e);

    if (d >= 0 && (!r.image.name || !r.manifest))
        d = err_set(e, -EINVAL, "BadImage", "something is missing in it");
    if (d >= 0)
        d = digest_parse(r.manifest, &r.image.manifest, e);
    if (d >= 0 && r.image.index)
        d = digest_parse(r.image.index, &other, e);
    if (d >= 0 && r.image.program)
        d = digest_parse(r.image.program, &other, e);
    if (d >= 0 && r.image.config && *r.image.config)
        d = digest_parse(r.image.config, &other, e);
    if (d < 0) {
        json_fields_done(record_fields, &r);
        e->reason = "BadImage";
        return err_prefix(e, "the image store's '%s' is damaged; pull the image again", path);
    }
    free(r.manifest);
    *ret = r.image;
    return 0;
}

int store_record_encode(const char *name, const struct image *i, struct buf *ret, struct err *e)
{
    char manifest[DIGEST_TEXT_SIZE];
    struct json_writer w;

    digest_format(&i->manifest, manifest);
    json_writer_init(&w, ret, true);
    json_begin_object(&w);
    json_key_str(&w, "name", name);
    json_key_str(&w, "manifest", manifest);
    json_key_int(&w, "manifest_size", i->manifest_size);
    if (i->manifest_type)
        json_key_str(&w, "manifest_type", i->manifest_type);
    if (i->index)
        json_key_str(&w, "index", i->index);
    if (i->program) {
        json_key_str(&w, "program", i->program);
        json_key_int(&w, "program_size", i->program_size);
        if (i->config)
            json_key_str(&w, "config", i->config);
    }
    json_key_int(&w, "fetched_at_ns", i->fetched_at_ns);
    json_end_object(&w);
    return json_writer_finish(&w, e);
}

int store_record_read(int dirfd, const char *path, struct image *ret, struct err *e)
{
    autobuf text = BUF_INIT;
    autofd fd = file_open_at(dirfd, path);

    if (fd == -ENOENT || fd == -ENOTDIR)
        return 0;
    if (fd < 0)
        return store_failed(e, fd, "open", path);
    if (fd_read_all(fd, RECORD_LIMIT_BYTES, &text, e) < 0) {
        e->reason = "BadImage";
        return err_prefix(e, "the image store's '%s' is damaged; pull the image again", path);
    }
    TRY(record_decode(&text, path, ret, e));
    return 1;
}

/* ---- What they lead to ---- */

static int digests_add(const char *text, struct digest **ret, size_t *ret_n, struct err *e)
{
    struct digest d;

    TRY(digest_parse(text, &d, e));
    *ret = xrealloc(*ret, *ret_n + 1, sizeof(**ret));
    (*ret)[(*ret_n)++] = d;
    return 0;
}

/* What the manifest lists. */
static int manifest_blobs(int dirfd, const struct image *i, struct digest **ret, size_t *ret_n,
                          struct err *e)
{
    char path[STORE_BLOB_PATH_SIZE];
    autodocument document = {0};
    autobuf text = BUF_INIT;

    store_blob_path("blobs/sha256/", &i->manifest, path);
    TRY(file_read_at(dirfd, path, IMAGE_DOCUMENT_LIMIT, &text, e));
    TRY(image_document_decode(&text, path, &document, e));
    if (document.config.digest)
        TRY(digests_add(document.config.digest, ret, ret_n, e));
    for (size_t l = 0; l < document.n_layers; l++)
        TRY(digests_add(document.layers[l].digest, ret, ret_n, e));
    return 0;
}

int store_image_blobs(int dirfd, const struct image *i, struct digest **ret, size_t *ret_n,
                      struct err *e)
{
    const char *in_name = strchr(i->name, '@');
    char manifest[DIGEST_TEXT_SIZE];
    int r;

    *ret = NULL;
    *ret_n = 0;
    digest_format(&i->manifest, manifest);
    TRY(digests_add(manifest, ret, ret_n, e));
    if (in_name) /* of the index, perhaps */
        TRY(digests_add(in_name + 1, ret, ret_n, e));
    if (i->index)
        TRY(digests_add(i->index, ret, ret_n, e));
    if (i->program)
        TRY(digests_add(i->program, ret, ret_n, e));
    r = manifest_blobs(dirfd, i, ret, ret_n, e);
    if (r < 0) {
        e->code = -EINVAL;
        e->reason = "BadImage";
        return err_prefix(e, "the image '%s' is damaged", i->name);
    }
    return 0;
}

/* ---- Which there are ---- */

static int folder_list(int dirfd, const char *path, struct store_names *ret, struct err *e)
{
    autofd fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int r = 0;

    if (!dir && (errno == ENOTDIR || errno == ELOOP)) {
        strv_add(&ret->others, path);
        return 0;
    }
    if (!dir)
        return errno == ENOENT ? 0 : store_failed(e, -errno, "read", path);
    take_fd(&fd); /* it is the stream's */
    while (r >= 0 && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        autofree char *below = xasprintf("%s/%s", path, name);

        if (str_eq(name, ".") || str_eq(name, ".."))
            continue;
        if (*name == ':' || *name == '@')
            strv_add(&ret->records, below);
        else if (*name == '.')
            strv_add(&ret->others, below);
        else
            r = folder_list(dirfd, below, ret, e);
    }
    closedir(dir);
    if (r >= 0)
        strv_add(&ret->folders, path);
    return r;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_names_list(int dirfd, struct store_names *ret, struct err *e)
{
    int r = folder_list(dirfd, STORE_NAMES, ret, e);

    if (r >= 0 && ret->records.n)
        qsort(ret->records.v, ret->records.n, sizeof(*ret->records.v), by_text);
    return r;
}

void store_names_done(struct store_names *n)
{
    strv_done(&n->records);
    strv_done(&n->others);
    strv_done(&n->folders);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Saving images from one store and loading them into another. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/paths.h"
#include "image/docker_archive.h"
#include "image/load.h"
#include "image/save.h"
#include "image/tarball.h"

#define WASM "application/wasm"
#define TAR  "application/vnd.oci.image.layer.v1.tar"

static char *root; /* of one test */
static struct images *from, *to;

static int set_up(void **state)
{
    autofree char *a = NULL, *b = NULL;
    struct err e = ERR_INIT;

    (void)state;
    root = unit_temp_dir();
    a = path_join(root, "from");
    b = path_join(root, "to");
    assert_ok(images_open(a, &from, &e));
    assert_ok(images_open(b, &to, &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    images_free(from);
    images_free(to);
    unit_remove(root);
    return 0;
}

/* An image of one layer with this text and an empty configuration, in the store `from`. */
static void image_make(const char *text, const char *name, const char *layer_type)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    __attribute__((cleanup(image_done))) struct image i = {0};
    char config[DIGEST_TEXT_SIZE], layer[DIGEST_TEXT_SIZE];
    autobuf manifest = BUF_INIT;
    struct err e = ERR_INIT;
    struct digest d;

    assert_ok(images_blob_add(from, "{}", 2, &d, &e));
    digest_format(&d, config);
    assert_ok(images_blob_add(from, text, strlen(text), &d, &e));
    digest_format(&d, layer);
    buf_addf(&manifest,
             "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":2},\"layers\":"
             "[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
             config, layer_type, layer, strlen(text));
    assert_ok(images_blob_add(from, manifest.data, manifest.len, &i.manifest, &e));
    i.manifest_size = (int64_t)manifest.len;
    assert_ok(reference_parse(name, &r, &e));
    assert_ok(images_name(from, &r, &i, &e));
}

static struct save *saved(const char *one, const char *other)
{
    autostrv names = STRV_INIT;
    struct err e = ERR_INIT;
    struct save *v;

    strv_add(&names, one);
    if (other)
        strv_add(&names, other);
    assert_ok(save_new(from, &names, &v, &e));
    return v;
}

/* What load told of. */
struct told {
    struct buf loaded, failed;
    int64_t blobs;
};

static int on_loaded(void *ctx, const struct image *i, struct err *e)
{
    struct told *t = ctx;

    (void)e;
    buf_addf(&t->loaded, "%s%s\n", i->name, i->program ? "" : " (no program)");
    return 0;
}

static void on_failed(void *ctx, const struct err *why)
{
    struct told *t = ctx;

    buf_addf(&t->failed, "%s: %s\n", why->reason, why->msg);
}

static void on_progress(void *ctx, const struct image_descriptor *blob, int64_t have)
{
    struct told *t = ctx;

    t->blobs += have == blob->size;
}

static void told_done(struct told *t)
{
    buf_done(&t->loaded);
    buf_done(&t->failed);
    *t = (struct told){0};
}

static int load(int fd, struct told *t, struct err *e)
{
    struct load_options o = {
        .loaded = on_loaded, .failed = on_failed, .progress = on_progress, .ctx = t};

    *e = ERR_INIT;
    return image_load(to, fd, &o, e);
}

static int archive(struct save *v_, enum save_format format)
{
    AUTO(save) v = v_;
    struct err e = ERR_INIT;
    int fd = memfd_create("archive", MFD_CLOEXEC);

    assert_ok(save_archive(v, format, fd, &e));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void test_an_archive(void **state)
{
    autofd fd = -EBADF, program = -EBADF;
    struct guest_command command = {0};
    struct told t = {0};
    struct digest digest;
    struct err e = ERR_INIT;

    (void)state;
    image_make("one", "a:1", WASM);
    image_make("two", "b.example/c:2", TAR);
    fd = archive(saved("b.example/c:2", "a:1"), SAVE_OCI_ARCHIVE);
    assert_ok(load(fd, &t, &e));
    assert_string_equal(buf_str(&t.loaded), "b.example/c:2 (no program)\ndocker.io/library/a:1\n");
    assert_string_equal(buf_str(&t.failed), "");
    assert_int_equal(t.blobs, 5);
    told_done(&t);
    lseek(fd, 0, SEEK_SET);
    assert_ok(image_archive_program(to, fd, "1", &program, &digest, &command, &e));
    lseek(fd, 0, SEEK_SET);
    assert_fails(image_archive_program(to, fd, "3", &program, &digest, &command, &e), -ENOENT,
                 "NotFound");
    lseek(fd, 0, SEEK_SET);
    assert_fails(image_archive_program(to, fd, "2", &program, &digest, &command, &e), -ENOEXEC,
                 "NotRunnable");
}

static void test_a_folder(void **state)
{
    autofree char *dir = path_join(root, "folder");
    AUTO(save) v = NULL;
    struct told t = {0};
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    (void)state;
    image_make("one", "a:1", WASM);
    v = saved("a:1", NULL);
    assert_ok(path_mkdir_p(dir, 0700, &e));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(save_folder(v, fd, &e));
    assert_ok(load(fd, &t, &e));
    assert_string_equal(buf_str(&t.loaded), "docker.io/library/a:1\n");
    assert_string_equal(buf_str(&t.failed), "");
    told_done(&t);
}

static void test_dockers_archive(void **state)
{
    autobuf text = BUF_INIT;
    AUTO(save) artifact = NULL;
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    (void)state;
    image_make("one", "a:1", WASM);
    image_make("two", "b:2", TAR);
    fd = archive(saved("b:2", NULL), SAVE_DOCKER_ARCHIVE);
    assert_ok(fd_read_all(fd, 1 << 20, &text, &e));
    assert_non_null(memmem(text.data, text.len, "\"RepoTags\":[\"docker.io/library/b:2\"]", 36));
    artifact = saved("a:1", NULL);
    assert_fails(save_archive(artifact, SAVE_DOCKER_ARCHIVE, fd, &e), -EINVAL, "NotRunnable");
    assert_contains(e.msg, "oci-archive");
}

/* As podman writes it: files named by their digest, and no index. */
static void test_podmans_docker_archive(void **state)
{
    static const char config[] = "{}", layer[] = "layer";
    autofd fd = memfd_create("archive", MFD_CLOEXEC);
    char of_config[DIGEST_HEX_SIZE], of_layer[DIGEST_HEX_SIZE];
    autofree char *config_name = NULL, *layer_name = NULL, *manifest = NULL;
    AUTO(tarball_writer) w = tarball_writer_new(fd);
    struct told t = {0};
    struct err e = ERR_INIT;
    struct digest d;

    (void)state;
    digest_bytes(config, strlen(config), &d);
    digest_hex_format(&d, of_config);
    digest_bytes(layer, strlen(layer), &d);
    digest_hex_format(&d, of_layer);
    config_name = xasprintf("%s.json", of_config);
    layer_name = xasprintf("%s.tar", of_layer);
    manifest =
        xasprintf("[{\"Config\":\"%s\",\"RepoTags\":[\"x/y:1\",\"x/y:2\"],\"Layers\":[\"%s\"]},"
                  "{\"Config\":\"%s\",\"RepoTags\":[\"z:1\"],\"Layers\":[\"0/layer.tar\"]}]",
                  config_name, layer_name, config_name);
    assert_ok(tarball_writer_text(w, config_name, config, strlen(config), &e));
    assert_ok(tarball_writer_text(w, layer_name, layer, strlen(layer), &e));
    assert_ok(tarball_writer_text(w, "manifest.json", manifest, strlen(manifest), &e));
    assert_ok(tarball_writer_finish(w, &e));
    lseek(fd, 0, SEEK_SET);
    assert_ok(load(fd, &t, &e));
    assert_string_equal(buf_str(&t.loaded), "docker.io/x/y:1 (no program)\n"
                                            "docker.io/x/y:2 (no program)\n");
    assert_contains(buf_str(&t.failed),
                    "BadImage: z:1: it has 1 layers, and its configuration tells of 0 (diff_ids)");
    told_done(&t);
}

/* As docker before 25 writes it: of the layers only the config knows the digests. */
static void test_an_archive_of_docker_before_25(void **state)
{
    static const char layer[] = "layer", other[] = "another";
    autofd fd = memfd_create("archive", MFD_CLOEXEC);
    char of_config[DIGEST_HEX_SIZE], of_layer[DIGEST_TEXT_SIZE];
    autofree char *config = NULL, *config_name = NULL, *manifest = NULL;
    AUTO(tarball_writer) w = tarball_writer_new(fd);
    struct told t = {0};
    struct err e = ERR_INIT;
    struct digest d;

    (void)state;
    digest_bytes(layer, strlen(layer), &d);
    digest_format(&d, of_layer);
    config = xasprintf("{\"rootfs\":{\"diff_ids\":[\"%s\"]}}", of_layer);
    digest_bytes(config, strlen(config), &d);
    digest_hex_format(&d, of_config);
    config_name = xasprintf("%s.json", of_config);
    manifest = xasprintf("[{\"Config\":\"%s\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"1/layer.tar\"]},"
                         "{\"Config\":\"%s\",\"RepoTags\":[\"y:1\"],\"Layers\":[\"2/layer.tar\"]},"
                         "{\"Config\":\"%s\",\"RepoTags\":[\"z:1\"],\"Layers\":[\"3/layer.tar\"]},"
                         "{\"Config\":\"x.json\",\"RepoTags\":[\"c:1\"],\"Layers\":[]}]",
                         config_name, config_name, config_name);
    assert_ok(tarball_writer_text(w, "1/layer.tar", layer, strlen(layer), &e));
    assert_ok(tarball_writer_text(w, "2/layer.tar", other, strlen(other), &e));
    assert_ok(tarball_writer_text(w, config_name, config, strlen(config), &e));
    assert_ok(tarball_writer_text(w, "manifest.json", manifest, strlen(manifest), &e));
    assert_ok(tarball_writer_finish(w, &e));
    lseek(fd, 0, SEEK_SET);
    assert_ok(load(fd, &t, &e));
    assert_string_equal(buf_str(&t.loaded), "docker.io/library/x:1 (no program)\n");
    assert_contains(buf_str(&t.failed), "DigestMismatch: y:1: the layer '2/layer.tar' is not what");
    assert_contains(buf_str(&t.failed),
                    "BadImage: z:1: there is no layer '3/layer.tar' in the archive");
    assert_contains(buf_str(&t.failed), "BadImage: c:1: its configuration 'x.json' is not named");
    assert_int_equal(t.blobs, 3); /* the config and two layers */
    told_done(&t);
}

static void layer_add(struct docker_layers *l, const char *name, enum tarball_kind kind,
                      const char *link, const char *text)
{
    struct tarball_entry t = {.name = name, .kind = kind, .link = link};
    struct err e = ERR_INIT;
    struct digest d;

    digest_bytes(text, strlen(text), &d);
    assert_ok(docker_layers_add(l, &t, kind == TARBALL_FILE ? &d : NULL, &e));
}

static void test_links_between_layers(void **state)
{
    static const struct {
        const char *name, *said; /* what is in it, or what is wrong */
        bool is_found;
    } cases[] = {
        {"a/layer.tar",         "one",                true },
        {"b/layer.tar",         "one",                true },
        {"c/layer.tar",         "one",                true },
        {"d/layer.tar",         "one",                true },
        {"./x//layer.tar",      "two",                true },
        {"twice/layer.tar",     "the last",           true },
        {"out/layer.tar",       "out of the image",   false},
        {"/absolute/layer.tar", "no layer",           false},
        {"circle/layer.tar",    "have no end",        false},
        {"self/layer.tar",      "have no end",        false},
        {"none/layer.tar",      "no layer",           false},
        {"fifo/layer.tar",      "a device or a FIFO", false},
        {"a",                   "no layer",           false},
        {"",                    "no layer",           false},
        {"../a/layer.tar",      "out of the image",   false},
    };
    AUTO(docker_layers) l = docker_layers_new();

    (void)state;
    layer_add(l, "b/layer.tar", TARBALL_SYMLINK, "../x/../a/layer.tar", "");
    layer_add(l, "a/layer.tar", TARBALL_FILE, "", "one");
    layer_add(l, "c/layer.tar", TARBALL_HARD_LINK, "a/layer.tar", "");
    layer_add(l, "d/layer.tar", TARBALL_HARD_LINK, "b/layer.tar", "");
    layer_add(l, "x/layer.tar", TARBALL_FILE, "", "two");
    layer_add(l, "twice/layer.tar", TARBALL_FILE, "", "the first");
    layer_add(l, "twice/layer.tar", TARBALL_FILE, "", "the last");
    layer_add(l, "out/layer.tar", TARBALL_SYMLINK, "../../a/layer.tar", "");
    layer_add(l, "absolute/layer.tar", TARBALL_SYMLINK, "/etc/passwd", "");
    layer_add(l, "circle/layer.tar", TARBALL_SYMLINK, "../back/layer.tar", "");
    layer_add(l, "back/layer.tar", TARBALL_SYMLINK, "../circle/layer.tar", "");
    layer_add(l, "self/layer.tar", TARBALL_SYMLINK, "layer.tar", "");
    layer_add(l, "fifo/layer.tar", TARBALL_OTHER, "", "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct digest d, wanted;
        struct err e = ERR_INIT;
        int r = docker_layers_find(l, cases[i].name, &d, &e);

        digest_bytes(cases[i].said, strlen(cases[i].said), &wanted);
        if (cases[i].is_found)
            assert_memory_equal(&d, &wanted, sizeof(d));
        else
            assert_fails(r, -EINVAL, "BadImage");
        if (!cases[i].is_found)
            assert_contains(e.msg, cases[i].said);
    }
    assert_true(docker_layer_is("0/layer.tar"));
    assert_false(docker_layer_is("0/layer.tar.gz"));
    assert_false(docker_layer_is("layer.tar/0"));
}

static void test_names_that_are_digests(void **state)
{
    static const char hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const struct {
        const char *before, *after;
        bool is_one;
    } cases[] = {
        {"blobs/sha256/",  "",        true },
        {"",               ".json",   true },
        {"",               ".tar",    true },
        {"",               "",        false},
        {"",               ".tar.gz", false},
        {"",               "0.tar",   false},
        {"blobs/sha256/",  ".x",      false},
        {"blobs/sha256/x", "",        false},
        {"blobs/sha512/",  "",        false},
        {"x/",             ".tar",    false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *name = xasprintf("%s%s%s", cases[i].before, hex, cases[i].after);
        char text[DIGEST_HEX_SIZE];
        struct digest d;

        assert_int_equal(docker_archive_digest(name, &d), cases[i].is_one);
        if (cases[i].is_one) {
            digest_hex_format(&d, text);
            assert_string_equal(text, hex);
        }
    }
    assert_false(docker_archive_digest("", &(struct digest){0}));
    assert_false(docker_archive_digest("blobs/sha256/", &(struct digest){0}));
}

static void test_what_is_not_there_is_not_saved(void **state)
{
    autostrv names = STRV_INIT;
    struct err e = ERR_INIT;
    struct save *v = NULL;

    (void)state;
    image_make("one", "a:1", WASM);
    strv_add(&names, "a:1");
    strv_add(&names, "a:2");
    assert_fails(save_new(from, &names, &v, &e), -ENOENT, "NotFound");
    assert_contains(e.msg, "a:2");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_archive),
        TEST(test_a_folder),
        TEST(test_dockers_archive),
        TEST(test_podmans_docker_archive),
        TEST(test_an_archive_of_docker_before_25),
        TEST(test_links_between_layers),
        TEST(test_names_that_are_digests),
        TEST(test_what_is_not_there_is_not_saved),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}

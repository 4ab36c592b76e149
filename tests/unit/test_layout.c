/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/fds.h"
#include "base/strv.h"
#include "store/layout.h"

#define PROGRAM "\0asm\1\0\0\0"
#define WASM    "application/wasm"
#define TAR     "application/vnd.oci.image.layer.v1.tar"

/* A layout in a new folder. Its texts live until the end of the test. */
struct layout {
    char *dir;
    int fd;
    struct strv texts;
};

static void put(struct layout *l, const char *name, const void *data, size_t len)
{
    struct err e = ERR_INIT;
    autofd fd = -EBADF;

    unlinkat(l->fd, name, 0);
    fd = openat(l->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_ok(fd_write_all(fd, data, len, &e));
}

static const char *text(struct layout *l, char *owned)
{
    strv_add(&l->texts, owned);
    free(owned);
    return l->texts.v[l->texts.n - 1];
}

static const char *digest_of(struct layout *l, const void *data, size_t len)
{
    char hex[DIGEST_TEXT_SIZE];
    struct digest d;

    digest_bytes(data, len, &d);
    digest_format(&d, hex);
    return text(l, xstrdup(hex));
}

/* Stores the blob; its descriptor, with `more` fields. */
static const char *blob(struct layout *l, const char *type, const void *data, size_t len,
                        const char *more)
{
    const char *digest = digest_of(l, data, len);

    put(l, text(l, xasprintf("blobs/sha256/%s", digest + strlen("sha256:"))), data, len);
    return text(l, xasprintf("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", type,
                             digest, len, more));
}

static const char *document(struct layout *l, const char *list, const char *items, const char *more)
{
    const char *json =
        text(l, xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"x\",\"digest\":\"x\","
                          "\"size\":2},\"%s\":[%s]}",
                          list, items));

    return blob(l, "application/vnd.oci.image.manifest.v1+json", json, strlen(json), more);
}

static const char *artifact(struct layout *l, const char *more)
{
    return document(l, "layers", blob(l, WASM, PROGRAM, 8, ""), more);
}

static void index_put(struct layout *l, const char *items)
{
    const char *json = text(l, xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", items));

    put(l, "index.json", json, strlen(json));
}

#define TAGGED(tag)     ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" tag "\"}"
#define FOR(os, arch)   ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define LAYOUT(version) "{\"imageLayoutVersion\":\"" version "\"}"

static int setup(void **state)
{
    struct layout *l = xcalloc(1, sizeof(*l));

    l->dir = unit_temp_dir();
    l->fd = open(l->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(l->fd, "blobs", 0755), 0);
    assert_int_equal(mkdirat(l->fd, "blobs/sha256", 0755), 0);
    put(l, "oci-layout", LAYOUT("1.0.0"), strlen(LAYOUT("1.0.0")));
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct layout *l = *state;

    close(l->fd);
    strv_done(&l->texts);
    unit_remove(l->dir);
    free(l);
    return 0;
}

static void assert_program(struct layout *l, const char *image)
{
    struct err e = ERR_INIT;
    autobuf found = BUF_INIT;
    autofd fd = -EBADF;
    struct digest digest, is;

    assert_ok(layout_program_open(l->fd, image, &fd, &digest, &e));
    assert_ok(fd_read_all(fd, 100, &found, &e));
    assert_int_equal(found.len, 8);
    assert_memory_equal(found.data, PROGRAM, 8);
    digest_bytes(PROGRAM, 8, &is);
    assert_memory_equal(&digest, &is, sizeof(is));
}

static void assert_none(struct layout *l, const char *image, int code, const char *reason,
                        const char *says)
{
    struct err e = ERR_INIT;
    struct digest digest;
    int fd = -7;

    assert_fails(layout_program_open(l->fd, image, &fd, &digest, &e), code, reason);
    assert_contains(e.msg, says);
    assert_int_equal(fd, -7);
}

static void test_names(void **state)
{
    struct layout *l = *state;
    const char *first = artifact(l, TAGGED("one")), *second;
    const char *layer = blob(l, WASM, PROGRAM, 8, TAGGED("a layer's is no image's"));

    index_put(l, first);
    assert_program(l, "");
    assert_program(l, "one");
    second = document(l, "layers", layer, "");
    index_put(l, text(l, xasprintf("%s,%s", first, second)));
    assert_program(l, "one");
    assert_none(l, "", -ENOENT, "NotFound", "there are 2 images in it; name one of: one, @sha256:");
    assert_none(l, "two", -ENOENT, "NotFound", "no image 'two' in it; it has: one, @sha256:");
    assert_none(l, "@sha256:00", -ENOENT, "NotFound", "no image '@sha256:00'");
    assert_program(l, text(l, xasprintf("@%.71s", strstr(second, "sha256:"))));
    index_put(l, text(l, xasprintf("%s,%s", first, first)));
    assert_none(l, "one", -ENOENT, "NotFound", "there are 2 images 'one' in it");
    index_put(l, "");
    assert_none(l, "", -ENOENT, "NotFound", "it has: none");
}

static void test_platforms(void **state)
{
    struct layout *l = *state;
    const char *amd64 = document(l, "layers", blob(l, TAR, "tar", 3, ""), FOR("linux", "mips"));
    const char *wasm = artifact(l, FOR("wasip1", "wasm")), *any = artifact(l, "");

    index_put(l, document(l, "manifests", text(l, xasprintf("%s,%s", amd64, wasm)), TAGGED("t")));
    assert_program(l, "t");
    index_put(l, document(l, "manifests", any, ""));
    assert_program(l, "");
    index_put(l, document(l, "manifests", text(l, xasprintf("%s,%s", amd64, any)), ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable",
                "none of its platforms is for WebAssembly; it has: "
                "linux/mips, ?/?");
    index_put(l, document(l, "manifests", text(l, xasprintf("%s,%s", wasm, wasm)), ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "more than one of its platforms");
}

/* The first is taken, wherever it stands. `others` begins with a comma. */
static void assert_chosen(struct layout *l, const char *chosen, const char *others)
{
    index_put(l, document(l, "manifests", text(l, xasprintf("%s%s", chosen, others)), ""));
    assert_program(l, "");
    index_put(l, document(l, "manifests", text(l, xasprintf("%s,%s", others + 1, chosen)), ""));
    assert_program(l, "");
}

static void test_spellings(void **state)
{
#define ANNOTATED(name, value) ",\"annotations\":{\"" name "\":\"" value "\"}"
    static const char *const platforms[] = {
        FOR("wasip1", "wasm"),
        FOR("wasip2", "wasm"),
        FOR("wasi", "wasm"),
        FOR("wasi", "wasm32"),
        FOR("linux", "wasm"),
        FOR("js", "wasm"),
        FOR("linux", "mips") ANNOTATED("module.wasm.image/variant", "compat"),
        FOR("linux", "mips") ANNOTATED("module.wasm.image/variant", "compat-smart"),
        FOR("linux", "mips") ANNOTATED("run.oci.handler", "wasm"),
    };
    struct layout *l = *state;
    const char *tar = blob(l, TAR, "tar", 3, "");
    const char *other = text(l, xasprintf(",%s", document(l, "layers", tar, FOR("linux", "arm"))));
    const char *wasi = text(l, xasprintf(",%s", document(l, "layers", tar, FOR("wasi", "wasm"))));
    const char *p1 = text(l, xasprintf(",%s", document(l, "layers", tar, FOR("wasip1", "wasm"))));

    for (size_t i = 0; i < ARRAY_SIZE(platforms); i++)
        assert_chosen(l, artifact(l, platforms[i]), other);
    assert_chosen(l, artifact(l, FOR("wasip2", "wasm")), p1);
    assert_chosen(l, artifact(l, FOR("wasip2", "wasm")), wasi);
    assert_chosen(l, artifact(l, FOR("wasip1", "wasm")), wasi);
    assert_chosen(l, artifact(l, FOR("wasi", "wasm")),
                  text(l, xasprintf(",%s", document(l, "layers", tar, FOR("js", "wasm")))));
#if defined(__x86_64__)
    assert_chosen(l, artifact(l, FOR("linux", "amd64")), other);
#elif defined(__aarch64__)
    assert_chosen(l, artifact(l, FOR("linux", "arm64")), other);
#endif
    index_put(
        l, document(
               l, "manifests",
               text(l, xasprintf("%s%s", artifact(l, ANNOTATED("run.oci.handler", "krun")), other)),
               ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "none of its platforms");
}

static void test_layers(void **state)
{
    struct layout *l = *state;
    const char *tar = blob(l, TAR, "tar", 3, ""), *wasm = blob(l, WASM, PROGRAM, 8, "");
    const char *older = blob(l, "application/vnd.wasm.content.layer.v1+wasm", PROGRAM, 8, "");

    index_put(l, document(l, "layers", older, ""));
    assert_program(l, "");
    index_put(l, document(l, "layers", text(l, xasprintf("%s,%s", tar, wasm)), ""));
    assert_program(l, "");
    index_put(l, document(l, "layers", tar, ""));
    assert_none(l, "", -ENOEXEC, LAYOUT_NEEDS_UNPACKING, "a file in a layer");
    index_put(l, document(l, "layers", blob(l, TAR "+encrypted", "tar", 3, ""), ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "it has: " TAR);
    index_put(l, document(l, "layers", text(l, xasprintf("%s,%s", wasm, older)), ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "more than one of its layers");
    index_put(l, document(l, "layers", "", ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "it has: none");
}

static void test_damage(void **state)
{
    struct layout *l = *state;
    const char *name = text(l, xasprintf("blobs/sha256/%s", digest_of(l, PROGRAM, 8) + 7));
    const char *nested = artifact(l, "");
    struct stat st;

    index_put(l, nested);
    assert_program(l, "");
    put(l, name, "\0asm\1\0\0\1", 8);
    assert_none(l, "", -EINVAL, "BadImage", "is damaged");
    put(l, name, "\0asm", 4);
    assert_none(l, "", -EINVAL, "BadImage", "has 4 bytes instead of 8");
    unlinkat(l->fd, name, 0);
    assert_none(l, "", -ENOENT, "BadImage", "cannot be opened");
    assert_int_equal(symlinkat("/proc/self/exe", l->fd, name), 0);
    assert_none(l, "", -ELOOP, "BadImage", "cannot be opened");
    unlinkat(l->fd, name, 0);
    assert_int_equal(mkfifoat(l->fd, name, 0644), 0);
    assert_none(l, "", -EINVAL, "BadImage", "has 0 bytes");
    put(l, name, PROGRAM, 8);
    assert_int_equal(fstatat(l->fd, name, &st, 0), 0);

    for (int i = 0; i < 4; i++)
        nested = document(l, "manifests", nested, "");
    index_put(l, nested);
    assert_program(l, "");
    index_put(l, document(l, "manifests", nested, ""));
    assert_none(l, "", -EINVAL, "BadImage", "nested too deep");
}

static void test_documents(void **state)
{
    struct layout *l = *state;
    const char *both = "{\"manifests\":[],\"layers\":[{\"digest\":\"x\",\"size\":1}]}";

    index_put(l, blob(l, WASM, both, strlen(both), ""));
    assert_none(l, "", -ENOEXEC, "NotRunnable", "it has: ?");
    both = text(
        l, xasprintf("{\"manifests\":[%s],\"layers\":[%s]}", artifact(l, ""), artifact(l, "")));
    index_put(l, blob(l, WASM, both, strlen(both), ""));
    assert_none(l, "", -EINVAL, "BadImage", "is both an index and a manifest");
    both = "{\"schemaVersion\":1,\"fsLayers\":[]}";
    index_put(l, blob(l, WASM, both, strlen(both), ""));
    assert_none(l, "", -EINVAL, "BadImage", "Docker's schema 1");
    index_put(l, blob(l, WASM, "[]", 2, ""));
    assert_none(l, "", -EINVAL, "BadImage", "sha256:");
    index_put(l, "{\"digest\":\"sha512:00\",\"size\":2}");
    assert_none(l, "", -EINVAL, "BadImage", "another digest than SHA-256");
    index_put(l, "{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":2}");
    assert_none(l, "", -EINVAL, "BadImage", "another digest than SHA-256");
    index_put(l, text(l, xasprintf("{\"digest\":\"%s\",\"size\":99999999999}",
                                   digest_of(l, PROGRAM, 8))));
    assert_none(l, "", -EINVAL, "BadImage", "more than a manifest may have");
    index_put(l, "{\"digest\":\"x\"}");
    assert_none(l, "", -EINVAL, "BadImage", "index.json: $.manifests[0]");
    put(l, "index.json", "{", 1);
    assert_none(l, "", -EINVAL, "BadImage", "index.json");
    unlinkat(l->fd, "index.json", 0);
    assert_none(l, "", -EINVAL, "BadImage", "it is no OCI image layout");
    put(l, "oci-layout", LAYOUT("2.0.0"), strlen(LAYOUT("2.0.0")));
    assert_none(l, "", -EINVAL, "BadImage", "of version 2.0.0");
    put(l, "oci-layout", "1.0.0", 5);
    assert_none(l, "", -EINVAL, "BadImage", "it is no OCI image layout");
    unlinkat(l->fd, "oci-layout", 0);
    assert_none(l, "", -EINVAL, "BadImage", "it is no OCI image layout");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_platforms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spellings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

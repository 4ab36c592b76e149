/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of Kubernetes from manifests, and back. Pods have a file of their own. */
#include "unit.h"

#include <time.h>

#include "base/buf.h"
#include "manifest/objects.h"

static int parse(const char *text, struct objects *into, struct err *e)
{
    const struct objects_options o = {.file = "app.yaml", .base_dir = "/srv/app"};

    return objects_parse(text_of(text), &o, into, e);
}

static const char three_documents[] = "# Settings\n"
                                      "apiVersion: v1\n"
                                      "kind: ConfigMap\n"
                                      "metadata:\n"
                                      "  name: game-demo\n"
                                      "  labels: {app: game, version: \"1.0\"}\n"
                                      "data:\n"
                                      "  player_initial_lives: \"3\"\n"
                                      "  game.properties: |\n"
                                      "    enemy.types=aliens,monsters\n"
                                      "binaryData:\n"
                                      "  logo.bin: AAEC/w==\n"
                                      "immutable: true\n"
                                      "---\n"
                                      "apiVersion: v1\n"
                                      "kind: Secret\n"
                                      "metadata:\n"
                                      "  name: login\n"
                                      "  namespace: shop\n"
                                      "stringData:\n"
                                      "  user: root\n"
                                      "  both: new\n"
                                      "data:\n"
                                      "  password: |\n"
                                      "    cGFzc3dvcmQ=\n"
                                      "  both: b2xk\n"
                                      "---\n"
                                      "apiVersion: v1\n"
                                      "kind: PersistentVolumeClaim\n"
                                      "metadata: {name: data}\n"
                                      "spec:\n"
                                      "  accessModes: [ReadWriteOnce, ReadOnlyMany]\n"
                                      "  storageClassName: \"\"\n"
                                      "  resources: {requests: {storage: 8Gi}}\n";

static void objects_of_several_documents_come_in_their_order(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_ok(parse(three_documents, &s, &e));
    assert_int_equal(s.n, 3);

    assert_int_equal(s.v[0]->kind, OBJECT_CONFIG);
    assert_string_equal(s.v[0]->name, "game-demo");
    assert_string_equal(s.v[0]->space, "default");
    assert_string_equal(pod_pair_find(&s.v[0]->labels, "version"), "1.0");
    assert_int_equal(s.v[0]->line, 2);
    assert_true(s.v[0]->data.is_immutable);
    assert_int_equal(s.v[0]->data.n, 3);
    assert_string_equal(object_datum_find(&s.v[0]->data, "game.properties")->data,
                        "enemy.types=aliens,monsters\n");
    assert_int_equal(object_datum_find(&s.v[0]->data, "logo.bin")->len, 4);
    assert_memory_equal(object_datum_find(&s.v[0]->data, "logo.bin")->data, "\0\1\2\xff", 4);
    assert_null(object_datum_find(&s.v[0]->data, "logo"));

    assert_int_equal(s.v[1]->kind, OBJECT_SECRET);
    assert_string_equal(s.v[1]->space, "shop");
    assert_string_equal(s.v[1]->data.type, "Opaque");
    assert_int_equal(s.v[1]->data.n, 3);
    assert_string_equal(object_datum_find(&s.v[1]->data, "password")->data, "password");
    assert_string_equal(object_datum_find(&s.v[1]->data, "both")->data, "new");

    assert_int_equal(s.v[2]->kind, OBJECT_CLAIM);
    assert_int_equal(s.v[2]->claim.bytes, 8ll << 30);
    assert_string_equal(s.v[2]->claim.storage_class, "");
    assert_string_equal(s.v[2]->claim.access_modes.v[1], "ReadOnlyMany");

    assert_ptr_equal(objects_find(&s, OBJECT_SECRET, "shop", "login"), s.v[1]);
    assert_null(objects_find(&s, OBJECT_SECRET, "default", "login"));
}

static void a_list_is_taken_apart(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_ok(parse(
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"metadata\": {\"resourceVersion\": "
        "\"\"},\n \"items\": [\n"
        "  {\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}},\n"
        "  {\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"b\"}}]}",
        &s, &e));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.v[1]->line, 4);
    assert_ok(parse("{apiVersion: v1, kind: List, items: []}", &s, &e));
    assert_int_equal(s.n, 2);
}

#define HEAD   "apiVersion: v1\nkind: "
#define CONFIG HEAD "ConfigMap\nmetadata: {name: c}\n"
#define SECRET HEAD "Secret\nmetadata: {name: s}\n"
#define CLAIM  HEAD "PersistentVolumeClaim\nmetadata: {name: p}\nspec:\n"
#define META   HEAD "ConfigMap\nmetadata:\n  "
#define KNOWN  "known are Pod, ConfigMap, Secret, PersistentVolumeClaim and List, of apiVersion v1"

static void assert_refused(const char *text, const char *reason, const char *said)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    assert_true(parse(text, &s, &e) < 0);
    if (!str_starts(e.msg, said))
        fail_msg("says\n%s\nnot\n%s", e.msg, said);
    assert_string_equal(e.reason, reason);
    assert_int_equal(s.n, 0);
}

static void errors_have_file_line_and_path(void **state)
{
    (void)state;
    assert_refused(
        "apiVersion: apps/v1\nkind: Deployment\n", "UnknownKind",
        "app.yaml:2: $.kind: 'Deployment' of apiVersion 'apps/v1' is not known here; " KNOWN);
    assert_refused("apiVersion: v2\nkind: Pod\n", "UnknownKind",
                   "app.yaml:2: $.kind: 'Pod' of apiVersion 'v2' is not known here; " KNOWN);
    assert_refused("\nkind: Pod\n", "BadManifest",
                   "app.yaml:2: $.apiVersion: is missing, or is no string; " KNOWN);
    assert_refused("- a\n", "BadManifest",
                   "app.yaml:1: $: an object of Kubernetes was expected: a map that has "
                   "apiVersion, kind and metadata");
    assert_refused("a: [\n", "BadYaml",
                   "app.yaml:2:1: did not find expected node content (while parsing a flow node)");
    assert_refused(HEAD "ConfigMap\n", "BadManifest", "app.yaml:1: $.metadata: is missing");
    assert_refused(META "nmae: c\n", "BadManifest",
                   "app.yaml:4: $.metadata.nmae: unknown field; did you mean 'name'?");
    assert_refused(META "labels: {}\n", "BadManifest", "app.yaml:3: $.metadata.name: is missing");
    assert_refused(META "name: Web_1\n", "BadManifest",
                   "app.yaml:4: $.metadata.name: 'Web_1' is not allowed; write at most 253 of a-z, "
                   "0-9, '-' and '.', "
                   "beginning and ending with a letter or digit");
    assert_refused(META "name: 1\n", "BadManifest",
                   "app.yaml:4: $.metadata.name: expected a string; write it in quotes");
    assert_refused(META "name: a\n  namespace: a.b\n", "BadManifest",
                   "app.yaml:5: $.metadata.namespace: 'a.b' is not allowed; write at most 63 of "
                   "a-z, 0-9 and '-', "
                   "beginning and ending with a letter or digit");
    assert_refused(META "name: a\n  labels:\n    v: 1.0\n", "BadManifest",
                   "app.yaml:6: $.metadata.labels.v: expected a string; write it in quotes");
    assert_refused(META "name: a\n  labels:\n    app.io/v: a b\n", "BadManifest",
                   "app.yaml:6: $.metadata.labels.app.io/v: 'a b' is not allowed; write at most 63 "
                   "of A-Za-z0-9, '-', "
                   "'_' and '.', beginning and ending with a letter or digit");
    assert_refused(
        META "generateName: a\n  name: b\n", "NotSupported",
        "app.yaml:4: $.metadata.generateName: not supported: the same manifest twice would be two "
        "objects; write a name");
}

static void errors_of_data_and_claims_have_file_line_and_path(void **state)
{
    (void)state;
    assert_refused(CONFIG "data:\n  a: x\n  b: 3\n", "BadManifest",
                   "app.yaml:6: $.data.b: expected a string; write it in quotes");
    assert_refused(CONFIG "data: {a/b: x}\n", "BadManifest",
                   "app.yaml:4: $.data.a/b: 'a/b' is not allowed; write at most 253 of A-Za-z0-9, "
                   "'-', '_' and '.'");
    assert_refused(CONFIG "data: {a: x}\nbinaryData: {a: eA==}\n", "BadManifest",
                   "app.yaml:5: $.binaryData.a: the same key is in data too");
    assert_refused(CONFIG "stringData: {a: x}\n", "BadManifest",
                   "app.yaml:4: $.stringData: unknown field");
    assert_refused(CONFIG "binryData: {a: x}\n", "BadManifest",
                   "app.yaml:4: $.binryData: unknown field; did you mean 'binaryData'?");
    assert_refused(SECRET "data:\n  a: geheim!\n", "BadManifest", "app.yaml:5: $.data.a: ");
    assert_refused(CLAIM "  accessModes: [RWO]\n  resources: {requests: {storage: 1Gi}}\n",
                   "BadManifest",
                   "app.yaml:5: $.spec.accessModes[0]: 'RWO' is none of ReadWriteOnce, "
                   "ReadOnlyMany, ReadWriteMany, "
                   "ReadWriteOncePod");
    assert_refused(CLAIM "  accessModes: [ReadWriteOnce]\n", "BadManifest",
                   "app.yaml:4: $.spec.resources: is missing");
    assert_refused(CLAIM
                   "  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 8GB}}\n",
                   "BadManifest",
                   "app.yaml:6: $.spec.resources.requests.storage: '8GB' is no quantity; write a "
                   "number with m, k, M, "
                   "G, Ki, Mi or Gi behind it, such as 100m or 64Mi");
    assert_refused(CLAIM "  accessModes: [ReadWriteOnce]\n  resources: {requests: {}}\n",
                   "BadManifest",
                   "app.yaml:6: $.spec.resources.requests: storage is missing: how many bytes");
    assert_refused(
        CLAIM "  accessModes: [ReadWriteOnce]\n  volumeMode: Block\n"
              "  resources: {requests: {storage: 1}}\n",
        "NotSupported",
        "app.yaml:6: $.spec.volumeMode: 'Block' is not supported: guests have no devices; write "
        "Filesystem");
    assert_refused(
        HEAD
        "List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  dta: {}\n",
        "BadManifest", "app.yaml:7: $.dta: unknown field; did you mean 'data'?");
    assert_refused(HEAD "List\n", "BadManifest",
                   "app.yaml:1: $.items: a list of objects was expected");
    assert_refused(CONFIG "---\n" CONFIG, "Duplicate",
                   "app.yaml:5: the ConfigMap 'c' of namespace 'default' is also in app.yaml:1; "
                   "give one of them "
                   "another name");
}

static void an_error_of_a_secret_does_not_quote_it(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_fails(parse(SECRET "data:\n  a: hunter2!\n", &s, &e), -EINVAL, "BadManifest");
    assert_contains(e.msg, "write plain text into stringData");
    assert_null(strstr(e.msg, "hunter2"));
}

static void a_run_that_fails_adds_nothing_and_names_are_of_all_its_files(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_ok(parse(CONFIG, &s, &e));
    assert_fails(parse(SECRET "---\n" CONFIG, &s, &e), -EEXIST, "Duplicate");
    assert_int_equal(s.n, 1);
    assert_null(objects_find(&s, OBJECT_SECRET, "default", "s"));
    assert_ok(parse(SECRET, &s, &e));
    /* The same name in another namespace is another object. */
    assert_ok(parse(HEAD "ConfigMap\nmetadata: {name: c, namespace: other}\n", &s, &e));
    assert_int_equal(s.n, 3);
}

static void data_are_limited(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};
    autobuf text = BUF_INIT;

    (void)state;
    buf_addstr(&text, CONFIG "data:\n  a: '");
    for (int i = 0; i < 1 << 17; i++)
        buf_addstr(&text, "01234567");
    buf_addstr(&text, "'\n");
    assert_fails(parse(buf_str(&text), &s, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "app.yaml:1: $: its data are larger than 1 MiB");
}

/* ---- Back to JSON ---- */

static void assert_same_again(const char *text)
{
    const struct objects_options stored = {.file = "stored", .is_stored = true};
    struct err e = ERR_INIT;
    autoobjects s = {0}, again = {0};
    autobuf first = BUF_INIT;
    autobuf second = BUF_INIT;

    assert_ok(parse(text, &s, &e));
    object_stamp(s.v[0], "0-1", "17", "2026-11-27T00:00:00Z");
    object_stamp_deleted(s.v[0], "2026-11-27T00:00:30Z", 30);
    object_encode(s.v[0], NULL, &first);
    assert_ok(objects_parse((struct text){first.data, first.len}, &stored, &again, &e));
    object_encode(again.v[0], NULL, &second);
    assert_string_equal(buf_str(&first), buf_str(&second));
    assert_string_equal(again.v[0]->uid, "0-1");
    assert_int_equal(again.v[0]->deletion_grace_s, 30);
}

static void what_is_encoded_reads_back_the_same(void **state)
{
    (void)state;
    assert_same_again(CONFIG "data: {a: \"x\\ny\"}\nbinaryData: {b: AAE=}\nimmutable: true\n");
    assert_same_again(SECRET
                      "stringData: {a: x}\ndata: {b: eA==}\ntype: kubernetes.io/basic-auth\n");
    assert_same_again(CLAIM
                      "  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1e9}}\n");
    assert_same_again(
        HEAD "Pod\nmetadata: {name: p, annotations: {a: b}}\nspec: {containers: [{name: a, image: "
             "./x.wasm}]}\n");
}

static void the_api_sees_metadata_defaults_and_status(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};
    autobuf out = BUF_INIT;

    (void)state;
    assert_ok(parse(SECRET "stringData: {a: x, b: \"\"}\n", &s, &e));
    object_stamp(s.v[0], "u", NULL, NULL);
    object_encode(s.v[0], "{\"a\":1}", &out);
    assert_string_equal(
        buf_str(&out),
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\","
        "\"namespace\":\"default\",\"uid\":\"u\"},\"data\":{\"a\":\"eA==\",\"b\":\"\"},"
        "\"type\":\"Opaque\",\"status\":{\"a\":1}}");
}

static void what_a_stranger_says_of_uid_and_times_does_not_count(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_ok(parse(META "name: a\n  uid: x\n  resourceVersion: '1'\n  creationTimestamp: null\n"
                         "  managedFields: [{a: b}]\n  generation: 3\nstatus: {phase: Running}\n",
                    &s, &e));
    assert_null(s.v[0]->uid);
    assert_null(s.v[0]->version);
}

static void thousands_of_objects_take_a_moment(void **state)
{
    struct timespec before, after;
    struct err e = ERR_INIT;
    autoobjects s = {0};
    autobuf text = BUF_INIT;

    (void)state;
    for (int i = 0; i < 5000; i++)
        buf_addf(
            &text,
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p%d\n  labels: {app: web}\nspec:\n"
            "  containers:\n  - name: main\n    image: ./app.wasm\n    args: [serve, --fast]\n"
            "    env:\n    - {name: A, value: b}\n    resources: {limits: {memory: 64Mi, cpu: "
            "100m}}\n"
            "    readinessProbe: {httpGet: {path: /, port: 8080}}\n",
            i);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_ok(parse(buf_str(&text), &s, &e));
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(s.n, 5000);
    print_message("%ld ms\n", (after.tv_sec - before.tv_sec) * 1000 +
                                  (after.tv_nsec - before.tv_nsec) / 1000000);
    /* A quarter of a second on a quiet machine; sanitizers and neighbours are slower. */
    assert_true(after.tv_sec - before.tv_sec < 20);
    assert_string_equal(objects_find(&s, OBJECT_POD, "default", "p4321")->name, "p4321");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_several_documents_come_in_their_order),
        cmocka_unit_test(a_list_is_taken_apart),
        cmocka_unit_test(errors_have_file_line_and_path),
        cmocka_unit_test(errors_of_data_and_claims_have_file_line_and_path),
        cmocka_unit_test(an_error_of_a_secret_does_not_quote_it),
        cmocka_unit_test(a_run_that_fails_adds_nothing_and_names_are_of_all_its_files),
        cmocka_unit_test(data_are_limited),
        cmocka_unit_test(what_is_encoded_reads_back_the_same),
        cmocka_unit_test(the_api_sees_metadata_defaults_and_status),
        cmocka_unit_test(what_a_stranger_says_of_uid_and_times_does_not_count),
        cmocka_unit_test(thousands_of_objects_take_a_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

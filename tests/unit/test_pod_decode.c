/* SPDX-License-Identifier: Apache-2.0 */
/* Pods as people write them, to specs. */
#include "unit.h"

#include "base/buf.h"
#include "manifest/objects.h"

static int parse(const char *text, struct objects *into, struct err *e)
{
    const struct objects_options o = {.file = "app.yaml", .base_dir = "/srv/app"};

    return objects_parse(text_of(text), &o, into, e);
}

/* The one pod of a text. */
static const struct pod_spec *pod_of(const char *text, struct objects *s)
{
    struct err e = ERR_INIT;

    assert_ok(parse(text, s, &e));
    assert_int_equal(s->v[s->n - 1]->kind, OBJECT_POD);
    return s->v[s->n - 1]->pod;
}

#define HEAD "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"

static void a_short_pod_gets_the_defaults_of_kubernetes(void **state)
{
    autoobjects s = {0};
    const struct pod_spec *p = pod_of(HEAD "spec:\n"
                                           "  containers:\n"
                                           "  - name: nginx\n"
                                           "    image: nginx:1.14.2\n"
                                           "    ports:\n"
                                           "    - containerPort: 80\n",
                                      &s);
    const struct pod_container *c = &p->containers[0];

    (void)state;
    assert_string_equal(p->space, "default");
    assert_string_equal(p->name, "web");
    assert_null(p->uid);
    assert_int_equal(p->restart, POD_RESTART_ALWAYS);
    assert_int_equal(p->grace_ms, 30000);
    assert_int_equal(p->active_deadline_ms, 0);
    assert_true(p->is_host_network);
    assert_int_equal(p->n_containers, 1);
    assert_int_equal(p->n_first, 0);
    assert_int_equal(c->kind, POD_CONTAINER_GUEST);
    assert_int_equal(c->role, POD_ROLE_MAIN);
    assert_string_equal(c->image, "nginx:1.14.2");
    assert_int_equal(c->pull, POD_PULL_MISSING);
    assert_false(c->has_command || c->has_args || c->is_file);
    assert_int_equal(c->ports[0].port, 80);
    assert_int_equal(c->ports[0].protocol, POD_TCP);
    assert_string_equal(c->message_path, "/dev/termination-log");
    assert_int_equal(c->message_policy, POD_MESSAGE_FILE);
    assert_null(c->liveness);

    assert_int_equal(s.v[0]->n_parts, 1);
    assert_string_equal(
        s.v[0]->parts[0].json,
        "{\"containers\":[{\"name\":\"nginx\",\"image\":\"nginx:1.14.2\",\"ports\":[{"
        "\"containerPort\":80}],"
        "\"imagePullPolicy\":\"IfNotPresent\",\"terminationMessagePath\":\"/dev/termination-log\","
        "\"terminationMessagePolicy\":\"File\"}],\"restartPolicy\":\"Always\","
        "\"terminationGracePeriodSeconds\":30}");
}

static void images_are_pulled_as_kubernetes_does_and_paths_are_absolute(void **state)
{
    static const struct {
        const char *written, *image;
        bool is_file;
        enum pod_pull pull;
    } rows[] = {
        {"busybox",                  "busybox",                  false, POD_PULL_ALWAYS },
        {"busybox:latest",           "busybox:latest",           false, POD_PULL_ALWAYS },
        {"localhost:5000/busybox",   "localhost:5000/busybox",   false, POD_PULL_ALWAYS },
        {"localhost:5000/busybox:1", "localhost:5000/busybox:1", false, POD_PULL_MISSING},
        {"a@sha256:0",               "a@sha256:0",               false, POD_PULL_MISSING},
        {"./a b.wasm",               "/srv/app/a b.wasm",        true,  POD_PULL_MISSING},
        {".//x/./a.wasm",            "/srv/app/x/./a.wasm",      true,  POD_PULL_MISSING},
        {"../a.wasm",                "/srv/app/../a.wasm",       true,  POD_PULL_MISSING},
        {"/a.wasm",                  "/a.wasm",                  true,  POD_PULL_MISSING},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autoobjects s = {0};
        autobuf text = BUF_INIT;
        const struct pod_container *c;

        buf_addf(&text, HEAD "spec: {containers: [{name: a, image: '%s'}]}\n", rows[i].written);
        c = &pod_of(buf_str(&text), &s)->containers[0];
        assert_string_equal(c->image, rows[i].image);
        assert_int_equal(c->is_file, rows[i].is_file);
        assert_int_equal(c->pull, rows[i].pull);
        assert_contains(s.v[0]->parts[0].json, rows[i].image);
    }
}

static void probes_have_defaults_and_named_ports_are_resolved(void **state)
{
    autoobjects s = {0};
    const struct pod_container *c =
        &pod_of(HEAD
                "spec:\n"
                "  containers:\n"
                "  - name: a\n"
                "    image: a:1\n"
                "    ports: [{name: http, containerPort: 8080, hostPort: 8080}]\n"
                "    startupProbe:\n"
                "      httpGet: {path: healthz?full, port: http, scheme: HTTPS, host: x.example, "
                "httpHeaders: [{name: Custom-Header, value: Awesome}]}\n"
                "      failureThreshold: 30\n"
                "      periodSeconds: 0\n"
                "    livenessProbe:\n"
                "      exec: {command: [cat, /tmp/healthy]}\n"
                "      initialDelaySeconds: 5\n"
                "      periodSeconds: 5\n"
                "      timeoutSeconds: 3\n"
                "      terminationGracePeriodSeconds: 60\n"
                "    readinessProbe:\n"
                "      grpc: {port: 2379}\n"
                "      successThreshold: 2\n"
                "    lifecycle:\n"
                "      postStart: {tcpSocket: {port: 81}}\n"
                "      preStop: {sleep: {seconds: 4}}\n",
                &s)
             ->containers[0];

    (void)state;
    assert_int_equal(c->startup->action.kind, POD_ACTION_HTTP);
    assert_int_equal(c->startup->action.port, 8080);
    assert_string_equal(c->startup->action.path, "/healthz?full");
    assert_true(c->startup->action.is_https);
    assert_string_equal(c->startup->action.host, "x.example");
    assert_string_equal(pod_pair_find(&c->startup->action.headers, "Custom-Header"), "Awesome");
    assert_int_equal(c->startup->failure_threshold, 30);
    assert_int_equal(c->startup->period_ms, 10000);
    assert_int_equal(c->startup->timeout_ms, 1000);
    assert_int_equal(c->startup->initial_delay_ms, 0);
    assert_int_equal(c->startup->success_threshold, 1);
    assert_int_equal(c->startup->grace_ms, -1);
    assert_int_equal(c->liveness->action.kind, POD_ACTION_EXEC);
    assert_string_equal(c->liveness->action.command.v[1], "/tmp/healthy");
    assert_int_equal(c->liveness->initial_delay_ms, 5000);
    assert_int_equal(c->liveness->timeout_ms, 3000);
    assert_int_equal(c->liveness->failure_threshold, 3);
    assert_int_equal(c->liveness->grace_ms, 60000);
    assert_int_equal(c->readiness->action.kind, POD_ACTION_GRPC);
    assert_int_equal(c->readiness->action.port, 2379);
    assert_string_equal(c->readiness->action.service, "");
    assert_int_equal(c->readiness->success_threshold, 2);
    assert_int_equal(c->post_start->kind, POD_ACTION_TCP);
    assert_int_equal(c->post_start->port, 81);
    assert_int_equal(c->pre_stop->sleep_ms, 4000);
}

static void variables_come_from_everywhere(void **state)
{
    autoobjects s = {0};
    const struct pod_container *c =
        &pod_of(
             HEAD
             "spec:\n"
             "  containers:\n"
             "  - name: a\n"
             "    image: a:1\n"
             "    envFrom:\n"
             "    - {prefix: CFG_, configMapRef: {name: special-config}}\n"
             "    - {secretRef: {name: login, optional: true}}\n"
             "    env:\n"
             "    - {name: PLAIN, value: \"$(NODE) $$x\"}\n"
             "    - name: EMPTY\n"
             "    - name: LEVEL\n"
             "      valueFrom: {configMapKeyRef: {name: special-config, key: special.how}}\n"
             "    - name: PASSWORD\n"
             "      valueFrom: {secretKeyRef: {name: login, key: password, optional: true}}\n"
             "    - name: NODE\n"
             "      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}\n"
             "    - name: LABEL\n"
             "      valueFrom: {fieldRef: {apiVersion: v1, fieldPath: \"metadata.labels['a']\"}}\n"
             "    - name: MEMORY\n"
             "      valueFrom: {resourceFieldRef: {containerName: a, resource: limits.memory, "
             "divisor: 1Mi}}\n"
             "    - name: CPU\n"
             "      valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1}}\n",
             &s)
             ->containers[0];
    const struct pod_variable *v = c->variables;

    (void)state;
    assert_int_equal(c->n_variables, 10);
    assert_int_equal(v[0].source, POD_VARIABLE_ALL_CONFIG);
    assert_string_equal(v[0].name, "CFG_");
    assert_string_equal(v[0].object, "special-config");
    assert_int_equal(v[1].source, POD_VARIABLE_ALL_SECRET);
    assert_true(v[1].is_optional && !v[1].name);
    assert_string_equal(v[2].value, "$(NODE) $$x");
    assert_string_equal(v[3].value, "");
    assert_int_equal(v[4].source, POD_VARIABLE_CONFIG_KEY);
    assert_string_equal(v[4].key, "special.how");
    assert_int_equal(v[5].source, POD_VARIABLE_SECRET_KEY);
    assert_true(v[5].is_optional);
    assert_int_equal(v[6].source, POD_VARIABLE_FIELD);
    assert_string_equal(v[6].key, "spec.nodeName");
    assert_string_equal(v[7].key, "metadata.labels['a']");
    assert_int_equal(v[8].source, POD_VARIABLE_RESOURCE);
    assert_string_equal(v[8].object, "a");
    assert_int_equal(v[8].divisor, 1 << 20);
    assert_int_equal(v[9].divisor, 1000);
    assert_null(v[9].object);
}

static const char with_volumes[] =
    HEAD "spec:\n"
         "  containers:\n"
         "  - name: a\n"
         "    image: a:1\n"
         "    volumeMounts:\n"
         "    - {name: cache, mountPath: /cache}\n"
         "    - {name: config, mountPath: /etc/app.conf, subPath: app.conf, readOnly: true}\n"
         "    - {name: cache, mountPath: /logs, subPathExpr: $(POD_NAME)}\n"
         "  volumes:\n"
         "  - {name: cache, emptyDir: {medium: Memory, sizeLimit: 500Mi}}\n"
         "  - {name: none}\n"
         "  - {name: host, hostPath: {path: /data/foo, type: DirectoryOrCreate}}\n"
         "  - name: config\n"
         "    configMap: {name: log-config, items: [{key: log_level, path: log/level.conf, "
         "mode: 0400}]}\n"
         "  - {name: secret, secret: {secretName: s, optional: true, defaultMode: 0400}}\n"
         "  - name: info\n"
         "    downwardAPI:\n"
         "      items:\n"
         "      - {path: labels, fieldRef: {fieldPath: metadata.labels}}\n"
         "      - {path: cpu, resourceFieldRef: {containerName: a, resource: limits.cpu, "
         "divisor: 1m}}\n"
         "  - name: all\n"
         "    projected:\n"
         "      sources:\n"
         "      - secret: {name: s, items: [{key: user, path: u}]}\n"
         "      - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}\n"
         "      - configMap: {name: c, optional: true}\n"
         "  - {name: data, persistentVolumeClaim: {claimName: data, readOnly: true}}\n";

static void volumes_of_every_kind_are_mounted(void **state)
{
    autoobjects s = {0};
    const struct pod_spec *p = pod_of(with_volumes, &s);
    const struct pod_mount *m = p->containers[0].mounts;
    const struct pod_volume *v = p->volumes;

    (void)state;
    assert_int_equal(p->n_volumes, 8);
    assert_true(v[0].kind == POD_VOLUME_EMPTY && v[0].is_memory);
    assert_int_equal(v[0].limit_bytes, 500 << 20);
    assert_int_equal(v[1].kind, POD_VOLUME_EMPTY);
    assert_int_equal(v[2].host_path_type, POD_HOST_PATH_DIRECTORY_OR_CREATE);
    assert_string_equal(v[2].path, "/data/foo");
    assert_int_equal(v[3].kind, POD_VOLUME_CONFIG);
    assert_int_equal(v[3].mode, 0644);
    assert_string_equal(v[3].projections[0].object, "log-config");
    assert_string_equal(v[3].projections[0].items[0].path, "log/level.conf");
    assert_int_equal(v[3].projections[0].items[0].mode, 0400);
    assert_int_equal(v[4].mode, 0400);
    assert_true(v[4].projections[0].is_optional);
    assert_null(v[5].projections[0].object);
    assert_string_equal(v[5].projections[0].items[0].key, "metadata.labels");
    assert_null(v[5].projections[0].items[0].container);
    assert_string_equal(v[5].projections[0].items[1].container, "a");
    assert_int_equal(v[5].projections[0].items[1].divisor, 1);
    assert_int_equal(v[6].n_projections, 3);
    assert_int_equal(v[6].projections[1].kind, POD_VOLUME_DOWNWARD);
    assert_int_equal(v[6].projections[0].items[0].mode, -1);
    assert_string_equal(v[7].claim, "data");
    assert_true(v[7].is_read_only);
    assert_string_equal(m[1].sub_path, "app.conf");
    assert_true(m[1].is_read_only && !m[1].is_sub_path_expanded);
    assert_true(m[2].is_sub_path_expanded);
    assert_null(m[0].sub_path);
}

static void inits_and_sidecars_come_first(void **state)
{
    autoobjects s = {0};
    const struct pod_spec *p = pod_of(
        HEAD
        "spec:\n"
        "  restartPolicy: OnFailure\n"
        "  terminationGracePeriodSeconds: 0\n"
        "  activeDeadlineSeconds: 100\n"
        "  hostname: box\n"
        "  hostNetwork: true\n"
        "  serviceAccountName: robot\n"
        "  tolerations: [{operator: Exists}]\n"
        "  nodeSelector: {kubernetes.io/arch: wasm32-wasi}\n"
        "  affinity: {anything: {goes: [here]}}\n"
        "  dnsPolicy: ClusterFirst\n"
        "  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n"
        "  hostAliases: [{ip: 10.1.2.3, hostnames: [foo.remote, bar.remote]}]\n"
        "  initContainers:\n"
        "  - {name: first, image: 'a:1', command: [sh, -c], args: [exit]}\n"
        "  - {name: logs, image: 'a:1', restartPolicy: Always, readinessProbe: {tcpSocket: {port: "
        "1}}}\n"
        "  containers:\n"
        "  - name: main\n"
        "    image: a:1\n"
        "    workingDir: /work\n"
        "    stdin: true\n"
        "    tty: true\n"
        "    resources: {requests: {cpu: 250m}, limits: {cpu: 0.5, memory: 64Mi}}\n"
        "    securityContext:\n"
        "      readOnlyRootFilesystem: true\n"
        "      allowPrivilegeEscalation: false\n"
        "      capabilities: {drop: [ALL]}\n",
        &s);
    const struct pod_container *main_one = pod_container_find(p, "main");

    (void)state;
    assert_int_equal(p->n_containers, 3);
    assert_int_equal(p->n_first, 2);
    assert_int_equal(p->containers[0].role, POD_ROLE_INIT);
    assert_true(p->containers[0].has_command && p->containers[0].has_args);
    assert_string_equal(p->containers[0].command.v[1], "-c");
    assert_int_equal(p->containers[1].role, POD_ROLE_SIDECAR);
    assert_ptr_equal(main_one, &p->containers[2]);
    assert_int_equal(p->restart, POD_RESTART_ON_FAILURE);
    assert_int_equal(p->grace_ms, 0);
    assert_int_equal(p->active_deadline_ms, 100000);
    assert_string_equal(p->hostname, "box");
    assert_string_equal(p->service_account, "robot");
    assert_string_equal(pod_pair_find(&p->host_aliases, "10.1.2.3"), "foo.remote bar.remote");
    assert_string_equal(main_one->working_dir, "/work");
    assert_true(main_one->has_stdin && main_one->has_tty && !main_one->is_stdin_once);
    assert_int_equal(main_one->resources.cpu_limit_milli, 500);
    assert_int_equal(main_one->resources.cpu_request_milli, 250);
    assert_int_equal(main_one->resources.memory_limit_bytes, 64 << 20);
    assert_int_equal(main_one->resources.memory_request_bytes, 64 << 20);
    /* What has no effect is kept all the same. */
    assert_contains(s.v[0]->parts[0].json, "\"affinity\":{\"anything\":{\"goes\":[\"here\"]}}");
}

static void annotations_grant(void **state)
{
    autoobjects s = {0};
    const struct pod_spec *p =
        pod_of("apiVersion: v1\n"
               "kind: Pod\n"
               "metadata:\n"
               "  name: web\n"
               "  annotations:\n"
               "    wherry.dev/allow-net: \"db.example:5432, 10.0.0.0/8:*,\"\n"
               "    wherry.dev/allow-net.a: \"[::1]:80\"\n"
               "    wherry.dev/invoke.b: run\n"
               "    wherry.dev/scale.a: \"8\"\n"
               "    wherry.dev/timeout: 1m\n"
               "    wherry.dev/timeout.b: 1.5s\n"
               "    other.example/scale: x\n"
               "spec: {containers: [{name: a, image: 'a:1'}, {name: b, image: 'b:1'}]}\n",
               &s);

    (void)state;
    assert_int_equal(p->containers[0].allow_net.n, 3);
    assert_string_equal(p->containers[0].allow_net.v[0], "db.example:5432");
    assert_string_equal(p->containers[0].allow_net.v[1], "10.0.0.0/8:*");
    assert_string_equal(p->containers[0].allow_net.v[2], "[::1]:80");
    assert_int_equal(p->containers[1].allow_net.n, 2);
    assert_int_equal(p->containers[0].kind, POD_CONTAINER_SCALED);
    assert_int_equal(p->containers[0].scale, 8);
    assert_int_equal(p->containers[1].kind, POD_CONTAINER_GUEST);
    assert_string_equal(p->containers[1].invoke, "run");
    assert_null(p->containers[0].invoke);
    assert_int_equal(p->containers[0].timeout_ms, 60000);
    assert_int_equal(p->containers[1].timeout_ms, 1500);
}

static void a_stamped_pod_knows_its_uid(void **state)
{
    autoobjects s = {0};
    const struct pod_spec *p = pod_of(HEAD "spec: {containers: [{name: a, image: 'a:1'}]}\n", &s);

    (void)state;
    object_stamp(s.v[0], "uid-1", NULL, NULL);
    assert_string_equal(p->uid, "uid-1");
}

/* ---- What is refused ---- */

static void assert_refused(const char *text, const char *reason, const char *said)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};

    if (parse(text, &s, &e) == 0)
        fail_msg("accepted:\n%s", text);
    if (!str_eq(e.msg, said))
        fail_msg("says\n%s\nnot\n%s", e.msg, said);
    assert_string_equal(e.reason, reason);
}

/* Lines behind a pod with one container, which ends in line 8, and what is said behind "app.yaml:".
 */
#define BAD(text_, said_)         assert_refused(ONE text_, "BadManifest", "app.yaml:" said_)
#define UNSUPPORTED(text_, said_) assert_refused(ONE text_, "NotSupported", "app.yaml:" said_)
#define ONE                       HEAD "spec:\n  containers:\n  - name: a\n    image: a:1\n"

static void mistakes_in_fields_of_a_container_have_their_line(void **state)
{
    (void)state;
    BAD("    imge: b\n", "9: $.spec.containers[0].imge: unknown field; did you mean 'image'?");
    BAD("    volumemounts: []\n",
        "9: $.spec.containers[0].volumemounts: unknown field; did you mean 'volumeMounts'?");
    BAD("    zzz: 1\n", "9: $.spec.containers[0].zzz: unknown field");
    BAD("    command: sh\n", "9: $.spec.containers[0].command: expected a list of strings");
    BAD("    args:\n    - a\n    - 1\n",
        "11: $.spec.containers[0].args[1]: expected a string; write it in quotes");
    BAD("    tty: 1\n", "9: $.spec.containers[0].tty: expected true or false");
    BAD("    ports:\n    - containerPort: 99999\n",
        "10: $.spec.containers[0].ports[0].containerPort: 99999 is not between 1 and 65535");
    BAD("    ports: [{name: x}]\n", "9: $.spec.containers[0].ports[0].containerPort: is missing");
    BAD("    ports:\n    - {name: x, containerPort: 1}\n    - {name: x, containerPort: 2}\n",
        "11: $.spec.containers[0].ports[1].name: the container has another port 'x'");
    BAD("    ports: [{name: HTTP, containerPort: 1}]\n",
        "9: $.spec.containers[0].ports[0].name: 'HTTP' is not allowed; write at most 15 of a-z, "
        "0-9 and '-', with a letter in it");
    BAD("    ports: [{containerPort: 80, hostPort: 8080}]\n",
        "9: $.spec.containers[0].ports[0].hostPort: is another number than containerPort, 80; pods "
        "use the network of the host, where it is the same port");
    BAD("    ports: [{containerPort: 80, protocol: SCTP}]\n",
        "9: $.spec.containers[0].ports[0].protocol: 'SCTP' is none of TCP, UDP; did you mean "
        "'TCP'?");
    BAD("    volumeMounts:\n    - {name: x, mountPath: /x}\n",
        "10: $.spec.containers[0].volumeMounts[0].name: the pod has no volume 'x'; name one in its "
        "volumes");
    BAD("    resources: {limits: {memory: 64MB}}\n",
        "9: $.spec.containers[0].resources.limits.memory: '64MB' is no quantity; write a number "
        "with m, k, M, G, Ki, Mi or Gi behind it, such as 100m or 64Mi");
    BAD("    resources: {limits: {memory: [1]}}\n",
        "9: $.spec.containers[0].resources.limits.memory: expected a string or a number");
    BAD("    resources: {limits: {cpu: 1}, requests: {cpu: 1100m}}\n",
        "9: $.spec.containers[0].resources.requests.cpu: is more than the limit of cpu");
    BAD("    resources: {limits: {memory: 1Mi}, requests: {memory: 2Mi}}\n",
        "9: $.spec.containers[0].resources.requests.memory: is more than the limit of memory");
}

static void mistakes_in_variables_have_their_line(void **state)
{
    (void)state;
    BAD("    env: [{name: A=B, value: x}]\n", "9: $.spec.containers[0].env[0].name: 'A=B' is not "
                                              "allowed; write printable ASCII without '='");
    BAD("    env: [{name: A, value: 1}]\n",
        "9: $.spec.containers[0].env[0].value: expected a string; write it in quotes");
    BAD("    env: [{name: A, valueFrom: {}}]\n",
        "9: $.spec.containers[0].env[0].valueFrom: one of fieldRef, resourceFieldRef, "
        "configMapKeyRef and secretKeyRef was expected");
    BAD("    env: [{name: A, value: x, valueFrom: {}}]\n",
        "9: $.spec.containers[0].env[0]: it has a value and a valueFrom; write one of them");
    BAD("    env: [{name: A, valueFrom: {configMapKeyRef: {name: c}}}]\n",
        "9: $.spec.containers[0].env[0].valueFrom.configMapKeyRef.key: is missing");
    BAD("    env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.mem}}}]\n",
        "9: $.spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: 'limits.mem' is none "
        "of limits.cpu, limits.memory, requests.cpu, requests.memory; did you mean "
        "'limits.memory'?");
    BAD("    env: [{name: A, valueFrom: {resourceFieldRef: {containerName: b, resource: "
        "limits.cpu}}}]\n",
        "9: $.spec.containers[0].env: 'A' refers to the container 'b', which is not there");
    BAD("    envFrom: [{}]\n",
        "9: $.spec.containers[0].envFrom[0]: one of configMapRef and secretRef was expected");
}

static void mistakes_in_policies_and_probes_have_their_line(void **state)
{
    (void)state;
    BAD("    imagePullPolicy: always\n",
        "9: $.spec.containers[0].imagePullPolicy: 'always' is none of IfNotPresent, Always, Never; "
        "did you mean 'Always'?");
    BAD("    terminationMessagePath: x\n", "9: $.spec.containers[0].terminationMessagePath: 'x' is "
                                           "no absolute path; begin it with '/'");
    BAD("    livenessProbe: {}\n", "9: $.spec.containers[0].livenessProbe: says nothing to do: one "
                                   "of httpGet, tcpSocket, grpc and exec was expected");
    BAD("    livenessProbe: {grpc: {port: 1}, exec: {command: [a]}}\n",
        "9: $.spec.containers[0].livenessProbe: says several things: one of httpGet, tcpSocket, "
        "grpc and exec was expected");
    BAD("    livenessProbe: {httpGet: {port: web}}\n",
        "9: $.spec.containers[0].livenessProbe.httpGet.port: the container 'a' has no port of the "
        "name 'web'; name one in its ports, or write a number without quotes");
    BAD("    livenessProbe: {httpGet: {port: 0}}\n",
        "9: $.spec.containers[0].livenessProbe.httpGet.port: 0 is no port; write 1 to 65535 or a "
        "port's name");
    BAD("    livenessProbe: {httpGet: {port: 1, path: '/a b'}}\n",
        "9: $.spec.containers[0].livenessProbe.httpGet.path: there are blanks or other than ASCII "
        "characters; encode them with %");
    BAD("    livenessProbe: {exec: {}}\n",
        "9: $.spec.containers[0].livenessProbe.exec.command: is missing");
    BAD("    livenessProbe: {grpc: {port: 1}, successThreshold: 2}\n",
        "9: $.spec.containers[0].livenessProbe.successThreshold: has to be 1 here; only a "
        "readinessProbe may have more");
    BAD("    livenessProbe: {grpc: {port: 1}, periodSeconds: -1}\n",
        "9: $.spec.containers[0].livenessProbe.periodSeconds: -1 is not between 0 and 2147483647");
    BAD("    readinessProbe: {grpc: {port: 1}, terminationGracePeriodSeconds: 1}\n",
        "9: $.spec.containers[0].readinessProbe.terminationGracePeriodSeconds: means nothing here: "
        "a readinessProbe stops no container");
    BAD("    lifecycle: {preStop: {httpGet: {port: 1, httpHeaders: [{name: 'a:', value: b}]}}}\n",
        "9: $.spec.containers[0].lifecycle.preStop.httpGet.httpHeaders[0]: 'a:' is no header of "
        "HTTP, or its value has several lines");
}

static void mistakes_in_another_container_have_their_line(void **state)
{
    (void)state;
    BAD("  - {name: a, image: b}\n",
        "9: $.spec.containers[1].name: there is another container 'a'");
    BAD("  - {name: A, image: b}\n",
        "9: $.spec.containers[1].name: 'A' is not allowed; write at most 63 of a-z, 0-9 and '-', "
        "beginning and ending with a letter or digit");
    BAD("  - {name: b}\n", "9: $.spec.containers[1].image: is missing");
    BAD("  - {name: b, image: ''}\n",
        "9: $.spec.containers[1].image: is empty; write the name of an image or a path");
    BAD("  - {name: b, image: 'a b'}\n",
        "9: $.spec.containers[1].image: has blanks or control characters in it");
}

static void mistakes_in_a_pod_have_their_line(void **state)
{
    (void)state;
    BAD("  restartPolicy: Allways\n", "9: $.spec.restartPolicy: 'Allways' is none of Always, "
                                      "OnFailure, Never; did you mean 'Always'?");
    BAD("  hostname: a.b\n", "9: $.spec.hostname: 'a.b' is not allowed; write at most 63 of a-z, "
                             "0-9 and '-', beginning and ending with a letter or digit");
    BAD("  activeDeadlineSeconds: 0\n",
        "9: $.spec.activeDeadlineSeconds: 0 is not between 1 and 2147483647");
    BAD("  hostAliases: [{ip: x}]\n", "9: $.spec.hostAliases[0].ip: 'x' is no address");
    BAD("  volumes: [{name: a, emptyDir: {}, configMap: {name: c}}]\n",
        "9: $.spec.volumes[0]: it has emptyDir and configMap; a volume is of one kind");
    BAD("  volumes: [{name: a}, {name: a}]\n",
        "9: $.spec.volumes[1].name: there is another volume 'a'");
    BAD("  volumes: [{name: a, emptyDir: {medium: memory}}]\n",
        "9: $.spec.volumes[0].emptyDir.medium: 'memory' is none of Memory; did you mean 'Memory'?");
    BAD("  volumes: [{name: a, emptyDir: {sizeLimit: 1X}}]\n",
        "9: $.spec.volumes[0].emptyDir.sizeLimit: '1X' is no quantity; write a number with m, k, "
        "M, G, Ki, Mi or Gi behind it, such as 100m or 64Mi");
    BAD("  volumes: [{name: a, hostPath: {path: data}}]\n",
        "9: $.spec.volumes[0].hostPath.path: 'data' is no absolute path; begin it with '/'");
    BAD("  volumes: [{name: a, hostPath: {path: /data/../etc}}]\n",
        "9: $.spec.volumes[0].hostPath.path: '/data/../etc' has '..' in it; write the path in "
        "full");
    BAD("  volumes: [{name: a, configMap: {name: c, items: [{key: k, path: ../x}]}}]\n",
        "9: $.spec.volumes[0].configMap.items[0].path: '../x' is no relative path without '..'");
    BAD("  volumes: [{name: a, configMap: {name: c, defaultMode: 01000}}]\n",
        "9: $.spec.volumes[0].configMap.defaultMode: 512 is not between 0 and 511");
    BAD("  volumes: [{name: a, secret: {name: s}}]\n",
        "9: $.spec.volumes[0].secret.name: unknown field");
    BAD("  volumes: [{name: a, projected: {sources: [{}]}}]\n",
        "9: $.spec.volumes[0].projected.sources[0]: one of configMap, secret and downwardAPI was "
        "expected");
    BAD("  volumes: [{name: a, downwardAPI: {items: [{path: x, resourceFieldRef: {resource: "
        "limits.cpu}}]}}]\n",
        "9: $.spec.volumes[0].downwardAPI.items[0].resourceFieldRef: containerName is missing: a "
        "file belongs to no container");
    BAD("  volumes: [{name: a, downwardAPI: {items: [{path: x, resourceFieldRef: {containerName: "
        "z, resource: limits.cpu}}]}}]\n",
        "9: $.spec.volumes[0]: 'x' refers to the container 'z', which is not there");
    BAD("  initContainers: [{name: i, image: a, livenessProbe: {grpc: {port: 1}}}]\n",
        "9: $.spec.initContainers[0]: an init container has neither probes nor lifecycle; with "
        "restartPolicy: Always it is a sidecar, which may");
    BAD("  initContainers: [{name: a, image: a}]\n",
        "7: $.spec.containers[0].name: there is another container 'a'");
}

static void what_wherry_has_not_is_refused_and_says_why(void **state)
{
    (void)state;
    UNSUPPORTED("    securityContext: {runAsUser: 1000}\n",
                "9: $.spec.containers[0].securityContext.runAsUser: not supported: guests have no "
                "user: they reach only the volumes that are mounted; leave it out");
    UNSUPPORTED("    securityContext: {privileged: true}\n",
                "9: $.spec.containers[0].securityContext.privileged: not supported: a guest has "
                "what is mounted and granted, and no privileges");
    UNSUPPORTED("    securityContext: {capabilities: {add: [NET_ADMIN]}}\n",
                "9: $.spec.containers[0].securityContext.capabilities.add: not supported: a guest "
                "has no capabilities");
    UNSUPPORTED("    securityContext: {seccompProfile: {type: Localhost, localhostProfile: x}}\n",
                "9: $.spec.containers[0].securityContext.seccompProfile.localhostProfile: not "
                "supported: guests make no system calls; write type: RuntimeDefault");
    UNSUPPORTED("    resources: {limits: {nvidia.com/gpu: 1}}\n",
                "9: $.spec.containers[0].resources.limits.nvidia.com/gpu: not supported: there are "
                "cpu and memory");
    UNSUPPORTED("    restartPolicy: Never\n",
                "9: $.spec.containers[0].restartPolicy: not supported: write it for the pod; only "
                "an init container has one of its own");
    UNSUPPORTED("    volumeDevices: []\n", "9: $.spec.containers[0].volumeDevices: not supported: "
                                           "guests have no devices; use volumeMounts");
    UNSUPPORTED(
        "  hostNetwork: false\n",
        "9: $.spec.hostNetwork: not supported: pods use the network of the host; leave it out");
    UNSUPPORTED("  hostPID: true\n",
                "9: $.spec.hostPID: not supported: guests see no processes; leave it out");
    UNSUPPORTED("  imagePullSecrets: [{name: x}]\n",
                "9: $.spec.imagePullSecrets: not supported: log in by wherry login");
    UNSUPPORTED("  securityContext: {fsGroup: 2000}\n",
                "9: $.spec.securityContext.fsGroup: not supported: guests have no user or group: "
                "they reach only the volumes that are mounted; leave it out");
    UNSUPPORTED("  volumes: [{name: a, nfs: {server: x, path: /}}]\n",
                "9: $.spec.volumes[0].nfs: not supported: there are emptyDir, hostPath, configMap, "
                "secret, downwardAPI, projected and persistentVolumeClaim");
}

#define ANNOTATION(text_, said_)                                                                   \
    assert_refused("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: b}]}\n"        \
                   "metadata: {name: a, annotations: {wherry.dev/" text_,                          \
                   "BadManifest", "app.yaml:4: $.metadata.annotations.wherry.dev/" said_)

static void mistakes_in_annotations_have_their_line(void **state)
{
    (void)state;
    ANNOTATION("allow-net: db.example}}\n",
               "allow-net: 'db.example' has no port; write HOST:PORT, HOST:* for all ports");
    ANNOTATION("allow-net.b: 'x:1'}}\n", "allow-net.b: the pod has no container 'b'");
    ANNOTATION("allow-nte: 'x:1'}}\n",
               "allow-nte: unknown annotation of wherry; did you mean 'wherry.dev/allow-net'?");
    ANNOTATION("other: x}}\n",
               "other: unknown annotation of wherry; there are allow-net, invoke, scale and "
               "timeout");
    ANNOTATION("scale: '8'}}\n",
               "scale: write wherry.dev/scale.CONTAINER, with a container's name");
    ANNOTATION("scale.a: '0'}}\n", "scale.a: '0' is no whole number from 1 to 1000");
    ANNOTATION("scale.a: '8x'}}\n", "scale.a: '8x' is no whole number from 1 to 1000");
    ANNOTATION("scale.a: 8}}\n", "scale.a: expected a string; write it in quotes");
    ANNOTATION("timeout.a: soon}}\n",
               "timeout.a: 'soon' is not a duration; write it as 90, 1.5s, 250ms, 2m or 1h30m");
    ANNOTATION("invoke.a: ''}}\n", "invoke.a: the name of an export was expected");
}

static void a_relative_path_needs_a_folder(void **state)
{
    const struct objects_options o = {.file = "<stdin>"};
    struct err e = ERR_INIT;
    autoobjects s = {0};

    (void)state;
    assert_fails(objects_parse(text_of(HEAD "spec: {containers: [{name: a, image: ./a.wasm}]}\n"),
                               &o, &s, &e),
                 -EINVAL, "BadManifest");
    assert_string_equal(
        e.msg, "<stdin>:5: $.spec.containers[0].image: './a.wasm' is relative, and what comes "
               "from no file has no folder; write the path in full");
}

static void a_pod_has_containers_but_not_too_many(void **state)
{
    struct err e = ERR_INIT;
    autoobjects s = {0};
    autobuf text = BUF_INIT;

    (void)state;
    assert_fails(parse(HEAD "spec: {containers: []}\n", &s, &e), -EINVAL, "BadManifest");
    assert_string_equal(e.msg, "app.yaml:5: $.spec.containers: a pod needs at least one container");
    assert_fails(parse(HEAD "spec: {}\n", &s, &e), -EINVAL, "BadManifest");
    assert_string_equal(e.msg, "app.yaml:5: $.spec.containers: is missing");
    buf_addstr(&text, HEAD "spec:\n  initContainers: [{name: i, image: a}]\n  containers:\n");
    for (int i = 0; i < POD_CONTAINER_LIMIT; i++)
        buf_addf(&text, "  - {name: c%d, image: a}\n", i);
    assert_fails(parse(buf_str(&text), &s, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "app.yaml:7: $.spec.containers: more than 64 containers in all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_pod_gets_the_defaults_of_kubernetes),
        cmocka_unit_test(images_are_pulled_as_kubernetes_does_and_paths_are_absolute),
        cmocka_unit_test(probes_have_defaults_and_named_ports_are_resolved),
        cmocka_unit_test(variables_come_from_everywhere),
        cmocka_unit_test(volumes_of_every_kind_are_mounted),
        cmocka_unit_test(inits_and_sidecars_come_first),
        cmocka_unit_test(annotations_grant),
        cmocka_unit_test(a_stamped_pod_knows_its_uid),
        cmocka_unit_test(mistakes_in_fields_of_a_container_have_their_line),
        cmocka_unit_test(mistakes_in_variables_have_their_line),
        cmocka_unit_test(mistakes_in_policies_and_probes_have_their_line),
        cmocka_unit_test(mistakes_in_another_container_have_their_line),
        cmocka_unit_test(mistakes_in_a_pod_have_their_line),
        cmocka_unit_test(what_wherry_has_not_is_refused_and_says_why),
        cmocka_unit_test(mistakes_in_annotations_have_their_line),
        cmocka_unit_test(a_relative_path_needs_a_folder),
        cmocka_unit_test(a_pod_has_containers_but_not_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

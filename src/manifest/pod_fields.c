/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/pod_fields.h"

/* Lists and texts of one pod. That of the whole object is limited too. */
#define LIST_LIMIT  1000
#define PORTS_LIMIT 128
#define SECONDS_MAX 2147483647

#define TEXT_ROW(name_, struct_, member_) JSON_FIELD(name_, FIELD_STRING, struct struct_, member_)
#define BOOL_ROW(name_, struct_, member_) JSON_FIELD(name_, FIELD_BOOL, struct struct_, member_)
#define RAW_ROW(name_, struct_, member_)  JSON_FIELD(name_, FIELD_RAW, struct struct_, member_)
#define NUMBER_ROW(name_, struct_, member_, min_, max_)                                            \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct struct_, member_),         \
        .min = (min_), .max = (max_)                                                               \
    }
/* With has_MEMBER. */
#define NUMBER_OPTIONAL(name_, struct_, member_, min_, max_)                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct struct_, member_),         \
        .min = (min_), .max = (max_), .has_flag = true,                                            \
        .has_offset = offsetof(struct struct_, has_##member_)                                      \
    }
#define OBJECT_ROW(name_, struct_, member_, fields_)                                               \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECT, .offset = offsetof(struct struct_, member_),        \
        .fields = (fields_)                                                                        \
    }
#define OBJECT_OPTIONAL(name_, struct_, member_, fields_)                                          \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECT, .offset = offsetof(struct struct_, member_),        \
        .fields = (fields_), .has_flag = true,                                                     \
        .has_offset = offsetof(struct struct_, has_##member_)                                      \
    }
/* With n_MEMBER. */
#define LIST_ROW(name_, struct_, member_, fields_, limit_)                                         \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct struct_, member_),       \
        .count_offset = offsetof(struct struct_, n_##member_), .fields = (fields_),                \
        .elem_size = sizeof(*((struct struct_ *)NULL)->member_), .limit = (limit_)                 \
    }
#define REFUSED(name_, why_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_REFUSED, .why = (why_)                                      \
    }
#define IGNORED(name_, why_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_IGNORED, .why = (why_)                                      \
    }

/* ---- Environment ---- */

static const struct json_field key_ref_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_key_ref, name),
    JSON_REQUIRED("key", FIELD_STRING, struct raw_key_ref, key),
    BOOL_ROW("optional", raw_key_ref, is_optional),
    {0},
};

static const struct json_field object_ref_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_key_ref, name),
    BOOL_ROW("optional", raw_key_ref, is_optional),
    {0},
};

static const struct json_field field_ref_fields[] = {
    JSON_REQUIRED("fieldPath", FIELD_STRING, struct raw_field_ref, path),
    TEXT_ROW("apiVersion", raw_field_ref, version),
    {0},
};

static const struct json_field resource_ref_fields[] = {
    JSON_REQUIRED("resource", FIELD_STRING, struct raw_resource_ref, resource),
    TEXT_ROW("containerName", raw_resource_ref, container),
    RAW_ROW("divisor", raw_resource_ref, divisor),
    {0},
};

static const struct json_field source_fields[] = {
    OBJECT_OPTIONAL("fieldRef", raw_source, field, field_ref_fields),
    OBJECT_OPTIONAL("resourceFieldRef", raw_source, resource, resource_ref_fields),
    OBJECT_OPTIONAL("configMapKeyRef", raw_source, config, key_ref_fields),
    OBJECT_OPTIONAL("secretKeyRef", raw_source, secret, key_ref_fields),
    REFUSED("fileKeyRef", "variables come from values, ConfigMaps, Secrets and fields of the pod"),
    {0},
};

static const struct json_field variable_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_variable, name),
    TEXT_ROW("value", raw_variable, value),
    OBJECT_OPTIONAL("valueFrom", raw_variable, source, source_fields),
    {0},
};

static const struct json_field variables_from_fields[] = {
    TEXT_ROW("prefix", raw_variables_from, prefix),
    OBJECT_OPTIONAL("configMapRef", raw_variables_from, config, object_ref_fields),
    OBJECT_OPTIONAL("secretRef", raw_variables_from, secret, object_ref_fields),
    {0},
};

/* ---- Probes and hooks ---- */

static const struct json_field header_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_header, name),
    JSON_REQUIRED("value", FIELD_STRING, struct raw_header, value),
    {0},
};

static const struct json_field http_fields[] = {
    TEXT_ROW("path", raw_http, path),
    JSON_REQUIRED("port", FIELD_RAW, struct raw_http, port),
    TEXT_ROW("host", raw_http, host),
    TEXT_ROW("scheme", raw_http, scheme),
    LIST_ROW("httpHeaders", raw_http, headers, header_fields, LIST_LIMIT),
    {0},
};

static const struct json_field tcp_fields[] = {
    JSON_REQUIRED("port", FIELD_RAW, struct raw_tcp, port),
    TEXT_ROW("host", raw_tcp, host),
    {0},
};

static const struct json_field grpc_fields[] = {
    {.name = "port",
     .type = FIELD_INT64,
     .is_required = true,
     .offset = offsetof(struct raw_grpc, port),
     .min = 1,
     .max = 65535},
    TEXT_ROW("service", raw_grpc, service),
    {0},
};

static const struct json_field exec_fields[] = {
    JSON_FIELD("command", FIELD_STRINGS, struct raw_exec, command),
    {0},
};

static const struct json_field sleep_fields[] = {
    {.name = "seconds",
     .type = FIELD_INT64,
     .is_required = true,
     .offset = offsetof(struct raw_sleep, seconds),
     .min = 0,
     .max = SECONDS_MAX},
    {0},
};

static const struct json_field probe_fields[] = {
    {.name = "httpGet",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_probe, action.http),
     .fields = http_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_probe, action.has_http)},
    {.name = "tcpSocket",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_probe, action.tcp),
     .fields = tcp_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_probe, action.has_tcp)},
    {.name = "grpc",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_probe, action.grpc),
     .fields = grpc_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_probe, action.has_grpc)},
    {.name = "exec",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_probe, action.exec),
     .fields = exec_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_probe, action.has_exec)},
    NUMBER_ROW("initialDelaySeconds", raw_probe, initial_delay, 0, SECONDS_MAX),
    NUMBER_ROW("periodSeconds", raw_probe, period, 0, SECONDS_MAX),
    NUMBER_ROW("timeoutSeconds", raw_probe, timeout, 0, SECONDS_MAX),
    NUMBER_ROW("successThreshold", raw_probe, success, 0, SECONDS_MAX),
    NUMBER_ROW("failureThreshold", raw_probe, failure, 0, SECONDS_MAX),
    NUMBER_OPTIONAL("terminationGracePeriodSeconds", raw_probe, grace, 1, SECONDS_MAX),
    {0                                      },
};

static const struct json_field hook_fields[] = {
    {.name = "httpGet",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_action, http),
     .fields = http_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_action, has_http)},
    {.name = "tcpSocket",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_action, tcp),
     .fields = tcp_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_action, has_tcp)},
    {.name = "exec",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_action, exec),
     .fields = exec_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_action, has_exec)},
    {.name = "sleep",
     .type = FIELD_OBJECT,
     .offset = offsetof(struct raw_action, sleep),
     .fields = sleep_fields,
     .has_flag = true,
     .has_offset = offsetof(struct raw_action, has_sleep)},
    {0                                       },
};

static const struct json_field lifecycle_fields[] = {
    OBJECT_OPTIONAL("postStart", raw_lifecycle, post_start, hook_fields),
    OBJECT_OPTIONAL("preStop", raw_lifecycle, pre_stop, hook_fields),
    REFUSED("stopSignal", "guests get no signals"),
    {0},
};

/* ---- Containers ---- */

static const struct json_field port_fields[] = {
    TEXT_ROW("name", raw_port, name),
    {.name = "containerPort",
                              .type = FIELD_INT64,
                              .is_required = true,
                              .offset = offsetof(struct raw_port, port),
                              .min = 1,
                              .max = 65535},
    NUMBER_ROW("hostPort", raw_port, host_port, 0, 65535),
    TEXT_ROW("protocol", raw_port, protocol),
    REFUSED("hostIP", "a port is open on all addresses of the host; leave it out"),
    {0    },
};

static const struct json_field mount_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_mount, volume),
    JSON_REQUIRED("mountPath", FIELD_STRING, struct raw_mount, path),
    TEXT_ROW("subPath", raw_mount, sub_path),
    TEXT_ROW("subPathExpr", raw_mount, sub_path_expr),
    TEXT_ROW("mountPropagation", raw_mount, propagation),
    TEXT_ROW("recursiveReadOnly", raw_mount, recursive),
    BOOL_ROW("readOnly", raw_mount, is_read_only),
    {0},
};

static const struct json_field resources_fields[] = {
    {.name = "limits",
     .type = FIELD_PAIRS,
     .offset = offsetof(struct raw_resources, limits),
     .limit = LIST_LIMIT,
     .takes_numbers = true},
    {.name = "requests",
     .type = FIELD_PAIRS,
     .offset = offsetof(struct raw_resources, requests),
     .limit = LIST_LIMIT,
     .takes_numbers = true},
    REFUSED("claims", "there is no dynamic resource allocation"),
    {0                    },
};

/* What means nothing for a guest is ignored where it asks for less than any guest may do, and
 * refused where somebody would count on it. */
static const struct json_field capabilities_fields[] = {
    JSON_FIELD("add", FIELD_STRINGS, struct raw_capabilities, add),
    IGNORED("drop", "a guest has none"),
    {0},
};

static const struct json_field seccomp_fields[] = {
    JSON_REQUIRED("type", FIELD_STRING, struct raw_profile, type),
    REFUSED("localhostProfile", "guests make no system calls; write type: RuntimeDefault"),
    {0},
};

static const struct json_field apparmor_fields[] = {
    JSON_REQUIRED("type", FIELD_STRING, struct raw_profile, type),
    REFUSED("localhostProfile", "guests have no AppArmor profile; write type: RuntimeDefault"),
    {0},
};

static const struct json_field security_fields[] = {
    BOOL_ROW("privileged", raw_security, is_privileged),
    IGNORED("allowPrivilegeEscalation", "a guest has no privileges and starts no programs"),
    IGNORED("readOnlyRootFilesystem", "a guest has no files but its volumes"),
    IGNORED("runAsNonRoot", "a guest is nobody"),
    OBJECT_ROW("capabilities", raw_security, capabilities, capabilities_fields),
    OBJECT_ROW("seccompProfile", raw_security, seccomp, seccomp_fields),
    OBJECT_ROW("appArmorProfile", raw_security, apparmor, apparmor_fields),
    TEXT_ROW("procMount", raw_security, proc_mount),
    REFUSED("runAsUser",
            "guests have no user: they reach only the volumes that are mounted; leave it out"),
    REFUSED("runAsGroup",
            "guests have no user: they reach only the volumes that are mounted; leave it out"),
    REFUSED("seLinuxOptions", "guests have no SELinux label"),
    REFUSED("windowsOptions", "this is no Windows"),
    {0},
};

static const struct json_field container_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_container, name),
    JSON_REQUIRED("image", FIELD_STRING, struct raw_container, image),
    JSON_OPTIONAL("command", FIELD_STRINGS, struct raw_container, command),
    JSON_OPTIONAL("args", FIELD_STRINGS, struct raw_container, args),
    TEXT_ROW("workingDir", raw_container, working_dir),
    LIST_ROW("env", raw_container, variables, variable_fields, LIST_LIMIT),
    LIST_ROW("envFrom", raw_container, variables_from, variables_from_fields, LIST_LIMIT),
    LIST_ROW("ports", raw_container, ports, port_fields, PORTS_LIMIT),
    LIST_ROW("volumeMounts", raw_container, mounts, mount_fields, LIST_LIMIT),
    OBJECT_ROW("resources", raw_container, resources, resources_fields),
    OBJECT_OPTIONAL("startupProbe", raw_container, startup, probe_fields),
    OBJECT_OPTIONAL("livenessProbe", raw_container, liveness, probe_fields),
    OBJECT_OPTIONAL("readinessProbe", raw_container, readiness, probe_fields),
    OBJECT_ROW("lifecycle", raw_container, lifecycle, lifecycle_fields),
    TEXT_ROW("terminationMessagePath", raw_container, message_path),
    TEXT_ROW("terminationMessagePolicy", raw_container, message_policy),
    TEXT_ROW("imagePullPolicy", raw_container, pull),
    TEXT_ROW("restartPolicy", raw_container, restart),
    OBJECT_ROW("securityContext", raw_container, security, security_fields),
    BOOL_ROW("stdin", raw_container, has_stdin),
    BOOL_ROW("stdinOnce", raw_container, is_stdin_once),
    BOOL_ROW("tty", raw_container, has_tty),
    REFUSED("volumeDevices", "guests have no devices; use volumeMounts"),
    REFUSED("resizePolicy", "resources of a container do not change while it runs"),
    REFUSED("restartPolicyRules", "use restartPolicy"),
    {0},
};

/* ---- Volumes ---- */

static const struct json_field item_fields[] = {
    JSON_REQUIRED("key", FIELD_STRING, struct raw_item, key),
    JSON_REQUIRED("path", FIELD_STRING, struct raw_item, path),
    NUMBER_OPTIONAL("mode", raw_item, mode, 0, 511),
    {0},
};

static const struct json_field downward_item_fields[] = {
    JSON_REQUIRED("path", FIELD_STRING, struct raw_item, path),
    OBJECT_OPTIONAL("fieldRef", raw_item, field, field_ref_fields),
    OBJECT_OPTIONAL("resourceFieldRef", raw_item, resource, resource_ref_fields),
    NUMBER_OPTIONAL("mode", raw_item, mode, 0, 511),
    {0},
};

static const struct json_field config_source_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_projection, name),
    LIST_ROW("items", raw_projection, items, item_fields, LIST_LIMIT),
    BOOL_ROW("optional", raw_projection, is_optional),
    {0},
};

static const struct json_field downward_source_fields[] = {
    LIST_ROW("items", raw_projection, items, downward_item_fields, LIST_LIMIT),
    {0},
};

static const struct json_field config_volume_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_projection, name),
    LIST_ROW("items", raw_projection, items, item_fields, LIST_LIMIT),
    BOOL_ROW("optional", raw_projection, is_optional),
    NUMBER_OPTIONAL("defaultMode", raw_projection, mode, 0, 511),
    {0},
};

static const struct json_field secret_volume_fields[] = {
    JSON_REQUIRED("secretName", FIELD_STRING, struct raw_projection, name),
    LIST_ROW("items", raw_projection, items, item_fields, LIST_LIMIT),
    BOOL_ROW("optional", raw_projection, is_optional),
    NUMBER_OPTIONAL("defaultMode", raw_projection, mode, 0, 511),
    {0},
};

static const struct json_field downward_volume_fields[] = {
    LIST_ROW("items", raw_projection, items, downward_item_fields, LIST_LIMIT),
    NUMBER_OPTIONAL("defaultMode", raw_projection, mode, 0, 511),
    {0},
};

static const struct json_field projected_source_fields[] = {
    OBJECT_OPTIONAL("configMap", raw_projected, config, config_source_fields),
    OBJECT_OPTIONAL("secret", raw_projected, secret, config_source_fields),
    OBJECT_OPTIONAL("downwardAPI", raw_projected, downward, downward_source_fields),
    REFUSED("serviceAccountToken", "there are no service accounts"),
    REFUSED("clusterTrustBundle", "there is no cluster"),
    REFUSED("podCertificate", "there is no cluster"),
    {0},
};

static const struct json_field projected_fields[] = {
    LIST_ROW("sources", raw_projections, sources, projected_source_fields, LIST_LIMIT),
    NUMBER_OPTIONAL("defaultMode", raw_projections, mode, 0, 511),
    {0},
};

static const struct json_field empty_fields[] = {
    TEXT_ROW("medium", raw_empty, medium),
    RAW_ROW("sizeLimit", raw_empty, limit),
    {0},
};

static const struct json_field host_path_fields[] = {
    JSON_REQUIRED("path", FIELD_STRING, struct raw_host_path, path),
    TEXT_ROW("type", raw_host_path, type),
    {0},
};

static const struct json_field claim_ref_fields[] = {
    JSON_REQUIRED("claimName", FIELD_STRING, struct raw_claim_ref, name),
    BOOL_ROW("readOnly", raw_claim_ref, is_read_only),
    {0},
};

#define VOLUME_KINDS                                                                               \
    "there are emptyDir, hostPath, configMap, secret, downwardAPI, projected and "                 \
    "persistentVolumeClaim"
#define NO_VOLUME(name_) REFUSED(name_, VOLUME_KINDS)

static const struct json_field volume_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct raw_volume, name),
    OBJECT_OPTIONAL("emptyDir", raw_volume, empty, empty_fields),
    OBJECT_OPTIONAL("hostPath", raw_volume, host_path, host_path_fields),
    OBJECT_OPTIONAL("configMap", raw_volume, config, config_volume_fields),
    OBJECT_OPTIONAL("secret", raw_volume, secret, secret_volume_fields),
    OBJECT_OPTIONAL("downwardAPI", raw_volume, downward, downward_volume_fields),
    OBJECT_OPTIONAL("projected", raw_volume, projected, projected_fields),
    OBJECT_OPTIONAL("persistentVolumeClaim", raw_volume, claim, claim_ref_fields),
    NO_VOLUME("awsElasticBlockStore"),
    NO_VOLUME("azureDisk"),
    NO_VOLUME("azureFile"),
    NO_VOLUME("cephfs"),
    NO_VOLUME("cinder"),
    NO_VOLUME("csi"),
    NO_VOLUME("ephemeral"),
    NO_VOLUME("fc"),
    NO_VOLUME("flexVolume"),
    NO_VOLUME("flocker"),
    NO_VOLUME("gcePersistentDisk"),
    NO_VOLUME("gitRepo"),
    NO_VOLUME("glusterfs"),
    NO_VOLUME("image"),
    NO_VOLUME("iscsi"),
    NO_VOLUME("nfs"),
    NO_VOLUME("photonPersistentDisk"),
    NO_VOLUME("portworxVolume"),
    NO_VOLUME("quobyte"),
    NO_VOLUME("rbd"),
    NO_VOLUME("scaleIO"),
    NO_VOLUME("storageos"),
    NO_VOLUME("vsphereVolume"),
    {0},
};

/* ---- The pod ---- */

static const struct json_field alias_fields[] = {
    JSON_REQUIRED("ip", FIELD_STRING, struct raw_alias, address),
    JSON_FIELD("hostnames", FIELD_STRINGS, struct raw_alias, names),
    {0},
};

static const struct json_field pod_security_fields[] = {
    IGNORED("runAsNonRoot", "a guest is nobody"),
    OBJECT_ROW("seccompProfile", raw_pod_security, seccomp, seccomp_fields),
    OBJECT_ROW("appArmorProfile", raw_pod_security, apparmor, apparmor_fields),
    REFUSED(
        "runAsUser",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED(
        "runAsGroup",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED(
        "fsGroup",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED(
        "fsGroupChangePolicy",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED(
        "supplementalGroups",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED(
        "supplementalGroupsPolicy",
        "guests have no user or group: they reach only the volumes that are mounted; leave it out"),
    REFUSED("sysctls", "a guest sees no kernel"),
    REFUSED("seLinuxOptions", "guests have no SELinux label"),
    REFUSED("seLinuxChangePolicy", "guests have no SELinux label"),
    REFUSED("windowsOptions", "this is no Windows"),
    {0},
};

static const struct json_field spec_fields[] = {
    {.name = "containers",
     .type = FIELD_OBJECTS,
     .is_required = true,
     .offset = offsetof(struct raw_pod_spec, containers),
     .count_offset = offsetof(struct raw_pod_spec, n_containers),
     .fields = container_fields,
     .elem_size = sizeof(struct raw_container),
     .limit = POD_CONTAINER_LIMIT},
    LIST_ROW("initContainers", raw_pod_spec, inits, container_fields, POD_CONTAINER_LIMIT),
    LIST_ROW("volumes", raw_pod_spec, volumes, volume_fields, POD_VOLUME_LIMIT),
    TEXT_ROW("restartPolicy", raw_pod_spec, restart),
    NUMBER_OPTIONAL("terminationGracePeriodSeconds", raw_pod_spec, grace, 0, SECONDS_MAX),
    NUMBER_OPTIONAL("activeDeadlineSeconds", raw_pod_spec, deadline, 1, SECONDS_MAX),
    TEXT_ROW("hostname", raw_pod_spec, hostname),
    TEXT_ROW("nodeName", raw_pod_spec, node),
    LIST_ROW("hostAliases", raw_pod_spec, aliases, alias_fields, LIST_LIMIT),
    OBJECT_ROW("securityContext", raw_pod_spec, security, pod_security_fields),
    JSON_OPTIONAL("hostNetwork", FIELD_BOOL, struct raw_pod_spec, is_host_network),
    BOOL_ROW("hostPID", raw_pod_spec, is_host_pid),
    BOOL_ROW("hostIPC", raw_pod_spec, is_host_ipc),
    BOOL_ROW("shareProcessNamespace", raw_pod_spec, is_process_shared),
    TEXT_ROW("serviceAccountName", raw_pod_spec, account),
    IGNORED("affinity", "this machine is the only one: nothing is scheduled"),
    IGNORED("nodeSelector", "this machine is the only one: nothing is scheduled"),
    IGNORED("preemptionPolicy", "this machine is the only one: nothing is scheduled"),
    IGNORED("priorityClassName", "this machine is the only one: nothing is scheduled"),
    IGNORED("schedulerName", "this machine is the only one: nothing is scheduled"),
    IGNORED("tolerations", "this machine is the only one: nothing is scheduled"),
    IGNORED("automountServiceAccountToken", "there are no tokens to mount"),
    IGNORED("dnsPolicy", "names are looked up as the host does"),
    IGNORED("enableServiceLinks", "there are no services to tell of"),
    IGNORED("runtimeClassName", "guests have one runtime"),
    REFUSED("dnsConfig", "names are looked up as the host does"),
    REFUSED("ephemeralContainers", "containers of a pod do not change while it runs"),
    REFUSED("hostUsers", "guests have no user"),
    REFUSED("hostnameOverride", "use hostname"),
    REFUSED("imagePullSecrets", "log in by wherry login"),
    REFUSED("os", "leave it out: guests run on any system"),
    REFUSED("overhead", "leave it out"),
    REFUSED("priority", "leave it out"),
    REFUSED("readinessGates", "nobody would set the conditions"),
    REFUSED("resourceClaims", "there is no dynamic resource allocation"),
    REFUSED("resources", "give resources to the containers"),
    REFUSED("schedulingGates", "nothing is scheduled, so nobody would remove them"),
    REFUSED("serviceAccount", "write serviceAccountName"),
    REFUSED("setHostnameAsFQDN", "use hostname"),
    REFUSED("subdomain", "there are no services"),
    REFUSED("topologySpreadConstraints", "this machine is the only one; leave it out"),
    REFUSED("workloadRef", "there is no cluster"),
    {0 },
};

const struct json_field raw_pod_fields[] = {
    RAW_HEAD_ROWS(struct raw_pod),
    {.name = "spec",
                      .type = FIELD_OBJECT,
                      .is_required = true,
                      .offset = offsetof(struct raw_pod, spec),
                      .fields = spec_fields},
    {0},
};

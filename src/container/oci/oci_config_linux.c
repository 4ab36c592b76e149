/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/oci_fields.h"

static const struct json_field namespace_fields[] = {
    JSON_REQUIRED("type", FIELD_STRING, struct oci_namespace, type),
    JSON_FIELD("path", FIELD_STRING, struct oci_namespace, path),
    {0},
};

static const struct json_field mapping_fields[] = {
    OCI_NUMBER("containerID", struct oci_id_mapping, container_id, 0, UINT32_MAX),
    OCI_NUMBER("hostID", struct oci_id_mapping, host_id, 0, UINT32_MAX),
    OCI_NUMBER("size", struct oci_id_mapping, size, 0, UINT32_MAX),
    {0},
};

/* ---- Resources ---- */

static const struct json_field memory_fields[] = {
    OCI_NUMBER_HAS("limit", struct oci_resources, memory_limit, -1, INT64_MAX),
    OCI_NUMBER_HAS("reservation", struct oci_resources, memory_reservation, -1, INT64_MAX),
    OCI_NUMBER_HAS("swap", struct oci_resources, memory_swap, -1, INT64_MAX),
    {0},
};

static const struct json_field cpu_fields[] = {
    OCI_NUMBER_HAS("shares", struct oci_resources, cpu_shares, 0, INT64_MAX),
    OCI_NUMBER_HAS("quota", struct oci_resources, cpu_quota_us, -1, INT64_MAX),
    OCI_NUMBER_HAS("period", struct oci_resources, cpu_period_us, 0, INT64_MAX),
    JSON_FIELD("cpus", FIELD_STRING, struct oci_resources, cpuset_cpus),
    JSON_FIELD("mems", FIELD_STRING, struct oci_resources, cpuset_mems),
    {0},
};

static const struct json_field pids_fields[] = {
    OCI_NUMBER_HAS("limit", struct oci_resources, pids_limit, -1, INT64_MAX),
    {0},
};

static const struct json_field block_fields[] = {
    OCI_NUMBER_HAS("weight", struct oci_resources, blkio_weight, 0, 1000),
    {0},
};

const struct json_field oci_resources_fields[] = {
    OCI_INSIDE("memory", memory_fields),
    OCI_INSIDE("cpu", cpu_fields),
    OCI_INSIDE("pids", pids_fields),
    OCI_INSIDE("blockIO", block_fields),
    OCI_PAIRS("unified", struct oci_resources, unified),
    {0},
};

/* ---- System calls ---- */

static const struct json_field arg_fields[] = {
    OCI_NUMBER("index", struct oci_syscall_arg, index, 0, 5),
    JSON_REQUIRED("value", FIELD_UINT64, struct oci_syscall_arg, value),
    JSON_FIELD("valueTwo", FIELD_UINT64, struct oci_syscall_arg, value_two),
    JSON_REQUIRED("op", FIELD_STRING, struct oci_syscall_arg, op),
    {0},
};

static const struct json_field syscall_fields[] = {
    OCI_STRINGS("names", struct oci_syscall, names),
    JSON_REQUIRED("action", FIELD_STRING, struct oci_syscall, action),
    OCI_NUMBER_HAS("errnoRet", struct oci_syscall, errno_ret, 0, UINT16_MAX),
    OCI_OBJECTS("args", struct oci_syscall, args, n_args, arg_fields),
    {0},
};

static const struct json_field seccomp_fields[] = {
    JSON_REQUIRED("defaultAction", FIELD_STRING, struct oci_seccomp, default_action),
    OCI_NUMBER_HAS("defaultErrnoRet", struct oci_seccomp, default_errno_ret, 0, UINT16_MAX),
    OCI_STRINGS("architectures", struct oci_seccomp, architectures),
    OCI_STRINGS("flags", struct oci_seccomp, flags),
    JSON_FIELD("listenerPath", FIELD_STRING, struct oci_seccomp, listener_path),
    OCI_OBJECTS("syscalls", struct oci_seccomp, syscalls, n_syscalls, syscall_fields),
    {0},
};

const struct json_field oci_linux_fields[] = {
    OCI_OBJECTS("namespaces", struct oci_linux, namespaces, n_namespaces, namespace_fields),
    OCI_OBJECTS("uidMappings", struct oci_linux, uid_mappings, n_uid_mappings, mapping_fields),
    OCI_OBJECTS("gidMappings", struct oci_linux, gid_mappings, n_gid_mappings, mapping_fields),
    OCI_PAIRS("sysctl", struct oci_linux, sysctl),
    JSON_FIELD("cgroupsPath", FIELD_STRING, struct oci_linux, cgroups_path),
    OCI_OBJECT("resources", struct oci_linux, resources, oci_resources_fields),
    {.name = "seccomp",
                                                                      .type = FIELD_OBJECT,
                                                                      .offset = offsetof(struct oci_linux, seccomp),
                                                                      .has_flag = true,
                                                                      .has_offset = offsetof(struct oci_linux, has_seccomp),
                                                                      .fields = seccomp_fields},
    JSON_FIELD("rootfsPropagation", FIELD_STRING, struct oci_linux, rootfs_propagation),
    JSON_FIELD("mountLabel", FIELD_STRING, struct oci_linux, mount_label),
    OCI_STRINGS("maskedPaths", struct oci_linux, masked_paths),
    OCI_STRINGS("readonlyPaths", struct oci_linux, readonly_paths),
    {0},
};

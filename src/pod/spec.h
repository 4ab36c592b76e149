/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/util.h"

/*
 * The workload model: what a pod is asked to be, whoever asks. Faces (manifests, Kubernetes,
 * the lattice) translate into it; nothing here knows them.
 *
 * A spec is constant once it was made, counted, and lives in one arena: every pointer in it is the
 * arena's, lists have a length beside them, NULL is "not said". Times are milliseconds, sizes
 * bytes, CPU thousandths of a core. References to other objects (configurations, secrets, claims)
 * are names in the pod's namespace, looked up when they are needed.
 */

#define POD_CONTAINER_LIMIT 64
#define POD_VOLUME_LIMIT    128

/* A label or annotation, or any other pair. */
struct pod_pair {
    const char *name, *value;
};

struct pod_pairs {
    struct pod_pair *v;
    size_t n;
};

struct pod_words {
    const char **v; /* not NULL-terminated */
    size_t n;
};

/* ---- Environment ---- */

enum pod_variable_source {
    POD_VARIABLE_VALUE,      /* value, in which $(NAME) is replaced and $$ is $ */
    POD_VARIABLE_CONFIG_KEY, /* object, key */
    POD_VARIABLE_SECRET_KEY, /* object, key */
    POD_VARIABLE_FIELD,      /* key is a field path: "metadata.name" */
    POD_VARIABLE_RESOURCE,   /* key is "limits.memory" and so on, object a container or NULL */
    POD_VARIABLE_ALL_CONFIG, /* every key of object, `name` is put before each */
    POD_VARIABLE_ALL_SECRET,
};

struct pod_variable {
    enum pod_variable_source source;
    const char *name; /* of the variable; for the ALL_ sources the prefix, or NULL */
    const char *value;
    const char *object, *key;
    int64_t divisor;  /* RESOURCE: in bytes or thousandths of a core; 0: 1 byte, 1 core */
    bool is_optional; /* what is missing is left out instead of an error */
};

/* ---- Volumes ---- */

enum pod_volume_kind {
    POD_VOLUME_EMPTY, /* lives as long as the pod */
    POD_VOLUME_HOST_PATH,
    POD_VOLUME_CONFIG,
    POD_VOLUME_SECRET,
    POD_VOLUME_DOWNWARD,
    POD_VOLUME_PROJECTED, /* several of the three above in one folder */
    POD_VOLUME_CLAIM,     /* a folder that outlives the pod */
};

/* As Kubernetes has them. */
enum pod_host_path_type {
    POD_HOST_PATH_ANY, /* not checked */
    POD_HOST_PATH_DIRECTORY_OR_CREATE,
    POD_HOST_PATH_DIRECTORY,
    POD_HOST_PATH_FILE_OR_CREATE,
    POD_HOST_PATH_FILE,
    POD_HOST_PATH_SOCKET,
    POD_HOST_PATH_CHAR_DEVICE,
    POD_HOST_PATH_BLOCK_DEVICE,
};

/* A file of a projection: which key (or field) is found at which path below the volume. */
struct pod_item {
    const char *key;       /* DOWNWARD: a field path, or with `container` a resource */
    const char *container; /* DOWNWARD: whose resource; NULL: key is a field path */
    const char *path;      /* relative, without ".." */
    int64_t divisor;
    int mode; /* -1: the projection's */
};

/* What one configuration, secret or the pod itself contributes to a volume. */
struct pod_projection {
    enum pod_volume_kind kind; /* CONFIG, SECRET or DOWNWARD */
    const char *object;        /* NULL for DOWNWARD */
    struct pod_item *items;    /* none: every key under its own name */
    size_t n_items;
    bool is_optional;
};

struct pod_volume {
    const char *name;
    enum pod_volume_kind kind;
    /* EMPTY */
    bool is_memory;
    int64_t limit_bytes; /* 0: none */
    /* HOST_PATH */
    const char *path;
    enum pod_host_path_type host_path_type;
    /* CONFIG, SECRET, DOWNWARD have one projection, PROJECTED has any number */
    struct pod_projection *projections;
    size_t n_projections;
    int mode; /* of its files */
    /* CLAIM */
    const char *claim;
    bool is_read_only;
};

struct pod_mount {
    const char *volume;
    const char *path;          /* in the container, absolute */
    const char *sub_path;      /* of the volume; NULL: all of it */
    bool is_sub_path_expanded; /* $(NAME) in sub_path is a variable of the container */
    bool is_read_only;
};

/* ---- Probes and hooks ---- */

enum pod_action_kind {
    POD_ACTION_HTTP,
    POD_ACTION_TCP,
    POD_ACTION_GRPC,
    POD_ACTION_EXEC,
    POD_ACTION_SLEEP, /* hooks only */
};

struct pod_action {
    enum pod_action_kind kind;
    const char *host; /* NULL: the pod's address */
    int64_t port;     /* of a name it was resolved when the spec was made */
    const char *path; /* HTTP, with its query */
    bool is_https;    /* HTTP; the certificate is not checked, as a kubelet does */
    struct pod_pairs headers;
    const char *service;      /* GRPC; "" is the server as a whole */
    struct pod_words command; /* EXEC */
    int64_t sleep_ms;
};

struct pod_probe {
    struct pod_action action;
    int64_t initial_delay_ms, period_ms, timeout_ms;
    int64_t success_threshold, failure_threshold;
    int64_t grace_ms; /* of a container that it kills; -1: the pod's */
};

/* ---- Containers ---- */

enum pod_container_kind {
    POD_CONTAINER_GUEST,  /* WebAssembly, one instance of a command or server */
    POD_CONTAINER_NATIVE, /* a process, through runc or crun */
    POD_CONTAINER_SCALED, /* one component, up to `scale` instances at a time */
};

enum pod_container_role {
    POD_ROLE_INIT,    /* runs to its end before the next one starts */
    POD_ROLE_SIDECAR, /* starts in the order of the inits, runs beside all that follow, ends last */
    POD_ROLE_MAIN,
};

enum pod_pull { POD_PULL_MISSING, POD_PULL_ALWAYS, POD_PULL_NEVER };

enum pod_protocol { POD_TCP, POD_UDP };

struct pod_port {
    const char *name;
    int64_t port;
    int64_t host_port; /* 0: none */
    enum pod_protocol protocol;
};

struct pod_resources {
    /* 0: not said. A limit without a request is a request too. */
    int64_t memory_limit_bytes, memory_request_bytes;
    int64_t cpu_limit_milli, cpu_request_milli;
    int64_t ephemeral_limit_bytes, ephemeral_request_bytes; /* of the disk: emptyDir and logs */
};

enum pod_termination_message { POD_MESSAGE_FILE, POD_MESSAGE_FILE_OR_LOG };

struct pod_container {
    const char *name;
    enum pod_container_kind kind;
    enum pod_container_role role;
    /* A name as `wherry run` takes one: a reference, or the absolute path of a file. */
    const char *image;
    bool is_file;
    enum pod_pull pull;
    struct pod_words command, args; /* as Kubernetes has them: of the image unless said */
    bool has_command, has_args;
    const char *working_dir;
    struct pod_variable *variables;
    size_t n_variables;
    struct pod_mount *mounts;
    size_t n_mounts;
    struct pod_port *ports;
    size_t n_ports;
    struct pod_resources resources;
    struct pod_probe *startup, *liveness, *readiness; /* NULL: none */
    struct pod_action *post_start, *pre_stop;
    const char *message_path; /* of the termination message, in the container */
    enum pod_termination_message message_policy;
    struct pod_words allow_net; /* grants: guest/net_grant.h */
    const char *invoke;         /* the export to call; NULL: the command's entry point */
    int64_t scale;              /* SCALED */
    int64_t timeout_ms;         /* of each run; 0: none */
    bool has_stdin, is_stdin_once, has_tty;
};

/* ---- Pods ---- */

enum pod_restart { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };

struct pod_spec {
    unsigned refs;
    struct arena *arena;
    const char *space; /* the namespace, which is also the tenant */
    const char *name;
    const char *uid; /* unique for ever; of A-Za-z0-9- */
    struct pod_pairs labels, annotations;
    struct pod_container
        *containers; /* init and sidecar containers in their order, then the rest */
    size_t n_containers;
    size_t n_first; /* how many of them are init or sidecar */
    struct pod_volume *volumes;
    size_t n_volumes;
    enum pod_restart restart;
    int64_t grace_ms;                   /* between being told to stop and being stopped */
    int64_t active_deadline_ms;         /* 0: none */
    const char *hostname;               /* NULL: the pod's name */
    const char *node, *service_account; /* for field references; NULL: none */
    struct pod_pairs host_aliases; /* name: an address, value: host names with blanks between */
    bool is_host_network;
};

/* An empty spec with an arena of its own and one reference. */
struct pod_spec *pod_spec_new(void);
struct pod_spec *pod_spec_ref(struct pod_spec *s);
void pod_spec_unref(struct pod_spec *s); /* NULL is fine */

/* NULL when there is none of that name. */
const struct pod_container *pod_container_find(const struct pod_spec *s, const char *name);
const struct pod_volume *pod_volume_find(const struct pod_spec *s, const char *name);
const struct pod_port *pod_port_find(const struct pod_container *c, const char *name);
const char *pod_pair_find(const struct pod_pairs *p, const char *name);

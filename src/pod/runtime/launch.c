/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/launch.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/text.h"
#include "guest/command.h"
#include "pod/environment.h"
#include "pod/runtime/pod_internal.h"
#include "store/images.h"

#define REASON_CREATE       "CreateContainerError"
#define RESOLVER_FILE_LIMIT (256u << 10)
#define LISTEN_BACKLOG      512

/* ---- On the loop's thread ---- */

int launch_gather(struct launch *l, const struct pod_fields *f, const struct pod_objects *o,
                  struct strv *notes, struct err *e)
{
    const struct pod_container *c = l->container;
    autofree char *folder = NULL;

    if (c->kind == POD_CONTAINER_NATIVE)
        return err_set(e, -ENOTSUP, REASON_CREATE,
                       "container '%s' is no WebAssembly program; natives cannot be run yet",
                       c->name);
    TRY(environment_make(f, c, o, &l->env, notes, e));
    TRY(environment_words(&c->command, &l->env, &l->command, e));
    TRY(environment_words(&c->args, &l->env, &l->args, e));
    if (!c->working_dir)
        return 0;
    folder = xasprintf("PWD=%s", c->working_dir);
    if (!strv_variable_find(&l->env, folder))
        strv_add_owned(&l->env, take_ptr(folder));
    return 0;
}

/* ---- The program ---- */

static int store_open(const struct launch *l, int *ret_fd, struct err *e)
{
    int fd = open(l->places->store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, -errno, REASON_CREATE, "cannot open the image store '%s'",
                         l->places->store_dir);
    *ret_fd = fd;
    return 0;
}

static int gone(const struct launch *l, struct err *e)
{
    return err_set(e, -ENOENT, REASON_CREATE, "the image '%s' was removed meanwhile", l->image);
}

/* argv replaces that of the image, but its variables count; so program and variables have to be of
 * the same image, which may be moved at any time. */
static int replaced_open(struct launch *l, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference reference = {0};
    __attribute__((cleanup(guest_command_done))) struct guest_command command = {0};
    autofd store = -EBADF, program = -EBADF;
    struct digest digest;
    int r;

    TRY(store_open(l, &store, e));
    TRY(reference_parse(l->image, &reference, e));
    r = images_program_find_at(store, &reference, &program, &digest, &command, e);
    TRY(r);
    if (!r)
        return gone(l, e);
    l->spec.module_fd = take_fd(&program);
    guest_command_env(&command, &l->env, &l->spec.env);
    return 0;
}

/* The tool box, or what else is run in the container: with its variables. */
static int image_env(struct launch *l, struct err *e)
{
    __attribute__((cleanup(reference_done))) struct reference reference = {0};
    __attribute__((cleanup(guest_command_done))) struct guest_command command = {0};
    __attribute__((cleanup(image_done))) struct image image = {0};
    autofd store = -EBADF;
    int r;

    TRY(store_open(l, &store, e));
    TRY(reference_parse(l->image, &reference, e));
    r = images_find_at(store, &reference, &image, e);
    TRY(r);
    if (!r)
        return gone(l, e);
    TRY(images_command_read_at(store, &image, &command, e));
    guest_command_env(&command, &l->env, &l->spec.env);
    return 0;
}

static int file_open(const char *path, int64_t *ret_fd, struct err *e)
{
    autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, REASON_CREATE, "cannot open the program '%s'", path);
    if (!S_ISREG(st.st_mode) || !st.st_size)
        return err_set(e, -ENOEXEC, REASON_CREATE, "the program '%s' is no regular file, or empty",
                       path);
    *ret_fd = take_fd(&fd);
    return 0;
}

static void env_take(struct launch *l)
{
    l->spec.env = strv_take(&l->env);
}

/*
 * Kubernetes' four cases. A command replaces the image's entry point and its arguments; arguments
 * alone replace only those. Both are done by the worker where it can, since it looks program and
 * config up at once.
 */
static int program_open(struct launch *l, struct err *e)
{
    struct guest_spec *s = &l->spec;
    const struct pod_container *c = l->container;
    int fd = -1;

    s->name = xstrdup(path_base(c->image));
    s->invoke = c->invoke ? xstrdup(c->invoke) : NULL;
    s->timeout_ms = c->timeout_ms;
    if (!l->command.n && !s->invoke)
        strv_add(&s->args, s->name);
    strv_addv(&s->args, l->command.v);
    strv_addv(&s->args, l->args.v);
    if (!l->image) {
        env_take(l);
        return file_open(c->image, &s->module_fd, e);
    }
    if (l->command.n && !s->invoke)
        return replaced_open(l, e);
    env_take(l);
    s->has_image_defaults = true;
    s->image = xasprintf("%s%s", GUEST_IMAGE_STORED, l->image);
    TRY(store_open(l, &fd, e));
    s->module_fd = fd;
    return 0;
}

static int other_open(struct launch *l, struct err *e)
{
    l->spec.name = xstrdup(path_base(l->program));
    strv_addv(&l->spec.args, l->args.v);
    if (l->image)
        TRY(image_env(l, e));
    else
        env_take(l);
    return file_open(l->program, &l->spec.module_fd, e);
}

/* ---- What it may touch ---- */

static int volumes_add(struct launch *l, const struct strv *env, struct err *e)
{
    struct volume_mounts m = {0};

    TRY(volumes_open(l->places->volumes, l->pod, l->container, env, &m, e));
    for (size_t i = 0; i < m.n; i++) {
        guest_spec_dir_add(&l->spec, m.v[i].fd, m.v[i].path, m.v[i].is_read_only);
        m.v[i].fd = -1;
    }
    volume_mounts_done(&m);
    return 0;
}

static int folder_open(const char *path, mode_t mode, int *ret_fd, struct err *e)
{
    int fd = -1;

    TRY(path_mkdir_p(path, mode, e));
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, REASON_CREATE, "cannot open the folder '%s'", path);
    *ret_fd = fd;
    return 0;
}

static int log_open(struct launch *l, struct err *e)
{
    autofree char *name = pod_log_folder(l->pod);
    autofree char *folder = xasprintf("%s/%s/%s", l->places->logs_dir, name, l->container->name);
    int fd = -1;

    TRY(folder_open(folder, 0755, &fd, e));
    l->spec.log_dir_fd = fd;
    return 0;
}

char *launch_message_folder(const struct pod_container *c)
{
    const char *path = c->message_path;

    if (!path || *path != '/' || str_eq(path, LAUNCH_MESSAGE_PATH) || volumes_have(c, path))
        return NULL;
    return path_dir(path);
}

char *launch_message_place(const char *state_dir, const char *uid, const char *container)
{
    return xasprintf("%s/pods/%s/messages/%s", state_dir, uid, container);
}

static int message_folder_add(struct launch *l, struct err *e)
{
    autofree char *folder = launch_message_folder(l->container), *place = NULL;
    int fd = -1;

    if (!folder)
        return 0;
    place = launch_message_place(l->places->volumes->state_dir, l->pod->uid, l->container->name);
    TRY(folder_open(place, 0700, &fd, e));
    guest_spec_dir_add(&l->spec, fd, folder, false);
    /* What an earlier run left is not this one's. */
    unlinkat(fd, path_base(l->container->message_path), 0);
    return 0;
}

/* A missing file is an empty one. Comments may be in any encoding; the spec of a guest is UTF-8. */
static void resolver_file(const char *path, struct buf *out)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    file_read(path, RESOLVER_FILE_LIMIT, &text, &e);
    text_lossy_add((struct text){text.data, text.len}, out);
}

/* The names of the machine: a guest has its network. */
static void network_add(struct launch *l)
{
    const struct pod_words *grants = &l->container->allow_net;
    const struct pod_pairs *aliases = &l->pod->host_aliases;
    const char *ca = paths_system_ca();
    autobuf resolv = BUF_INIT, hosts = BUF_INIT;

    if (!grants->n)
        return;
    for (size_t i = 0; i < grants->n; i++)
        strv_add(&l->spec.allow_net, grants->v[i]);
    resolver_file("/etc/resolv.conf", &resolv);
    resolver_file("/etc/hosts", &hosts);
    if (hosts.len && hosts.data[hosts.len - 1] != '\n' && aliases->n)
        buf_addc(&hosts, '\n');
    for (size_t i = 0; i < aliases->n; i++)
        buf_addf(&hosts, "%s\t%s\n", aliases->v[i].name, aliases->v[i].value);
    l->spec.resolv_conf = buf_take(&resolv);
    l->spec.hosts = buf_take(&hosts);
    if (ca)
        l->spec.ca_fd = open(ca, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

int launch_open(struct launch *l, struct err *e)
{
    autostrv env = STRV_INIT;
    int r;

    strv_addv(&env, l->env.v); /* of the pod alone, as subPathExpr has it */
    guest_spec_init(&l->spec);
    r = l->program ? other_open(l, e) : program_open(l, e);
    if (r < 0) {
        e->reason = REASON_CREATE;
        return r;
    }
    TRY(volumes_add(l, &env, e));
    if (!l->program && (log_open(l, e) < 0 || message_folder_add(l, e) < 0)) {
        e->reason = REASON_CREATE;
        return e->code;
    }
    network_add(l);
    if (l->container->resources.memory_limit_bytes)
        l->spec.memory_bytes = l->container->resources.memory_limit_bytes;
    l->spec.cpu_milli = l->container->resources.cpu_limit_milli;
    if (l->container->kind == POD_CONTAINER_SCALED)
        l->spec.requests = l->container->scale;
    return 0;
}

static void fd_close(void *ctx, int64_t *fd)
{
    (void)ctx;
    close((int)*fd);
    *fd = -1;
}

void launch_free(struct launch *l)
{
    if (!l)
        return;
    if (l->spec.log_files) { /* guest_spec_init() was called */
        guest_spec_fds(&l->spec, fd_close, NULL);
        guest_spec_done(&l->spec);
    }
    free(l->image);
    free(l->code_key);
    strv_done(&l->env);
    strv_done(&l->command);
    strv_done(&l->args);
    free(l);
}

/* ---- Sockets ---- */

static bool is_listened(const struct pod_port *p)
{
    return p->protocol == POD_TCP;
}

size_t launch_ports(const struct pod_container *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_ports; i++)
        n += is_listened(&c->ports[i]);
    return n;
}

static int listen_at(int family, const struct sockaddr *address, socklen_t len)
{
    autofd fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1, no = 0;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
        return -errno;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no)) < 0)
        return -errno;
    if (bind(fd, address, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return -errno;
    return take_fd(&fd);
}

int launch_listen(const struct pod_container *c, int64_t port, int *ret_fd, struct err *e)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_ANY)};
    int fd = listen_at(AF_INET6, (struct sockaddr *)&six, sizeof(six));

    /* Without IPv6 on this machine. */
    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL || fd == -EPERM)
        fd = listen_at(AF_INET, (struct sockaddr *)&four, sizeof(four));
    if (fd == -EADDRINUSE)
        return err_set(e, fd, "PortInUse",
                       "port %d of container '%s' is taken by another program or pod of this "
                       "machine",
                       (int)port, c->name);
    if (fd < 0)
        return err_errno(e, fd, "ListenFailed", "container '%s' cannot listen on port %d", c->name,
                         (int)port);
    *ret_fd = fd;
    return 0;
}

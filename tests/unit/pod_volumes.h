/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <linux/capability.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/paths.h"
#include "own_mounts.h"
#include "pod/volumes/volumes.h"
#include "pod_objects.h"

/* A pod whose volumes and mounts a test puts together, in a temporary folder. */
static struct pod_spec spec;
static struct pod_fields fields;
static struct pod_volume volumes[8];
static struct pod_mount mounts[8];
static struct pod_container container;
static struct volumes_places places;
static char *dir, *state_dir, *host;

static inline int setup(void **state)
{
    (void)state;
    dir = unit_temp_dir();
    state_dir = path_join(dir, "state");
    host = path_join(dir, "host");
    places = (struct volumes_places){.state_dir = state_dir};
    spec = spec_default;
    spec.volumes = volumes;
    spec.n_volumes = 0;
    container = (struct pod_container){.name = "main", .mounts = mounts};
    fields = (struct pod_fields){.spec = &spec};
    return 0;
}

static inline int teardown(void **state)
{
    struct err e = ERR_INIT;

    assert_ok(volumes_remove(&places, "11-22", &e));
    free(state_dir);
    free(host);
    unit_remove(dir);
    return objects_teardown(state);
}

static inline struct pod_volume *volume(const char *name, enum pod_volume_kind kind)
{
    struct pod_volume *v = &volumes[spec.n_volumes++];

    *v = (struct pod_volume){.name = name, .kind = kind, .mode = -1};
    return v;
}

/* A volume of one configuration or secret. */
static inline struct pod_projection *projected(const char *name, enum pod_volume_kind kind,
                                               const char *object)
{
    static struct pod_projection from[8];
    struct pod_projection *p = &from[spec.n_volumes];
    struct pod_volume *v = volume(name, kind);

    *p = (struct pod_projection){.kind = kind, .object = object};
    v->projections = p;
    v->n_projections = 1;
    return p;
}

static inline struct pod_mount *mounted(const char *name, const char *path, const char *sub_path)
{
    struct pod_mount *m = &mounts[container.n_mounts++];

    *m = (struct pod_mount){.volume = name, .path = path, .sub_path = sub_path};
    return m;
}

static inline int prepare(struct err *e)
{
    AUTO(volumes_content) c = NULL;

    TRY(volumes_gather(&fields, &lookup, &c, e));
    return volumes_prepare(&places, &spec, c, e);
}

static inline int update(bool *ret, struct err *e)
{
    AUTO(volumes_content) c = NULL;

    TRY(volumes_gather(&fields, &lookup, &c, e));
    return volumes_update(&places, &spec, c, ret, e);
}

static inline int open_with(const struct strv *env, struct volume_mounts *m, struct err *e)
{
    return volumes_open(&places, &spec, &container, env, m, e);
}

static inline int open_mounts(struct volume_mounts *m, struct err *e)
{
    static const struct strv none = {0};

    return open_with(&none, m, e);
}

static inline void prepared(void)
{
    struct err e = ERR_INIT;

    assert_ok(prepare(&e));
}

#define automounts __attribute__((cleanup(volume_mounts_done))) struct volume_mounts

static inline void assert_open_fails(int code, const char *reason, const char *text)
{
    automounts m = {0};
    struct err e = ERR_INIT;

    assert_fails(open_mounts(&m, &e), code, reason);
    assert_contains(e.msg, text);
    assert_int_equal(m.n, 0);
}

static inline void file_put(int at, const char *name, const char *text)
{
    struct err e = ERR_INIT;

    assert_ok(file_write_at(at, name, text, strlen(text), 0644, 0, &e));
}

static inline void assert_file(int at, const char *name, const char *text)
{
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(file_read_at(at, name, 1 << 20, &b, &e));
    assert_string_equal(buf_str(&b), text);
}

static inline bool is_there(const char *path)
{
    autofree char *full = path_join(dir, path);

    return !access(full, F_OK);
}

static inline mode_t mode_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_mode & 07777;
}

static inline bool is_on_tmpfs(int fd)
{
    struct statfs st;

    return !fstatfs(fd, &st) && st.f_type == 0x01021994;
}

static inline int volume_fd(const char *name)
{
    autofree char *path = xasprintf("%s/pods/11-22/volumes/%s", state_dir, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* From here on this process may not mount, as one without privilege. */
static inline void give_up_mounting(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    child_check(!syscall(SYS_capget, &header, data));
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    data[0].permitted &= ~(1u << CAP_SYS_ADMIN);
    child_check(!syscall(SYS_capset, &header, data));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/seccomp_cache.h"

#include "base/fds.h"

#define FILES_LIMIT      256
#define FILE_LIMIT_BYTES (sizeof(struct head) + BPF_MAXINSNS * sizeof(struct sock_filter))

/* What a file begins with; the instructions follow. */
struct head {
    struct digest digest; /* of the rest: after a crash it may not be what was written */
    uint32_t flags;
};

/* ---- The key ---- */

static void key_add(struct buf *key, const char *text)
{
    buf_add(key, text, strlen(text) + 1);
}

static void key_add_number(struct buf *key, uint64_t number)
{
    buf_add(key, &number, sizeof(number));
}

static void key_add_errno(struct buf *key, bool has, int64_t code)
{
    key_add_number(key, has ? (uint64_t)code : UINT64_MAX);
}

static void key_add_list(struct buf *key, const struct strv *list)
{
    key_add_number(key, list->n);
    for (size_t i = 0; i < list->n; i++)
        key_add(key, list->v[i]);
}

static void key_make(const struct oci_seccomp *s, bool is_native, struct buf *key)
{
    key_add_number(key, seccomp_compiler_version());
    key_add_number(key, is_native);
    key_add(key, s->default_action);
    key_add_errno(key, s->has_default_errno_ret, s->default_errno_ret);
    key_add_list(key, &s->architectures);
    key_add_list(key, &s->flags);
    for (size_t i = 0; i < s->n_syscalls; i++) {
        const struct oci_syscall *call = &s->syscalls[i];

        key_add_list(key, &call->names);
        key_add(key, call->action);
        key_add_errno(key, call->has_errno_ret, call->errno_ret);
        key_add_number(key, call->n_args);
        for (size_t j = 0; j < call->n_args; j++) {
            key_add_number(key, (uint64_t)call->args[j].index);
            key_add_number(key, call->args[j].value);
            key_add_number(key, call->args[j].value_two);
            key_add(key, call->args[j].op);
        }
    }
}

/* ---- The folder ---- */

static bool file_load(int dir_fd, const char *name, struct seccomp_program *ret)
{
    struct err ignored = ERR_INIT;
    autobuf text = BUF_INIT;
    struct digest digest;
    struct head head;
    size_t len;

    if (file_read_at(dir_fd, name, FILE_LIMIT_BYTES, &text, &ignored) < 0 ||
        text.len < sizeof(head) + sizeof(struct sock_filter))
        return false;
    memcpy(&head, text.data, sizeof(head));
    digest_bytes(text.data + sizeof(digest), text.len - sizeof(digest), &digest);
    if (digest_compare(&digest, &head.digest) != 0)
        return false;
    buf_consume(&text, sizeof(head));
    len = text.len;
    *ret = (struct seccomp_program){(struct sock_filter *)(void *)buf_take(&text),
                                    len / sizeof(struct sock_filter), head.flags};
    return true;
}

static bool file_count(void *ctx, const char *name)
{
    size_t *n = ctx;

    (void)name;
    return ++*n < FILES_LIMIT;
}

/* What cannot be kept is compiled again next time. */
static void file_save(int dir_fd, const char *name, const struct seccomp_program *p)
{
    struct err ignored = ERR_INIT;
    struct head head = {.flags = p->flags};
    autobuf text = BUF_INIT;
    struct digest digest;
    size_t n = 0;

    if (dir_each(dir_fd, file_count, &n) < 0 || n >= FILES_LIMIT)
        return;
    buf_add(&text, &head, sizeof(head));
    buf_add(&text, p->v, p->n * sizeof(*p->v));
    digest_bytes(text.data + sizeof(digest), text.len - sizeof(digest), &digest);
    memcpy(text.data, &digest, sizeof(digest));
    (void)file_write_at(dir_fd, name, text.data, text.len, 0600, 0, &ignored);
}

/* ---- The cache ---- */

static int program_get(const struct seccomp_cache *c, const struct digest *key,
                       const struct oci_seccomp *s, bool is_native, struct seccomp_program *ret,
                       struct err *e)
{
    char name[DIGEST_HEX_SIZE];

    digest_hex_format(key, name);
    if (c->dir_fd >= 0 && file_load(c->dir_fd, name, ret))
        return 0;
    TRY(seccomp_program_compile(s, is_native, ret, e));
    if (c->dir_fd >= 0)
        file_save(c->dir_fd, name, ret);
    return 0;
}

int seccomp_cache_compile(struct seccomp_cache *c, const struct oci_seccomp *s, bool is_native,
                          const struct seccomp_program **ret, struct err *e)
{
    struct seccomp_program program;
    autobuf text = BUF_INIT;
    struct digest key;

    key_make(s, is_native, &text);
    digest_bytes(text.data, text.len, &key);
    if (!c->program.v || digest_compare(&key, &c->key) != 0) {
        TRY(program_get(c, &key, s, is_native, &program, e));
        seccomp_program_done(&c->program);
        c->program = program;
        c->key = key;
    }
    *ret = &c->program;
    return 0;
}

void seccomp_cache_done(struct seccomp_cache *c)
{
    seccomp_program_done(&c->program);
}

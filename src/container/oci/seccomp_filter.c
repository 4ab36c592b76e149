/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/seccomp_filter.h"

#include <ctype.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <seccomp.h>

#include "base/fds.h"

#define ARG_COUNT           6 /* of a system call */
#define PROGRAM_LIMIT_BYTES (1u << 20)
#define COMPILER_VERSION    1u /* to be raised with what this file makes of a profile */
/* x32's calls are those of x86_64 with this bit; elsewhere no number is so high. */
#define X32_BIT 0x40000000u

struct word {
    const char *name;
    uint32_t value;
};

/* NULL: not in the list, which ends with a NULL name. */
static const struct word *word_find(const struct word *words, const char *name)
{
    for (; words->name; words++)
        if (str_eq(words->name, name))
            return words;
    return NULL;
}

/* ---- What the profile says ---- */

static int action_parse(const char *name, bool has_errno, int64_t code, uint32_t *ret,
                        struct err *e)
{
    static const struct word actions[] = {
        {"SCMP_ACT_ALLOW",        SCMP_ACT_ALLOW       },
        {"SCMP_ACT_ERRNO",        SCMP_ACT_ERRNO(0)    },
        {"SCMP_ACT_KILL",         SCMP_ACT_KILL        },
        {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_KILL_THREAD",  SCMP_ACT_KILL_THREAD },
        {"SCMP_ACT_LOG",          SCMP_ACT_LOG         },
        {"SCMP_ACT_TRACE",        SCMP_ACT_TRACE(0)    },
        {"SCMP_ACT_TRAP",         SCMP_ACT_TRAP        },
        {NULL,                    0                    },
    };
    const struct word *action = word_find(actions, name);
    bool takes_errno;

    if (str_eq(name, "SCMP_ACT_NOTIFY"))
        return err_set(e, -ENOTSUP, "SeccompNotSupported",
                       "SCMP_ACT_NOTIFY is not supported: let the profile allow or refuse the call "
                       "itself, or use a runtime with listeners (runc, crun) for this container");
    if (!action)
        return err_set(e, -EINVAL, "BadSeccomp", "there is no action '%.60s'", name);
    takes_errno = action->value == SCMP_ACT_ERRNO(0) || action->value == SCMP_ACT_TRACE(0);
    if (has_errno && !takes_errno)
        return err_set(e, -EINVAL, "BadSeccomp", "%s has no errno to return", name);
    *ret = action->value;
    if (takes_errno)
        *ret |= has_errno ? (uint32_t)code & SECCOMP_RET_DATA : EPERM;
    return 0;
}

static int arg_parse(const struct oci_syscall_arg *a, struct scmp_arg_cmp *ret, struct err *e)
{
    static const struct word ops[] = {
        {"SCMP_CMP_NE",        SCMP_CMP_NE       },
        {"SCMP_CMP_LT",        SCMP_CMP_LT       },
        {"SCMP_CMP_LE",        SCMP_CMP_LE       },
        {"SCMP_CMP_EQ",        SCMP_CMP_EQ       },
        {"SCMP_CMP_GE",        SCMP_CMP_GE       },
        {"SCMP_CMP_GT",        SCMP_CMP_GT       },
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
        {NULL,                 0                 },
    };
    const struct word *op = word_find(ops, a->op);

    if (!op)
        return err_set(e, -EINVAL, "BadSeccomp", "there is no operator '%.60s'", a->op);
    /* Of a masked comparison the first value is the mask. */
    *ret = (struct scmp_arg_cmp){(unsigned)a->index, (enum scmp_compare)op->value, a->value,
                                 a->value_two};
    return 0;
}

static int flags_parse(const struct strv *flags, unsigned *ret, struct err *e)
{
    /* The process has one thread when it loads its filter, and the filter no listener. */
    static const struct word known[] = {
        {"SECCOMP_FILTER_FLAG_TSYNC",              0                             },
        {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0                             },
        {"SECCOMP_FILTER_FLAG_LOG",                SECCOMP_FILTER_FLAG_LOG       },
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW",         SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {NULL,                                     0                             },
    };

    *ret = 0;
    for (size_t i = 0; i < flags->n; i++) {
        const struct word *flag = word_find(known, flags->v[i]);

        if (!flag)
            return err_set(e, -EINVAL, "BadSeccomp", "there is no flag '%.60s'", flags->v[i]);
        *ret |= flag->value;
    }
    return 0;
}

/* ---- The library's filter ---- */

static void filter_release(scmp_filter_ctx *f)
{
    if (*f)
        seccomp_release(*f);
}

static int architecture_add(scmp_filter_ctx f, const char *name, bool is_native, struct err *e)
{
    static const char prefix[] = "SCMP_ARCH_";
    autofree char *word = xstrdup(str_starts(name, prefix) ? name + strlen(prefix) : "");
    uint32_t token;
    int r;

    for (char *c = word; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    token = seccomp_arch_resolve_name(word);
    if (!token)
        return err_set(e, -EINVAL, "BadSeccomp", "there is no architecture '%.60s'", name);
    r = is_native ? 0 : seccomp_arch_add(f, token);
    if (r < 0 && r != -EEXIST)
        return err_errno(e, r, "BadSeccomp", "calls of %s cannot be filtered on this machine",
                         name);
    return 0;
}

static bool has_same_index(const struct oci_syscall *s)
{
    unsigned seen = 0;

    for (size_t i = 0; i < s->n_args; i++) {
        BUG_ON(s->args[i].index < 0 || s->args[i].index >= ARG_COUNT);
        if (seen & 1U << s->args[i].index)
            return true;
        seen |= 1U << s->args[i].index;
    }
    return false;
}

/* The same rule twice is no error. */
static int rule_add(scmp_filter_ctx f, uint32_t action, const char *name,
                    const struct scmp_arg_cmp *args, size_t n_args, struct err *e)
{
    int number = seccomp_syscall_resolve_name(name), r;

    if (number == __NR_SCMP_ERROR)
        return 0;
    r = seccomp_rule_add_array(f, action, number, (unsigned)n_args, args);
    if (r < 0 && r != -EEXIST)
        return err_errno(e, r, "BadSeccomp", "cannot add a rule for '%s'", name);
    return 0;
}

static int call_add(scmp_filter_ctx f, const struct oci_syscall *s, const char *name,
                    uint32_t action, struct err *e)
{
    bool is_split = has_same_index(s);
    struct scmp_arg_cmp args[ARG_COUNT];

    for (size_t i = 0; i < s->n_args; i++) {
        struct scmp_arg_cmp *arg = &args[is_split ? 0 : i];

        TRY(arg_parse(&s->args[i], arg, e));
        if (is_split)
            TRY(rule_add(f, action, name, arg, 1, e));
    }
    return is_split ? 0 : rule_add(f, action, name, args, s->n_args, e);
}

static int calls_add(scmp_filter_ctx f, const struct oci_seccomp *s, uint32_t by_default,
                     struct err *e)
{
    for (size_t i = 0; i < s->n_syscalls; i++) {
        const struct oci_syscall *call = &s->syscalls[i];
        uint32_t action;

        TRY(action_parse(call->action, call->has_errno_ret, call->errno_ret, &action, e));
        for (size_t j = 0; j < call->names.n && action != by_default; j++)
            TRY(call_add(f, call, call->names.v[j], action, e));
    }
    return 0;
}

static int filter_make(const struct oci_seccomp *s, bool is_native, uint32_t by_default,
                       scmp_filter_ctx f, struct err *e)
{
    if (!f)
        return err_set(e, -EINVAL, "BadSeccomp",
                       "the default action %s with errno %lld cannot be compiled",
                       s->default_action, (long long)s->default_errno_ret);
    /* A tree instead of a list: far less to compare for each call. */
    seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; i < s->architectures.n; i++)
        TRY(architecture_add(f, s->architectures.v[i], is_native, e));
    return calls_add(f, s, by_default, e);
}

/* ---- The program ---- */

/* -1: the profile names none that the machine has. */
static int last_call(const struct oci_seccomp *s)
{
    int last = -1;

    for (size_t i = 0; i < s->n_syscalls; i++)
        for (size_t j = 0; j < s->syscalls[i].names.n; j++) {
            int number = seccomp_syscall_resolve_name(s->syscalls[i].names.v[j]);

            if (number > last)
                last = number;
        }
    return last;
}

static bool refuses_unknown(uint32_t by_default)
{
    uint32_t action = by_default & SECCOMP_RET_ACTION_FULL;

    return action != SCMP_ACT_ALLOW && action != SCMP_ACT_LOG && action != SCMP_ACT_TRACE(0) &&
           by_default != SCMP_ACT_ERRNO(ENOSYS);
}

#define LOAD(field)              BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(test, value, yes, no) BPF_JUMP(BPF_JMP | (test) | BPF_K, (uint32_t)(value), (yes), (no))

static void newer_refuse(const struct oci_seccomp *s, uint32_t by_default, struct buf *out)
{
    int last = last_call(s);
    const struct sock_filter code[] = {
        LOAD(arch),
        IF(BPF_JEQ, seccomp_arch_native(), 0, 4),
        LOAD(nr),
        IF(BPF_JGE, X32_BIT, 2, 0),
        IF(BPF_JGT, last, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };

    if (last >= 0 && refuses_unknown(by_default))
        buf_add(out, code, sizeof(code));
}

static int export(scmp_filter_ctx f, struct buf *out, struct err *e)
{
    autofd fd = memfd_create("seccomp", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : seccomp_export_bpf(f, fd);

    if (r >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    if (r < 0)
        return err_errno(e, r, "BadSeccomp", "cannot compile it");
    return fd_read_all(fd, PROGRAM_LIMIT_BYTES, out, e);
}

static int compile(const struct oci_seccomp *s, bool is_native, struct seccomp_program *ret,
                   struct err *e)
{
    __attribute__((cleanup(filter_release))) scmp_filter_ctx f = NULL;
    autobuf code = BUF_INIT;
    uint32_t by_default;
    unsigned flags;
    size_t n;

    TRY(action_parse(s->default_action, s->has_default_errno_ret, s->default_errno_ret, &by_default,
                     e));
    TRY(flags_parse(&s->flags, &flags, e));
    f = seccomp_init(by_default);
    TRY(filter_make(s, is_native, by_default, f, e));
    newer_refuse(s, by_default, &code);
    TRY(export(f, &code, e));
    n = code.len / sizeof(struct sock_filter);
    if (n > BPF_MAXINSNS)
        return err_set(e, -EFBIG, "BadSeccomp", "it takes more than %d instructions", BPF_MAXINSNS);
    *ret = (struct seccomp_program){(struct sock_filter *)(void *)buf_take(&code), n, flags};
    return 0;
}

int seccomp_program_compile(const struct oci_seccomp *s, bool is_native,
                            struct seccomp_program *ret, struct err *e)
{
    if (compile(s, is_native, ret, e) < 0)
        return err_prefix(e, "the seccomp profile of the container");
    return 0;
}

void seccomp_program_done(struct seccomp_program *p)
{
    free(p->v);
    *p = (struct seccomp_program){0};
}

int seccomp_program_load(const struct seccomp_program *p)
{
    struct sock_fprog program = {(unsigned short)p->n, p->v};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->flags, &program) < 0 ? -errno : 0;
}

uint32_t seccomp_compiler_version(void)
{
    const struct scmp_version *v = seccomp_version();

    return COMPILER_VERSION << 24 | v->major << 16 | v->minor << 8 | v->micro;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a process under a container's profile can do: real filters, each in a child. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/child.h"
#include "container/oci/seccomp_filter.h"

/* Of containerd's default profile what a small program needs, with its conditions. */
static const char usual[] =
    "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\","
    "\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":["
    "{\"names\":[\"accept4\",\"access\",\"arch_prctl\",\"bind\",\"brk\",\"chdir\",\"close\","
    "\"close_range\",\"connect\",\"dup\",\"dup2\",\"epoll_wait\",\"execve\",\"exit\",\"exit_"
    "group\","
    "\"faccessat2\",\"fcntl\",\"fork\",\"fstat\",\"futex\",\"futex_waitv\",\"getdents64\","
    "\"getegid\",\"geteuid\",\"getgid\",\"getpid\",\"getppid\",\"getrandom\",\"getuid\",\"ioctl\","
    "\"lseek\",\"madvise\",\"mmap\",\"mprotect\",\"munmap\",\"newfstatat\",\"open\",\"openat\","
    "\"pipe2\",\"poll\",\"prctl\",\"pread64\",\"prlimit64\",\"read\",\"readlink\",\"rseq\","
    "\"rt_sigaction\",\"rt_sigprocmask\",\"rt_sigreturn\",\"sched_getaffinity\",\"sendto\","
    "\"set_robust_list\",\"set_tid_address\",\"sigaltstack\",\"socketcall\",\"statx\",\"uname\","
    "\"vfork\",\"wait4\",\"waitpid\",\"write\",\"writev\",\"process_mrelease\","
    "\"a_call_of_tomorrow\"],\"action\":\"SCMP_ACT_ALLOW\"},"
    "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_NE\"}]},"
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"args\":[{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"args\":[{\"index\":0,\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"}]},"
    "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
    "\"value\":2114060288,\"valueTwo\":0,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
    "{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]}";

static void profile_decode(const char *profile, struct oci_config *ret)
{
    autofree char *text = xasprintf("{\"linux\":{\"seccomp\":%s}}", profile);
    struct err e = ERR_INIT;

    assert_ok(oci_config_decode(text, strlen(text), ret, &e));
}

/* As run() compiles. */
static bool is_native;

/* The status of a child that has done this under the profile. */
static int run(const char *profile, int (*act)(void))
{
    struct seccomp_program program;
    struct err e = ERR_INIT;
    struct oci_config c;
    int status;
    pid_t pid;

    profile_decode(profile, &c);
    assert_ok(seccomp_program_compile(&c.linux_.seccomp, is_native, &program, &e));
    pid = fork();
    if (!pid) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_program_load(&program) < 0)
            _exit(255);
        _exit(act());
    }
    seccomp_program_done(&program);
    oci_config_done(&c);
    assert_int_equal(child_wait(pid, &status), 0);
    return status;
}

static int code_of(const char *profile, int (*act)(void))
{
    int status = run(profile, act);

    if (!WIFEXITED(status))
        fail_msg("the child was ended by the signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Under a profile that allows all but what these rules say. */
static char *allowing(const char *rules)
{
    return xasprintf("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[%s]}", rules);
}

static int parent_code(void)
{
    return syscall(SYS_getppid) < 0 ? errno : 0;
}

static int sync_code(void)
{
    return syscall(SYS_sync) < 0 ? errno : 0;
}

/* ---- Actions ---- */

static int action_status(const char *action)
{
    autofree char *rule =
        xasprintf("{\"names\":[\"write\",\"getppid\"],\"action\":\"%s\"}", action);
    autofree char *profile = allowing(rule);

    return run(profile, parent_code);
}

static void each_action_does_what_its_name_says(void **state)
{
    static const char *const deadly[] = {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD",
                                         "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
        int status = action_status(deadly[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
    assert_int_equal(WEXITSTATUS(action_status("SCMP_ACT_ALLOW")), 0);
    assert_int_equal(WEXITSTATUS(action_status("SCMP_ACT_LOG")), 0);
    assert_int_equal(WEXITSTATUS(action_status("SCMP_ACT_ERRNO")), EPERM);
    /* Nobody traces. */
    assert_int_equal(WEXITSTATUS(action_status("SCMP_ACT_TRACE")), ENOSYS);
}

static void an_errno_is_that_of_the_profile(void **state)
{
    autofree char *profile = allowing("{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\","
                                      "\"errnoRet\":111}");

    (void)state;
    assert_int_equal(code_of(profile, parent_code), 111);
    /* sigaltstack() is the sanitizers'. */
    assert_int_equal(code_of("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5,"
                             "\"syscalls\":[{\"names\":[\"exit_group\",\"sigaltstack\","
                             "\"process_mrelease\"],"
                             "\"action\":\"SCMP_ACT_ALLOW\"}]}",
                             parent_code),
                     5);
}

static void a_rule_like_the_default_is_no_error(void **state)
{
    (void)state;
    assert_int_equal(code_of("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
                             "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                             "{\"names\":[\"sync\"],\"action\":\"SCMP_ACT_ERRNO\"},"
                             "{\"names\":[\"sync\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
                             sync_code),
                     EPERM);
}

static void names_that_nobody_knows_are_skipped(void **state)
{
    autofree char *profile =
        allowing("{\"names\":[\"no_such_call\",\"getppid\",\"\"],\"action\":\"SCMP_ACT_ERRNO\"}");

    (void)state;
    assert_int_equal(code_of(profile, parent_code), EPERM);
}

/* ---- Conditions ---- */

static uint64_t arguments[2];

/* The kernel looks at no argument of this call, the filter at all. */
static int arguments_code(void)
{
    return syscall(SYS_getppid, arguments[0], arguments[1]) < 0 ? errno : 0;
}

/* Whether getppid with these arguments is refused under the conditions. */
static bool is_hit(const char *conditions, uint64_t first, uint64_t second)
{
    autofree char *rule = xasprintf(
        "{\"names\":[\"getppid\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[%s]}", conditions);
    autofree char *profile = allowing(rule);

    arguments[0] = first;
    arguments[1] = second;
    return code_of(profile, arguments_code) == EPERM;
}

static void operators_compare_64_bits_without_sign(void **state)
{
    const uint64_t at = 0x8000000100000000; /* 9223372041149743104 */
    static const struct {
        const char *op;
        bool below, same, above;
    } rows[] = {
        {"NE", true,  false, true },
        {"LT", true,  false, false},
        {"LE", true,  true,  false},
        {"EQ", false, true,  false},
        {"GE", false, true,  true },
        {"GT", false, false, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autofree char *condition = xasprintf(
            "{\"index\":0,\"value\":9223372041149743104,\"op\":\"SCMP_CMP_%s\"}", rows[i].op);

        assert_int_equal(is_hit(condition, at - 1, 0), rows[i].below);
        assert_int_equal(is_hit(condition, at, 0), rows[i].same);
        assert_int_equal(is_hit(condition, at + 1, 0), rows[i].above);
    }
}

static void a_masked_comparison_looks_at_the_mask_only(void **state)
{
    static const char condition[] =
        "{\"index\":1,\"value\":61440,\"valueTwo\":8192,\"op\":\"SCMP_CMP_MASKED_EQ\"}";

    (void)state;
    assert_true(is_hit(condition, 0, 0x2000));
    assert_true(is_hit(condition, 0, 0xffff000000002fff));
    assert_false(is_hit(condition, 0x2000, 0x3000));
}

static void conditions_hold_together_but_for_those_on_one_argument(void **state)
{
    static const char both[] = "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
                               "{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}";
    static const char either[] = "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
                                 "{\"index\":0,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}";

    (void)state;
    assert_true(is_hit(both, 1, 2));
    assert_false(is_hit(both, 1, 3));
    assert_false(is_hit(both, 3, 2));
    assert_true(is_hit(either, 1, 0));
    assert_true(is_hit(either, 2, 0));
    assert_false(is_hit(either, 3, 0));
}

/* ---- A whole profile ---- */

static int program_code(void)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)"/bin/true && exit 7", NULL};

    execv("/bin/sh", argv);
    return 1;
}

static int refused_code(void)
{
    if (syscall(SYS_unshare, CLONE_NEWUSER) == 0 || errno != EPERM)
        return 1;
    if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0 || errno != EPERM)
        return 2;
    if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
        return 3;
    if (socket(AF_VSOCK, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return 4;
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        return 5;
    if (personality(0xffffffff) < 0 || personality(0) < 0)
        return 6;
    if (personality(PER_LINUX32) >= 0 || errno != EPERM)
        return 7;
    return 0;
}

static void a_usual_profile_lets_a_program_live_and_refuses_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        is_native = i;
        assert_int_equal(code_of(usual, program_code), 7);
        assert_int_equal(code_of(usual, refused_code), 0);
    }
    is_native = false;
}

#ifdef __x86_64__
static int other_code(void)
{
    long result = 20; /* getpid() of i386 */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : 1;
}

static void calls_of_another_architecture_are_as_the_profile_says_unless_it_is_native(void **state)
{
    static const char open_profile[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\","
                                       "\"architectures\":[\"SCMP_ARCH_X86\"]}";
    int status = run(open_profile, other_code);

    (void)state;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        skip(); /* the kernel has no such calls */
    assert_int_equal(code_of(usual, other_code), 0);
    is_native = true;
    status = run(usual, other_code);
    is_native = false;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    /* Nor does one that the profile does not have. */
    status = run("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", other_code);
    assert_true(WIFSIGNALED(status));
}
#endif

static int newer_code(void)
{
    if (syscall(SYS_futex_waitv + 1, 0) >= 0 || errno != ENOSYS)
        return 1;
    return syscall(SYS_sync) < 0 && errno == EPERM ? 0 : 2;
}

static void a_call_newer_than_the_profile_does_not_exist(void **state)
{
    (void)state;
    assert_int_equal(code_of(usual, newer_code), 0);
}

/* ---- What is refused ---- */

static void what_cannot_be_compiled_is_named(void **state)
{
    static const struct {
        const char *profile;
        int code;
        const char *reason, *part;
    } rows[] = {
        {"{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/l\"}",                              -ENOTSUP,
         "SeccompNotSupported",                                                                                                           "SCMP_ACT_NOTIFY is not supported" },
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
         "\"action\":\"SCMP_ACT_NOTIFY\"}]}",                                                   -ENOTSUP, "SeccompNotSupported", "SCMP_ACT_NOTIFY is not supported" },
        {"{\"defaultAction\":\"ALLOW\"}",                                                                -EINVAL,  "BadSeccomp",          "no action 'ALLOW'"                },
        {"{\"defaultAction\":\"SCMP_ACT_KILL\",\"defaultErrnoRet\":1}",                                  -EINVAL,  "BadSeccomp",
         "SCMP_ACT_KILL has no errno"                                                                                                                                        },
        {"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":60000}",                             -EINVAL,  "BadSeccomp",
         "errno 60000"                                                                                                                                                       },
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_X\"]}",                 -EINVAL,
         "BadSeccomp",                                                                                                                    "no flag 'SECCOMP_FILTER_FLAG_X'"  },
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_PDP11\"]}",               -EINVAL,
         "BadSeccomp",                                                                                                                    "no architecture 'SCMP_ARCH_PDP11'"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"x86_64\"]}",                        -EINVAL,
         "BadSeccomp",                                                                                                                    "no architecture 'x86_64'"         },
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
         "\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"==\"}]}]}", -EINVAL,  "BadSeccomp",          "no operator '=='"                 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct seccomp_program program = {0};
        struct err e = ERR_INIT;
        struct oci_config c;

        profile_decode(rows[i].profile, &c);
        assert_fails(seccomp_program_compile(&c.linux_.seccomp, false, &program, &e), rows[i].code,
                     rows[i].reason);
        assert_contains(e.msg, "the seccomp profile of the container");
        assert_contains(e.msg, rows[i].part);
        assert_null(program.v);
        oci_config_done(&c);
    }
}

static void flags_are_passed_to_the_kernel(void **state)
{
    static const char profile[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":["
                                  "\"SECCOMP_FILTER_FLAG_TSYNC\",\"SECCOMP_FILTER_FLAG_LOG\","
                                  "\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"]}";
    struct seccomp_program program;
    struct err e = ERR_INIT;
    struct oci_config c;

    (void)state;
    profile_decode(profile, &c);
    assert_ok(seccomp_program_compile(&c.linux_.seccomp, false, &program, &e));
    assert_int_equal(program.flags, 6);
    seccomp_program_done(&program);
    oci_config_done(&c);
    assert_int_equal(code_of(profile, parent_code), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_action_does_what_its_name_says),
        cmocka_unit_test(an_errno_is_that_of_the_profile),
        cmocka_unit_test(a_rule_like_the_default_is_no_error),
        cmocka_unit_test(names_that_nobody_knows_are_skipped),
        cmocka_unit_test(operators_compare_64_bits_without_sign),
        cmocka_unit_test(a_masked_comparison_looks_at_the_mask_only),
        cmocka_unit_test(conditions_hold_together_but_for_those_on_one_argument),
        cmocka_unit_test(a_usual_profile_lets_a_program_live_and_refuses_the_rest),
#ifdef __x86_64__
        cmocka_unit_test(calls_of_another_architecture_are_as_the_profile_says_unless_it_is_native),
#endif
        cmocka_unit_test(a_call_newer_than_the_profile_does_not_exist),
        cmocka_unit_test(what_cannot_be_compiled_is_named),
        cmocka_unit_test(flags_are_passed_to_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "image/confine.h"

#ifdef __has_feature /* clang's way to say it */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static const char *const reasons[] = {"BadInput", NULL};

/* All are open in this process; `other` is not given. */
struct files {
    int in, out, other;
    uint64_t waited_ms; /* as the parent was told */
};

static void on_wait(void *ctx, uint64_t elapsed_ms)
{
    struct files *f = ctx;

    assert_true(elapsed_ms >= f->waited_ms);
    f->waited_ms = elapsed_ms;
}

static int confined(int (*function)(void *, struct err *), struct files *f, struct err *e)
{
    int fds[] = {f->out, f->in};
    struct confine c = {
        .what = "the input",
        .limits = {.cpu_s = 1, .memory_bytes = 32 << 20, .output_bytes = 1 << 20},
        .fds = fds,
        .n_fds = ARRAY_SIZE(fds),
        .reasons = reasons,
        .run = function,
        .ctx = f,
        .watch = {on_wait,          f                           },
    };

    f->waited_ms = 0;
    *e = ERR_INIT;
    return confine_run(&c, e);
}

static int setup(void **state)
{
    struct files *f = xcalloc(1, sizeof(*f));
    struct err e = ERR_INIT;

    assert_ok(memfd_from("in", "abc", 3, &f->in, &e));
    assert_ok(memfd_from("other", "secret", 6, &f->other, &e));
    f->out = memfd_create("out", MFD_CLOEXEC);
    assert_true(f->out >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct files *f = *state;

    close(f->in);
    close(f->out);
    close(f->other);
    free(f);
    return 0;
}

/* ---- It ends by itself ---- */

static int copies(void *ctx, struct err *e)
{
    struct files *f = ctx;
    autofree char *big = malloc(16 << 20);
    char text[3];

    if (!big)
        return err_set(e, -EINVAL, "BadInput", "there is no memory");
    memset(big, 1, 16 << 20);
    TRY(fd_read_exact(f->in, text, sizeof(text), e));
    TRY(fd_write_all(f->out, text, sizeof(text), e));
    return sizeof(text);
}

static int refuses(void *ctx, struct err *e)
{
    (void)ctx;
    return err_set(e, -EINVAL, "BadInput", "line 1 is bad: \x1b[31m\n");
}

static int invents(void *ctx, struct err *e)
{
    (void)ctx;
    return err_set(e, -EINVAL, "Unheard", "of");
}

static void test_answers(void **state)
{
    struct files *f = *state;
    char text[8] = "";
    struct err e;

    assert_int_equal(confined(copies, f, &e), 3);
    assert_int_equal(pread(f->out, text, sizeof(text), 0), 3);
    assert_string_equal(text, "abc");
    assert_fails(confined(refuses, f, &e), -EINVAL, "BadInput");
    assert_string_equal(e.msg, "the input: line 1 is bad: ?[31m?");
    assert_fails(confined(invents, f, &e), -EIO, "ReaderDied");
}

/* ---- It wants too much ---- */

static int loops(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    for (volatile uint64_t i = 0;; i++)
        ;
    return 0;
}

static int writes(void *ctx, struct err *e)
{
    struct files *f = ctx;
    char block[4096] = "";

    for (;;)
        TRY(fd_write_all(f->out, block, sizeof(block), e));
}

static int allocates(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    for (;;) {
        char *p = malloc(1 << 20);

        if (!p)
            return -ENOMEM;
        memset(p, 1, 1 << 20);
    }
}

static int allocates_small(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    for (;;)
        memset(xcalloc(100, 1), 1, 100);
    return 0;
}

static int maps_shared(void *ctx, struct err *e)
{
    void *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    (void)ctx;
    return p == MAP_FAILED ? -errno : err_set(e, -EINVAL, "BadInput", "it got the memory");
}

static void test_limits(void **state)
{
    struct files *f = *state;
    struct err e;

    assert_fails(confined(loops, f, &e), -ETIME, "CpuLimit");
    assert_contains(e.msg, "the input: reading it takes more than 1 s");
    assert_in_range(f->waited_ms, 500, 100000);
    assert_fails(confined(writes, f, &e), -EFBIG, "OutputLimit");
    assert_contains(e.msg, "more than the 1 MiB");
    assert_int_equal(lseek(f->out, 0, SEEK_END), 1 << 20);
    if (IS_SANITIZED)
        return; /* they have no limit of memory */
    assert_fails(confined(allocates, f, &e), -ENOMEM, "MemoryLimit");
    assert_contains(e.msg, "more than 32 MiB of memory");
    assert_fails(confined(allocates_small, f, &e), -ENOMEM, "MemoryLimit");
    assert_fails(confined(maps_shared, f, &e), -ENOMEM, "MemoryLimit");
}

/* ---- It wants something else ---- */

static int opens(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int connects(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int forks(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return fork();
}

static int kills_parent(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return kill(getppid(), SIGTERM);
}

static int executes_memory(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

static int maps_file(void *ctx, struct err *e)
{
    struct files *f = ctx;

    (void)e;
    return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, f->in, 0) != MAP_FAILED;
}

/* What it was not given is closed. */
static int reads_other(void *ctx, struct err *e)
{
    struct files *f = ctx;
    char c;

    if (read(f->other, &c, 1) != -1 || errno != EBADF || read(STDIN_FILENO, &c, 1) != -1 ||
        errno != EBADF)
        return err_set(e, -EINVAL, "BadInput", "it could read it");
    return 0;
}

static int dies(void *ctx, struct err *e)
{
    struct files *f = ctx;

    BUG_ON(f->in >= 0);
    (void)e;
    return 0;
}

static void test_forbidden(void **state)
{
    static int (*const functions[])(void *, struct err *) = {
        opens, connects, forks, kills_parent, executes_memory, maps_file,
    };
    struct files *f = *state;
    struct err e;

    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        assert_fails(confined(functions[i], f, &e), -EPERM, "ForbiddenCall");
        assert_contains(e.msg, "the input: its reader was ended");
    }
    assert_ok(confined(reads_other, f, &e));
    assert_fails(confined(dies, f, &e), -EIO, "ReaderDied");
    assert_contains(e.msg, "died of signal 6: wherry: BUG at ");
}

/* ---- Its parent dies ---- */

static int tells_and_loops(void *ctx, struct err *e)
{
    struct files *f = ctx;

    TRY(fd_write_all(f->out, "x", 1, e));
    return loops(ctx, e);
}

static void test_parent_dies(void **state)
{
    struct files *f = *state, pipes = *f;
    int fds[2], status;
    struct err e;
    pid_t pid;
    char c;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pipes.out = fds[1];
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        close(fds[0]);
        confined(tells_and_loops, &pipes, &e);
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    /* The end of the pipe comes when nobody has the other end any more. */
    assert_int_equal(read(fds[0], &c, 1), 0);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forbidden, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parent_dies, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

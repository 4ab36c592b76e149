/* SPDX-License-Identifier: Apache-2.0 */
/* What a compiler that a hostile program has taken over can still do. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/util.h"
#include "worker/compiler_confine.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* Runs the attempt in a child that is confined: what it returned, or 256 and the number of the
 * signal that ended it. */
static int confined(int (*attempt)(void))
{
    struct err e = ERR_INIT;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(compiler_confine(&e) < 0 ? 99 : attempt());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The errno of what failed, 0 for what did not. */
static int failed(int result)
{
    return result < 0 ? errno : 0;
}

static int open_file(void)
{
    return failed(open("/etc/passwd", O_RDONLY));
}

static int open_file_in_a_free_place(void)
{
    close(0);
    return failed(open("/etc/passwd", O_RDONLY));
}

static int make_socket(void)
{
    close(0);
    return failed(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_process(void)
{
    return failed(fork());
}

static int become_program(void)
{
    return failed(execl("/bin/true", "true", (char *)NULL));
}

static int end_parent(void)
{
    return failed(kill(getppid(), 0));
}

static int use_memfd(void)
{
    close(0);
    return failed(memfd_create("x", 0));
}

/* Of the parent's end it is to be told. */
static int outlive_parent(void)
{
    return failed(prctl(PR_SET_PDEATHSIG, 0));
}

static void test_refused(void **state)
{
    int (*const attempts[])(void) = {open_file,      open_file_in_a_free_place,
                                     make_socket,    make_process,
                                     become_program, end_parent,
                                     use_memfd,      outlive_parent};

    (void)state;
    if (IS_SANITIZED)
        return; /* what watches has calls of its own, so there is no filter */
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
        assert_int_equal(confined(attempts[i]), EPERM);
}

static int descriptors(void)
{
    for (int fd = 0; fd < 64; fd++)
        if ((lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF) != (fd < 3))
            return 1;
    return 0;
}

static void *thread_main(void *arg)
{
    *(int *)arg = 7;
    return NULL;
}

static int threads(void)
{
    pthread_t thread;
    int made = 0;

    if (pthread_create(&thread, NULL, thread_main, &made) || pthread_join(thread, NULL))
        return 1;
    return made != 7;
}

static int memory(void)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return 1;
    memset(p, 1, 1 << 20);
    return munmap(p, 1 << 20) < 0;
}

static int end_by_abort(void)
{
    abort();
}

static void test_allowed(void **state)
{
    int null = open("/dev/null", O_RDONLY);

    (void)state;
    assert_true(null >= 0); /* it is not to be there in the child */
    assert_int_equal(confined(descriptors), 0);
    assert_int_equal(confined(threads), 0);
    assert_int_equal(confined(memory), 0);
    assert_int_equal(confined(end_by_abort), 256 + SIGABRT);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_allowed),
    };
    return cmocka_run_group_tests_name("compiler_confine", tests, NULL, NULL);
}

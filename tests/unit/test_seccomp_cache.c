/* SPDX-License-Identifier: Apache-2.0 */
/* Which filters are compiled, which are found, and what a bad file does. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "container/oci/seccomp_cache.h"

static const char document[] =
    "{\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":["
    "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
    "\"syscalls\":[{\"names\":[\"read\",\"write\",\"exit_group\"],"
    "\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\","
    "\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_NE\"}]}]}}}";

struct setting {
    char *dir;
    struct oci_config config;
    struct seccomp_cache cache;
};

static int set_up(void **state)
{
    struct setting *s = xcalloc(1, sizeof(*s));
    struct err e = ERR_INIT;

    s->dir = unit_temp_dir();
    s->cache = SECCOMP_CACHE_INIT;
    assert_ok(oci_config_decode(document, sizeof(document) - 1, &s->config, &e));
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    seccomp_cache_done(&s->cache);
    close_cleanup_(&s->cache.dir_fd);
    oci_config_done(&s->config);
    nftw(s->dir, unit_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s->dir);
    free(s);
    return 0;
}

static const struct seccomp_program *compile(struct setting *s, bool is_native)
{
    const struct seccomp_program *program = NULL;
    struct err e = ERR_INIT;

    assert_ok(seccomp_cache_compile(&s->cache, &s->config.linux_.seccomp, is_native, &program, &e));
    return program;
}

/* As another process would. */
static void begin_anew(struct setting *s)
{
    seccomp_cache_done(&s->cache);
    close_cleanup_(&s->cache.dir_fd);
    s->cache = SECCOMP_CACHE_INIT;
    s->cache.dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(s->cache.dir_fd >= 0);
}

static bool name_keep(void *ctx, const char *name)
{
    strv_add(ctx, name);
    return true;
}

/* Of the files in the folder. */
static struct strv names(const struct setting *s)
{
    struct strv list = STRV_INIT;

    assert_int_equal(dir_each(s->cache.dir_fd, name_keep, &list), 0);
    return list;
}

static size_t count(const struct setting *s)
{
    autostrv list = names(s);

    return list.n;
}

static void the_last_profile_is_compiled_once(void **state)
{
    struct setting *s = *state;
    struct oci_seccomp *profile = &s->config.linux_.seccomp;
    const struct seccomp_program *again = NULL;
    const struct sock_filter *code = compile(s, false)->v;
    struct err e = ERR_INIT;

    assert_ptr_equal(compile(s, false)->v, code);
    /* A bad one leaves it alone. */
    profile->default_action[0] = '?';
    assert_fails(seccomp_cache_compile(&s->cache, profile, false, &again, &e), -EINVAL,
                 "BadSeccomp");
    assert_null(again);
    profile->default_action[0] = 'S';
    assert_ptr_equal(compile(s, false)->v, code);
}

static void any_difference_makes_another_file(void **state)
{
    struct setting *s = *state;
    struct oci_seccomp *profile = &s->config.linux_.seccomp;
    size_t n = 1;

    begin_anew(s);
    compile(s, false);
    assert_int_equal(count(s), n);
    compile(s, true);
    assert_int_equal(count(s), ++n);
    profile->syscalls[1].args[0].value = UINT64_MAX;
    compile(s, true);
    assert_int_equal(count(s), ++n);
    profile->syscalls[1].args[0].index = 1;
    compile(s, true);
    assert_int_equal(count(s), ++n);
    memcpy(profile->syscalls[1].args[0].op, "SCMP_CMP_EQ", sizeof("SCMP_CMP_EQ"));
    compile(s, true);
    assert_int_equal(count(s), ++n);
    profile->has_default_errno_ret = true;
    profile->default_errno_ret = 5;
    compile(s, true);
    assert_int_equal(count(s), ++n);
    free(profile->flags.v[--profile->flags.n]);
    compile(s, true);
    assert_int_equal(count(s), ++n);
    memcpy(profile->syscalls[0].names.v[0], "brk", sizeof("brk"));
    compile(s, true);
    assert_int_equal(count(s), ++n);
}

static void another_process_finds_the_same_program(void **state)
{
    struct setting *s = *state;
    struct seccomp_program first = {0};
    const struct seccomp_program *found;
    autostrv list = STRV_INIT;
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    assert_ok(seccomp_program_compile(&s->config.linux_.seccomp, true, &first, &e));
    begin_anew(s);
    compile(s, true);
    list = names(s);
    assert_ok(file_read_at(s->cache.dir_fd, list.v[0], 65536, &text, &e));
    compile(s, false);
    /* In the place of the second, so that it can be told from one that is compiled again. */
    strv_done(&list);
    list = names(s);
    for (size_t i = 0; i < list.n; i++)
        assert_ok(file_write_at(s->cache.dir_fd, list.v[i], text.data, text.len, 0600, 0, &e));
    begin_anew(s);
    found = compile(s, false);
    assert_int_equal(found->n, first.n);
    assert_int_equal(found->flags, first.flags);
    assert_memory_equal(found->v, first.v, first.n * sizeof(*first.v));
    seccomp_program_done(&first);
}

static void a_damaged_file_is_replaced(void **state)
{
    struct setting *s = *state;
    autostrv list = STRV_INIT;
    struct err e = ERR_INIT;
    autobuf good = BUF_INIT, now = BUF_INIT;

    begin_anew(s);
    compile(s, true);
    list = names(s);
    assert_ok(file_read_at(s->cache.dir_fd, list.v[0], 65536, &good, &e));
    for (size_t len = 0; len <= good.len; len += good.len / 4) {
        autobuf bad = BUF_INIT;

        buf_add(&bad, good.data, good.len);
        bad.len = len;
        if (len == good.len)
            bad.data[len - 1] ^= 1;
        assert_ok(file_write_at(s->cache.dir_fd, list.v[0], bad.data, bad.len, 0600, 0, &e));
        begin_anew(s);
        compile(s, true);
        buf_clear(&now);
        assert_ok(file_read_at(s->cache.dir_fd, list.v[0], 65536, &now, &e));
        assert_int_equal(now.len, good.len);
        assert_memory_equal(now.data, good.data, good.len);
    }
}

static void a_folder_that_is_full_or_gone_is_done_without(void **state)
{
    struct setting *s = *state;
    struct err e = ERR_INIT;

    begin_anew(s);
    for (int i = 0; i < 256; i++) {
        autofree char *name = xasprintf("%d", i);

        assert_ok(file_write_at(s->cache.dir_fd, name, "", 0, 0600, 0, &e));
    }
    assert_true(compile(s, true)->n > 0);
    assert_int_equal(count(s), 256);
    nftw(s->dir, unit_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    assert_true(compile(s, false)->n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_profile_is_compiled_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_difference_makes_another_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_process_finds_the_same_program, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_full_or_gone_is_done_without, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

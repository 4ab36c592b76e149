/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <sys/wait.h>

#include "base/fds.h"
#include "cli/commands.h"

/* The exit status of a shell command that gets `text` on its standard input. */
static int status_with_input(const char *command, const struct buf *text)
{
    autofd fd = -EBADF;
    autofree char *line = NULL;
    struct err e = ERR_INIT;

    assert_ok(memfd_from("text", buf_str(text), text->len, &fd, &e));
    assert_int_equal(fd_cloexec_set(fd, false), 0);
    line = xasprintf("%s < /proc/self/fd/%d >&2", command, fd);
    /* NOLINTNEXTLINE(cert-env33-c): a fixed command */
    return WEXITSTATUS(system(line));
}

static bool is_installed(const char *program)
{
    autofree char *line = xasprintf("command -v %s >/dev/null 2>&1", program);

    return system(line) == 0; /* NOLINT(cert-env33-c) */
}

static void test_help_lists_everything(void **state)
{
    (void)state;
    for (const struct command_spec *const *c = commands_all; *c; c++) {
        autobuf out = BUF_INIT;

        options_help(*c, "wherry", 80, &out);
        for (const struct option_spec *o = (*c)->options; o->name; o++) {
            autofree char *option = xasprintf("--%s", o->name);

            assert_contains(out.data, option);
        }
        for (const char *line = out.data; *line; line += strcspn(line, "\n"), line += *line == '\n')
            assert_true(strcspn(line, "\n") <= 80);
    }
}

static void test_man_pages_pass_lint(void **state)
{
    (void)state;
    if (!is_installed("mandoc"))
        skip();
    for (const struct command_spec *const *c = commands_all; *c; c++) {
        autobuf out = BUF_INIT;

        options_man(*c, "wherry", "November 24, 2026", &out);
        /* -W warning: complaints about style (long lines, pages not installed) do not count. */
        assert_int_equal(status_with_input("mandoc -T lint -W warning", &out), 0);
    }
    autobuf out = BUF_INIT;
    options_man_program(&commands_program, "November 24, 2026", &out);
    assert_int_equal(status_with_input("mandoc -T lint -W warning", &out), 0);
}

static void assert_parses(const char *shell, const char *command)
{
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (!is_installed(shell))
        skip();
    assert_ok(options_completion(shell, "wherry", commands_all, &out, &e));
    assert_contains(out.data, "allow-net");
    assert_int_equal(status_with_input(command, &out), 0);
}

static void test_bash(void **state)
{
    (void)state;
    assert_parses("bash", "bash -n");
    /* What a user gets for `wherry run --mem<TAB>`. */
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry run --mem); COMP_CWORD=2;"
                          " _wherry; test \"${COMPREPLY[*]}\" = --memory'");
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry insp); COMP_CWORD=1;"
                          " _wherry; test \"${COMPREPLY[*]}\" = inspect'");
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry inspect -o j); "
                          "COMP_CWORD=3; _wherry; test \"${COMPREPLY[*]}\" = json'");
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry sys); COMP_CWORD=1;"
                          " _wherry; test \"${COMPREPLY[*]}\" = system'");
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry system pr); COMP_CWORD=2;"
                          " _wherry; test \"${COMPREPLY[*]}\" = prune'");
    assert_parses("bash", "bash -c 'source /dev/stdin; COMP_WORDS=(wherry system check --re); "
                          "COMP_CWORD=3; _wherry; test \"${COMPREPLY[*]}\" = --repair'");
}

static void test_zsh(void **state)
{
    (void)state;
    assert_parses("zsh", "zsh -n /dev/stdin");
}

static void test_fish(void **state)
{
    (void)state;
    assert_parses("fish", "fish --no-execute /dev/stdin");
    assert_parses("fish", "HOME=/tmp fish -c 'source /dev/stdin; complete -C \"wherry run --mem\" "
                          "| string match -q \"*--memory*\"'");
    assert_parses("fish", "HOME=/tmp fish -c 'source /dev/stdin; complete -C \"wherry system pr\" "
                          "| string match -q \"prune*\"'");
    assert_parses("fish", "HOME=/tmp fish -c 'source /dev/stdin; "
                          "complete -C \"wherry system check --re\" "
                          "| string match -q \"*--repair*\"'");
}

static void test_unknown_shell(void **state)
{
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(options_completion("csh", "wherry", commands_all, &out, &e), -EINVAL, "BadShell");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_lists_everything),
        cmocka_unit_test(test_man_pages_pass_lint),
        cmocka_unit_test(test_bash),
        cmocka_unit_test(test_zsh),
        cmocka_unit_test(test_fish),
        cmocka_unit_test(test_unknown_shell),
    };
    return cmocka_run_group_tests_name("options_doc", tests, NULL, NULL);
}

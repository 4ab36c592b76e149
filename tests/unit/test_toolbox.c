/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <sys/stat.h>

#include "toolbox/http.h"
#include "toolbox/tar.h"

/* Runs a script in a folder of its own; what it wrote, as one text; the caller frees it. */
static char *shell(const char *script, const char *input, int *ret_status)
{
    autofree char *folder = unit_temp_dir(), *before = getcwd(NULL, 0);
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    struct strv env = STRV_INIT;
    struct job j = {.argc = 3, .argv = argv, .env = &env};
    struct stream *out = stream_new_memory((size_t)1 << 24);
    char *text;

    assert_int_equal(chdir(folder), 0);
    j.in = stream_new_memory(SIZE_MAX);
    stream_puts(j.in, input);
    j.out = out;
    j.err = out;
    *ret_status = tool_sh(&j);
    text = strdup(buf_str(&out->in) + out->in_pos);
    stream_unref(j.in);
    stream_unref(out);
    assert_int_equal(chdir(before), 0);
    nftw(folder, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return text;
}

static void assert_script(const char *script, int wanted, const char *output)
{
    int status;
    autofree char *text = shell(script, "", &status);

    assert_string_equal(text, output);
    assert_int_equal(status, wanted);
}

/* It fails with this in its message. */
static void assert_refused(const char *script, const char *message)
{
    int status;
    autofree char *text = shell(script, "", &status);

    assert_contains(text, message);
    assert_int_not_equal(status, 0);
}

static void test_a_subshell_changes_nothing_outside(void **state)
{
    (void)state;
    assert_script("x=1; f() { echo old; }; set -- p; "
                  "(x=2; f() { echo new; }; set -- q; cd /; set -e; exit 3); "
                  "echo $? $x $1; f; [ \"$PWD\" = / ] || echo same; false; echo on",
                  0, "3 1 p\nold\nsame\non\n");
}

static void test_an_assignment_before_a_command_lasts_as_long_as_it(void **state)
{
    (void)state;
    assert_script("x=1; x=2 env | while read l; do case $l in x=*) echo $l;; esac; done; echo $x",
                  0, "x=2\n1\n");
}

static void test_a_function_may_be_defined_anew_while_it_runs(void **state)
{
    (void)state;
    assert_script("f() { f() { echo second; }; echo first; }; f; f", 0, "first\nsecond\n");
    assert_script("eval 'g() { unset -f g; echo still here; }'; g; g", 127,
                  "still here\nsh: g: not found\n");
}

static void test_a_pipeline_passes_all_bytes(void **state)
{
    (void)state;
    assert_script("seq 100000 | cat | tail -n 1", 0, "100000\n");
    assert_script("seq 3 | while read a; do read b; echo $a-$b; done", 0, "1-2\n3-\n");
}

static void test_what_cannot_be_had_is_refused_with_the_reason(void **state)
{
    (void)state;
    assert_refused("sleep 1 &", "no other processes");
    assert_refused("tar czf - .", "compression");
    assert_refused("nc host 80", "sh: nc: not found");
}

static void test_endless_things_end(void **state)
{
    (void)state;
    assert_refused("f() { f; }; f", "nested more than");
    assert_refused("x='eval \"$x\"'; eval \"$x\"", "nested more than");
    assert_refused("f() { x=$(f); }; f", "nested more than");
    assert_refused(
        "echo $((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1", "");
}

static void test_quotes_survive_what_is_between_them(void **state)
{
    (void)state;
    assert_script("x='a  b'; echo \"${y:-\"$x\"}\" \"$(echo \"$x\")\" \"`echo \\\"$x\\\"`\"", 0,
                  "a  b a  b a  b\n");
    assert_script("echo '*' \"?\" \\[a]", 0, "* ? [a]\n");
}

static void test_a_name_in_an_archive_never_leads_out(void **state)
{
    static const struct {
        const char *name, *safe;
    } cases[] = {
        {"a/b",         "a/b"       },
        {"/etc/passwd", "etc/passwd"},
        {"./a//b/.",    "a/b"       },
        {"..",          NULL        },
        {"a/../b",      NULL        },
        {"..a/b..",     "..a/b.."   },
        {"/",           ""          },
        {"",            ""          }
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *safe = tar_safe_name(cases[i].name);

        if (cases[i].safe)
            assert_string_equal(safe, cases[i].safe);
        else
            assert_null(safe);
    }
}

static void test_a_link_in_the_way_is_not_followed(void **state)
{
    (void)state;
    assert_script("mkdir in out jail; ln -s ../out in/d; tar cf a -C in d; rm in/d; "
                  "mkdir in/d; echo evil > in/d/f; tar cf b -C in d/f; "
                  "tar xf a -C jail; tar xf b -C jail 2>/dev/null; echo $?; ls out",
                  0, "1\n");
}

static void test_an_archive_holds_files_folders_and_links(void **state)
{
    (void)state;
    assert_script(
        "mkdir -p s/d; echo data > s/d/f; ln -s f s/d/l; tar cf - s | (mkdir o; tar xf - -C "
        "o); cat o/s/d/l; readlink o/s/d/l; tar cf - s | tar tf -",
        0, "data\nf\ns/\ns/d/\ns/d/f\ns/d/l\n");
}

static void test_a_full_pipe_ends_its_writer(void **state)
{
    struct stream *s = stream_new_memory(4);

    (void)state;
    assert_int_equal(stream_write(s, "abcd", 4), 0);
    assert_int_equal(stream_write(s, "e", 1), -EPIPE);
    assert_int_equal(stream_getc(s), 'a');
    assert_int_equal(stream_write(s, "e", 1), -EPIPE);
    stream_unref(s);
}

static void test_a_closed_stream_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(stream_write(NULL, "a", 1), -EBADF);
    assert_int_equal(stream_getc(NULL), -1);
    assert_script("exec 3>&-; echo x >&3; echo $?", 0, "sh: 3: Bad file descriptor\n2\n");
}

static void test_only_standard_input_that_was_not_read_ahead_may_wait(void **state)
{
    struct stream *in = stream_new_fd(STDIN_FILENO, false);
    struct stream *memory = stream_new_memory(10);

    (void)state;
    assert_true(stream_may_wait(in));
    buf_addc(&in->in, 'x');
    assert_false(stream_may_wait(in));
    assert_int_equal(stream_getc(in), 'x');
    assert_true(stream_may_wait(in));
    assert_false(stream_may_wait(memory));
    assert_false(stream_may_wait(NULL));
    stream_unref(in);
    stream_unref(memory);
}

static void test_a_url_is_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *authority, *path;
        uint16_t port;
    } good[] = {
        {"http://web/a?b#c",  "web",       "web",        "/a?b",         80  },
        {"HTTP://[::1]:8080", "::1",       "[::1]:8080", "/",            8080},
        {"web:1?u=http://x",  "web",       "web:1",      "/?u=http://x", 1   },
        {"127.0.0.1",         "127.0.0.1", "127.0.0.1",  "/",            80  },
    };
    static const char *const bad[] = {"",           "https://web", "ftp://web", "http://",
                                      "http://:80", "web:0",       "web:70000", "web:x",
                                      "u:p@web",    "[::1",        "[::1]x",    "[]",
                                      "web/a b",    "web/\r\nX:",  "web/\x7f"};
    struct http_url u;
    const char *why;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(http_url_parse(good[i].text, &u, &why));
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.authority, good[i].authority);
        assert_string_equal(u.path, good[i].path);
        assert_int_equal(u.port, good[i].port);
        http_url_done(&u);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        why = NULL;
        assert_false(http_url_parse(bad[i], &u, &why));
        assert_non_null(why);
    }
}

static int head_parse(const char *text, struct http_head *ret)
{
    autobuf b = BUF_INIT;

    buf_addstr(&b, text);
    return http_head_parse(&b, ret);
}

static void test_the_head_of_an_answer_is_read(void **state)
{
    static const char *const bad[] = {
        "SSH-2.0-x\r\n",      "HTTP/2 200\r\n",      "HTTP/1.1 099 x\r\n",
        "HTTP/1.1 600 x\r\n", "HTTP/1.1 2000 x\r\n", "HTTP/1.1 200 x\r\nContent-Length: -1\r\n",
    };
    struct http_head h;

    (void)state;
    assert_int_equal(head_parse("HTTP/1.1 200 O\033K\r\ncontent-LENGTH:  12 \r\n\r\nbody", &h), 1);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.length, 12);
    assert_string_equal(h.line, "200 O?K");
    assert_int_equal(h.bytes, 42);
    assert_null(h.location);
    http_head_done(&h);
    assert_int_equal(head_parse("HTTP/1.0 302\nLocation: /x\nTransfer-Encoding: chunked\n\n", &h),
                     1);
    assert_int_equal(h.length, -1);
    assert_true(h.is_chunked);
    assert_string_equal(h.location, "/x");
    http_head_done(&h);
    assert_int_equal(head_parse("", &h), 0);
    assert_int_equal(head_parse("HTTP/1.0 200 OK\r\nLocation: /x\r\n", &h), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(head_parse(bad[i], &h), -1);
}

static void test_a_head_without_an_end_is_given_up(void **state)
{
    autobuf text = BUF_INIT;
    struct http_head h;

    (void)state;
    buf_addstr(&text, "HTTP/1.0 200 OK\r\n");
    while (text.len <= HTTP_HEAD_MAX)
        buf_addstr(&text, "a: b\r\n");
    assert_int_equal(http_head_parse(&text, &h), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_subshell_changes_nothing_outside),
        cmocka_unit_test(test_an_assignment_before_a_command_lasts_as_long_as_it),
        cmocka_unit_test(test_a_function_may_be_defined_anew_while_it_runs),
        cmocka_unit_test(test_a_pipeline_passes_all_bytes),
        cmocka_unit_test(test_what_cannot_be_had_is_refused_with_the_reason),
        cmocka_unit_test(test_endless_things_end),
        cmocka_unit_test(test_quotes_survive_what_is_between_them),
        cmocka_unit_test(test_a_name_in_an_archive_never_leads_out),
        cmocka_unit_test(test_a_link_in_the_way_is_not_followed),
        cmocka_unit_test(test_an_archive_holds_files_folders_and_links),
        cmocka_unit_test(test_a_full_pipe_ends_its_writer),
        cmocka_unit_test(test_a_closed_stream_is_an_error),
        cmocka_unit_test(test_a_url_is_taken_apart),
        cmocka_unit_test(test_the_head_of_an_answer_is_read),
        cmocka_unit_test(test_a_head_without_an_end_is_given_up),
        cmocka_unit_test(test_only_standard_input_that_was_not_read_ahead_may_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

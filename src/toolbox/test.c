/* SPDX-License-Identifier: Apache-2.0 */
/* test and [: POSIX's rules by the number of arguments, and -a -o ( ) for more of them. */
#include <sys/stat.h>

#include "toolbox/toolbox.h"

#define TEST_DEPTH_MAX 64

struct test {
    struct job *job;
    char **argv;
    int at, end;
    int depth;
    bool is_bad;
};

static bool test_or(struct test *t);

static bool bad(struct test *t, const char *text, const char *what)
{
    if (!t->is_bad)
        job_error(t->job, "%s: %s", text, what);
    t->is_bad = true;
    return false;
}

static long long integer(struct test *t, const char *text)
{
    const char *digits = text;
    long long value = 0;
    bool is_negative;

    while (*digits == ' ' || *digits == '\t')
        digits++;
    is_negative = *digits == '-';
    if (*digits == '-' || *digits == '+')
        digits++;
    if (!number_parse(digits, INT64_MAX, &value))
        bad(t, text, "Illegal number");
    return is_negative ? -value : value;
}

static bool is_unary(const char *op)
{
    return op[0] == '-' && op[1] && !op[2] && strchr("bcdefghknprstuwxzLS", op[1]);
}

static bool unary(struct test *t, char op, const char *arg)
{
    struct stat st;

    if (op == 'n')
        return *arg;
    if (op == 'z')
        return !*arg;
    if (op == 't')
        return isatty((int)integer(t, arg));
    if (op == 'L' || op == 'h')
        return lstat(arg, &st) == 0 && S_ISLNK(st.st_mode);
    if (stat(arg, &st) < 0)
        return false;
    switch (op) {
    case 'd':
        return S_ISDIR(st.st_mode);
    case 'f':
        return S_ISREG(st.st_mode);
    case 'b':
        return S_ISBLK(st.st_mode);
    case 'c':
        return S_ISCHR(st.st_mode);
    case 'p':
        return S_ISFIFO(st.st_mode);
    case 'S':
        return S_ISSOCK(st.st_mode);
    case 's':
        return st.st_size > 0;
    case 'r':
        return access(arg, R_OK) == 0;
    case 'w':
        return access(arg, W_OK) == 0;
    case 'x':
        return access(arg, X_OK) == 0;
    case 'g':
    case 'u':
    case 'k':
        return st.st_mode & (op == 'g' ? S_ISGID : op == 'u' ? S_ISUID : S_ISVTX);
    default:
        return true; /* -e */
    }
}

static bool is_binary(const char *op)
{
    static const char *const ops[] = {"=",   "==",  "!=",  "<",   ">",   "-eq", "-ne",
                                      "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef"};

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
        if (str_eq(ops[i], op))
            return true;
    return false;
}

static int compare_times(const char *a, const char *b)
{
    struct stat sa, sb;
    bool has_a = stat(a, &sa) == 0, has_b = stat(b, &sb) == 0;

    if (!has_a || !has_b)
        return has_a - has_b;
    if (sa.st_mtim.tv_sec != sb.st_mtim.tv_sec)
        return sa.st_mtim.tv_sec > sb.st_mtim.tv_sec ? 1 : -1;
    return (sa.st_mtim.tv_nsec > sb.st_mtim.tv_nsec) - (sa.st_mtim.tv_nsec < sb.st_mtim.tv_nsec);
}

static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_ino == sb.st_ino &&
           sa.st_dev == sb.st_dev;
}

static bool binary(struct test *t, const char *a, const char *op, const char *b)
{
    long long x, y;

    if (op[0] == '=')
        return str_eq(a, b);
    if (op[0] == '!')
        return !str_eq(a, b);
    if (op[0] == '<' || op[0] == '>')
        return op[0] == '<' ? strcmp(a, b) < 0 : strcmp(a, b) > 0;
    if (str_eq(op, "-nt") || str_eq(op, "-ot"))
        return compare_times(a, b) == (op[1] == 'n' ? 1 : -1);
    if (str_eq(op, "-ef"))
        return same_file(a, b);
    x = integer(t, a);
    y = integer(t, b);
    if (str_eq(op, "-eq"))
        return x == y;
    if (str_eq(op, "-ne"))
        return x != y;
    if (op[1] == 'l')
        return op[2] == 't' ? x < y : x <= y;
    return op[2] == 't' ? x > y : x >= y;
}

static bool test_primary(struct test *t)
{
    int left = t->end - t->at;
    char **v = t->argv + t->at;

    if (left <= 0)
        return t->at ? bad(t, t->argv[t->at - 1], "argument expected") : false;
    if (left >= 3 && is_binary(v[1])) {
        t->at += 3;
        return binary(t, v[0], v[1], v[2]);
    }
    if (left >= 2 && str_eq(v[0], "!")) {
        bool result;

        t->at++;
        if (++t->depth > TEST_DEPTH_MAX)
            return bad(t, "!", "nested too deep");
        result = !test_primary(t);
        t->depth--;
        return result;
    }
    if (left >= 3 && str_eq(v[0], "(")) {
        bool result;

        t->at++;
        if (++t->depth > TEST_DEPTH_MAX)
            return bad(t, "(", "nested too deep");
        result = test_or(t);
        t->depth--;
        if (t->at >= t->end || !str_eq(t->argv[t->at], ")"))
            return bad(t, "(", "closing paren expected");
        t->at++;
        return result;
    }
    if (left >= 2 && is_unary(v[0])) {
        t->at += 2;
        return unary(t, v[0][1], v[1]);
    }
    t->at++;
    return v[0][0];
}

static bool test_and(struct test *t)
{
    bool result = test_primary(t);

    while (!t->is_bad && t->at < t->end && str_eq(t->argv[t->at], "-a")) {
        t->at++;
        result = test_primary(t) && result;
    }
    return result;
}

static bool test_or(struct test *t)
{
    bool result = test_and(t);

    while (!t->is_bad && t->at < t->end && str_eq(t->argv[t->at], "-o")) {
        t->at++;
        result = test_and(t) || result;
    }
    return result;
}

int tool_test(struct job *j)
{
    struct test t = {.job = j, .argv = j->argv + 1, .end = j->argc - 1};
    bool result;

    if (str_eq(j->argv[0], "[")) {
        if (j->argc < 2 || !str_eq(j->argv[j->argc - 1], "]"))
            return job_error(j, "missing ]") + 1;
        t.end--;
    }
    result = test_or(&t);
    if (!t.is_bad && t.at < t.end)
        bad(&t, t.argv[t.at], "unexpected operator");
    return t.is_bad ? 2 : !result;
}

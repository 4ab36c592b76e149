/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/names.h"

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alphanumeric(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool label_check(const char *s, size_t len)
{
    if (!len || len > 63 || !is_lower(s[0]) || !is_lower(s[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_lower(s[i]) && s[i] != '-')
            return false;
    return true;
}

bool name_is_label(const char *s)
{
    return label_check(s, strlen(s));
}

/* A part of a subdomain may be longer than a label in Kubernetes; only the whole is limited. */
static bool subdomain_check(const char *s, size_t len)
{
    if (!len || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool is_first = !i || s[i - 1] == '.', is_last = i + 1 == len || s[i + 1] == '.';

        if (!is_lower(s[i]) && s[i] != '-' && s[i] != '.')
            return false;
        if (!is_lower(s[i]) && (is_first || (s[i] == '-' && is_last) || i + 1 == len))
            return false;
    }
    return true;
}

bool name_is_subdomain(const char *s)
{
    return subdomain_check(s, strlen(s));
}

bool name_is_port(const char *s)
{
    size_t len = strlen(s);
    bool has_letter = false;

    if (!len || len > 15 || s[0] == '-' || s[len - 1] == '-' || strstr(s, "--"))
        return false;
    for (; *s; s++) {
        if (!is_lower(*s) && *s != '-')
            return false;
        has_letter = has_letter || (*s >= 'a' && *s <= 'z');
    }
    return has_letter;
}

static bool word_check(const char *s)
{
    size_t len = strlen(s);

    if (!len || len > 63 || !is_alphanumeric(s[0]) || !is_alphanumeric(s[len - 1]))
        return false;
    for (; *s; s++)
        if (!is_alphanumeric(*s) && !strchr("-_.", *s))
            return false;
    return true;
}

bool name_is_qualified(const char *s)
{
    const char *slash = strchr(s, '/');

    if (!slash)
        return word_check(s);
    return subdomain_check(s, (size_t)(slash - s)) && word_check(slash + 1);
}

bool name_is_label_value(const char *s)
{
    return !*s || word_check(s);
}

bool name_is_key(const char *s)
{
    if (!*s || strlen(s) > 253 || str_eq(s, ".") || str_starts(s, ".."))
        return false;
    for (; *s; s++)
        if (!is_alphanumeric(*s) && !strchr("-_.", *s))
            return false;
    return true;
}

bool name_is_variable(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (*s < ' ' || *s > '~' || *s == '=')
            return false;
    return true;
}

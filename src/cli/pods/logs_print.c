/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fds.h"
#include "base/text.h"
#include "cli/pods/logs.h"

void log_printer_init(struct log_printer *p, const char *prefix)
{
    p->prefix = prefix ? xstrdup(prefix) : NULL;
    p->is_terminal = isatty(STDOUT_FILENO);
}

void log_printer_done(struct log_printer *p)
{
    free(p->prefix);
    p->prefix = NULL;
}

/* Of a sequence that sets colours, "\e[1;31m", at `text`; 0 for anything else. */
static size_t colour_len(const char *text, size_t len)
{
    size_t i = 2;

    if (len < 3 || text[0] != '\x1b' || text[1] != '[')
        return 0;
    while (i < len && ((text[i] >= '0' && text[i] <= '9') || text[i] == ';'))
        i++;
    return i < len && text[i] == 'm' ? i + 1 : 0;
}

void log_mute(char *text, size_t len, bool has_colours)
{
    for (size_t at = 0; at < len;) {
        size_t n = 0, kept = 0;

        while (at + n < len && !kept) {
            char c = text[at + n];

            kept = c == '\t' || c == '\n' ? 1 : 0;
            if (!kept && has_colours)
                kept = colour_len(text + at + n, len - at - n);
            n += !kept;
        }
        text_mute(text + at, n, false);
        at += n + kept;
    }
}

int log_printer_line(const struct log_printer *p, char *text, size_t len)
{
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (p->is_terminal)
        log_mute(text, len, true);
    buf_addstr(&out, p->prefix ? p->prefix : "");
    buf_add(&out, text, len);
    buf_addc(&out, '\n');
    return fd_write_all(STDOUT_FILENO, out.data, out.len, &e) < 0 ? -EIO : 0;
}

static void names_add(const struct json_value *list, struct strv *ret)
{
    for (size_t i = 0; i < json_value_count(list); i++) {
        const char *name = json_value_str(json_value_item(list, i), "name");

        if (name)
            strv_add(ret, name);
    }
}

void log_containers_add(const struct json_value *pod, bool has_init, struct strv *ret)
{
    if (has_init)
        names_add(json_value_at(pod, "spec.initContainers"), ret);
    names_add(json_value_at(pod, "spec.containers"), ret);
}

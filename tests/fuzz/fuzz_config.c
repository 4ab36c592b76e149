/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file: an error with its line, or values that can be shown. */
#include "base/config.h"
#include "base/fds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    const char *file, *text, *word;
    struct strv list;
    struct option_number number, bytes, time;
    bool flag;
    int count;
};

static const char *const words[] = {"a", "b", NULL};
#define ROW(name_, type_) .name = #name_, .type = (type_), .offset = offsetof(struct target, name_)
static const struct option_spec rows[] = {
    {ROW(file,                    OPTION_STRING)},
    {ROW(text,                           OPTION_STRING)},
    {ROW(word,OPTION_STRING), .complete = COMPLETE_WORDS, .words = words},
    {ROW(list,                    OPTION_STRINGS)},
    {ROW(number, OPTION_INT)},
    {ROW(bytes,                           OPTION_SIZE)},
    {ROW(time,OPTION_DURATION_MS)},
    {ROW(flag,                  OPTION_FLAG)},
    {ROW(count,                           OPTION_COUNT)},
    {0},
};
static const struct command_spec spec = {.name = "x", .usage = "", .options = rows};
static const struct config_source source = {"FUZZ_", "x.toml", "file"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofd fd = -EBADF;
    autofree char *path = NULL;
    autobuf out = BUF_INIT;
    autostrv operands = STRV_INIT;
    struct target t = {0};
    struct config c;
    struct err e = ERR_INIT;

    BUG_ON(memfd_from("config", data, size, &fd, &e) < 0);
    path = xasprintf("/proc/self/fd/%d", fd);
    if (config_parse(&spec, &source, 3, (char *[]){(char *)"x", (char *)"--file", path, NULL}, &t,
                     &c, &operands, &e) < 0) {
        BUG_ON(!str_eq(e.reason, "BadToml") && !str_eq(e.reason, "BadConfig") &&
               !str_eq(e.reason, "TooLarge"));
        BUG_ON(!strstr(e.msg, path));
    } else {
        config_show(&c, &t, true, &out);
        config_show(&c, &t, false, &out);
    }
    options_done(&spec, &t);
    config_done(&c);
    return 0;
}

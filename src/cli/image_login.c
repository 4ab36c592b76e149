/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <termios.h>

#include "base/fds.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/credentials.h"

#define SECRET_LIMIT 16384

/* ---- Asking ---- */

/* A line from the terminal, without its end; a secret is not shown. Heap. */
static int ask(const char *prompt, bool is_secret, char **ret, struct err *e)
{
    autofd fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    autosecret char *line = xcalloc(SECRET_LIMIT, 1);
    struct termios before, silent;
    ssize_t n;

    if (fd < 0)
        return err_set(e, -ENOTTY, "BadUsage",
                       "there is no terminal to ask on; give -u NAME --password-stdin");
    dprintf(fd, "%s: ", prompt);
    if (is_secret && tcgetattr(fd, &before) == 0) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fd, TCSAFLUSH, &silent);
    }
    n = read(fd, line, SECRET_LIMIT - 1);
    if (is_secret) {
        tcsetattr(fd, TCSAFLUSH, &before);
        dprintf(fd, "\n");
    }
    if (n <= 0)
        return err_set(e, -EIO, "BadUsage", "nothing was typed");
    line[strcspn(line, "\r\n")] = 0;
    *ret = take_ptr(line);
    return 0;
}

static int password_read(char **ret, struct err *e)
{
    autosecretbuf text = BUF_INIT;

    buf_reserve(&text, SECRET_LIMIT + 1);
    TRY(fd_read_all(STDIN_FILENO, SECRET_LIMIT, &text, e));
    while (text.len && strchr("\r\n", text.data[text.len - 1]))
        text.data[--text.len] = 0;
    if (!text.len)
        return err_set(e, -EINVAL, "BadUsage", "there is no password on standard input");
    *ret = xstrdup(text.data);
    return 0;
}

static int credential_ask(const struct login_options *o, struct credential *ret, struct err *e)
{
    if (o->is_password_stdin && !o->username)
        return err_set(e, -EINVAL, "BadUsage", "--password-stdin needs --username");
    if (o->username)
        ret->username = xstrdup(o->username);
    else
        TRY(ask("Username", false, &ret->username, e));
    return o->is_password_stdin ? password_read(&ret->password, e)
                                : ask("Password", true, &ret->password, e);
}

/* ---- login ---- */

static int login(const struct login_options *o, const char *host, struct err *e)
{
    autoregistries registries = {0};
    struct credentials_options c = {.authfile = o->authfile, .registries = &registries};
    struct registry_options r = {.authfile = o->authfile,
                                 .is_plain_http = o->is_plain_http,
                                 .is_insecure = o->is_insecure,
                                 .registries = &registries};
    __attribute__((cleanup(credential_done))) struct credential credential = {0};
    autofree char *where = NULL, *registry = xstrndup(host, strcspn(host, "/"));

    TRY(image_registries_read(&registries, e));
    TRY(credential_ask(o, &credential, e));
    TRY(registry_login_check(registry, &r, &credential, e));
    TRY(credentials_store(&c, host, &credential, &where, e));
    printf("Logged in to %s; the credentials are in %s\n", host, where);
    return 0;
}

int image_login(int argc, char *const *argv)
{
    struct login_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_login, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = login(&o, operands.v[0], &e) < 0 ? cli_fail("login", &e, image_exit_for(&e)) : 0;
    options_done(&command_login, &o);
    return status;
}

/* ---- logout ---- */

static int logout(const struct logout_options *o, const char *registry, struct err *e)
{
    autoregistries registries = {0};
    struct credentials_options c = {.authfile = o->authfile, .registries = &registries};
    int r;

    TRY(image_registries_read(&registries, e));
    TRY(r = credentials_erase(&c, registry, e));
    if (!r)
        return err_set(e, -ENOENT, "NotFound", "there were no credentials for '%s'", registry);
    printf("Forgot the credentials for %s\n", registry);
    return 0;
}

int image_logout(int argc, char *const *argv)
{
    struct logout_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_logout, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    status = logout(&o, operands.v[0], &e) < 0 ? cli_fail("logout", &e, image_exit_for(&e)) : 0;
    options_done(&command_logout, &o);
    return status;
}

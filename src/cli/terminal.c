/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

/* Of the one terminal that is raw: a handler of signals has nothing else to know it by. */
static struct termios before;
static volatile sig_atomic_t raw_fd = -1;

static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM};

void terminal_restore(void)
{
    int fd = raw_fd;

    raw_fd = -1;
    if (fd >= 0)
        tcsetattr(fd, TCSANOW, &before);
}

/* The action is the default again: it ends the process when this has returned. */
static void on_signal(int number)
{
    terminal_restore();
    raise(number);
}

static void signals_catch(void)
{
    struct sigaction catch = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, now;

    for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
        if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(ending[i], &catch, NULL);
}

int terminal_raw(int fd, struct err *e)
{
    struct termios raw;

    if (tcgetattr(fd, &before) < 0)
        return err_errno(e, -errno, "NoTerminal", "cannot use the terminal");
    raw = before;
    cfmakeraw(&raw);
    raw_fd = fd;
    signals_catch();
    if (tcsetattr(fd, TCSANOW, &raw) < 0) {
        raw_fd = -1;
        return err_errno(e, -errno, "NoTerminal", "cannot let the terminal pass all keys on");
    }
    return 0;
}

bool terminal_size(int fd, struct channel_size *ret)
{
    struct winsize w;

    if (ioctl(fd, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
        return false;
    *ret = (struct channel_size){w.ws_col, w.ws_row};
    return true;
}

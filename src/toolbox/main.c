/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that is in the WebAssembly program alone. */
#include "toolbox/toolbox.h"

extern char **environ;

int main(int argc, char **argv)
{
    const char *folder = getenv("PWD");

    /* WASI starts every guest in "/": whoever wants another folder says so by PWD. */
    if (folder && *folder == '/' && chdir(folder) < 0)
        chdir("/");
    return toolbox_main(argc, argv, environ);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* With nc.c, net.c and wget.c, what is in the WebAssembly program alone. */
#include "toolbox/toolbox.h"
#include "toolbox/wasi.h"

extern char **environ;

/* The host, and WASI 0.1's adapter for its own state, take memory of the program by this. Without
 * it the adapter would grow the memory, and wasi-libc's malloc() then takes that for its heap. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *block, size_t old_size,
                                                                size_t align, size_t new_size)
{
    void *moved = realloc(block, new_size);

    (void)old_size;
    (void)align; /* never more than malloc() gives anyway */
    if (!moved && new_size != 0)
        abort(); /* there is no way to say no */
    return moved;
}

/* Made by the linker. When a program calls it, the linker does not make each export begin with it,
 * which cabi_realloc() could not bear: constructors ask the host, and a host in mid-call is not
 * asked. */
void __wasm_call_ctors(void);

int main(int argc, char **argv)
{
    const char *folder;
    int status;

    __wasm_call_ctors();
    folder = getenv("PWD");
    /* WASI starts every guest in "/": whoever wants another folder says so by PWD. */
    if (folder && *folder == '/' && chdir(folder) < 0)
        chdir("/");
    status = toolbox_main(argc, argv, environ);
    /* Through the adapter, WASI 0.1's exit tells success and failure only. */
    if (status > 1)
        wasi_exit_with_code((uint8_t)status);
    return status;
}

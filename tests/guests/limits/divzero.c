/* SPDX-License-Identifier: Apache-2.0 */

/* Divides by zero, which traps in WebAssembly. */

int main(int argc, char **argv)
{
    volatile int zero = 0; /* unknown to the compiler, which would leave the division out */

    (void)argv;
    return argc / zero;
}

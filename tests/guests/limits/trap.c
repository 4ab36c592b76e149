/* SPDX-License-Identifier: Apache-2.0 */

/* Executes the instruction that always traps. */

int main(void)
{
    __builtin_trap();
}

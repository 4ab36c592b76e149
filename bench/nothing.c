/* SPDX-License-Identifier: Apache-2.0 */

/* The floor of bench/run: what it costs to start and end a static program that does nothing. */

int main(void)
{
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Never ends, and never calls the host. */

int main(void)
{
    for (;;)
        ;
}

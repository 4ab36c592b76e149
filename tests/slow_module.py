#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow_module.py FILE N: writes a module whose functions have N steps together. A hundred thousand of
them keep a compiler busy for half a second to several, as the machine is.

slow_module.py FILE LOCALS LOOPS: a small one that takes a compiler much memory: that many loops, one
in the other, with that many variables in the innermost. A compiler to static single assignment has
LOCALS * LOOPS values to keep: of 50,000 and 5,000, a file of half a megabyte, more than 20 GB."""
import sys


def leb(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def module(path, *bodies):
    """With functions, the first of which is _start."""
    def section(number, content):
        return bytes([number]) + leb(len(content)) + content

    n = leb(len(bodies))
    with open(path, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + section(1, b"\x01\x60\0\0") +
                section(3, n + b"\0" * len(bodies)) + section(7, b"\x01\x06_start\0\0") +
                section(10, n + b"".join(leb(len(b)) + b for b in bodies)))


FUNCTION_STEPS = 400000  # what an engine takes for one function


def slow_module(path, steps):
    module(path, *(slow_body(min(FUNCTION_STEPS, steps - start))
                   for start in range(0, steps, FUNCTION_STEPS)))


def slow_body(steps):
    return b"\x01\x04\x7f" + b"".join(  # four i32 locals
        b"\x20" + bytes([i % 4]) + b"\x20" + bytes([i * 7 % 4]) + b"\x6a\x41" + bytes([i % 64]) +
        b"\x6c\x22" + bytes([i * 5 % 4]) + b"\x04\x40\x20" + bytes([i * 3 % 4]) + b"\x21" +
        bytes([i * 11 % 4]) + b"\x0b" for i in range(steps)) + b"\x0b"


def wide_module(path, n_locals, n_loops):
    module(path, b"\x01" + leb(n_locals) + b"\x7f" + b"\x03\x40" * n_loops +
           b"".join(b"\x20" + leb(i) + b"\x41\x01\x6a\x21" + leb(i) for i in range(n_locals)) +
           b"\x20\x00\x0d\x00\x0b" * n_loops + b"\x0b")  # each loop goes on while one is not zero


if __name__ == "__main__":
    if len(sys.argv) > 3:
        wide_module(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        slow_module(sys.argv[1], int(sys.argv[2]))

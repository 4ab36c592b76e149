#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow_module.py FILE N: writes a module with one function of N steps. Tens of thousands of them
keep a compiler busy for seconds."""
import sys


def leb(n):
    out = b""
    while True:
        out += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return out


def slow_module(path, steps):
    code = b"\x01\x04\x7f" + b"".join(  # four i32 locals
        b"\x20" + bytes([i % 4]) + b"\x20" + bytes([i * 7 % 4]) + b"\x6a\x41" + bytes([i % 64]) +
        b"\x6c\x22" + bytes([i * 5 % 4]) + b"\x04\x40\x20" + bytes([i * 3 % 4]) + b"\x21" +
        bytes([i * 11 % 4]) + b"\x0b" for i in range(steps)) + b"\x0b"
    code = leb(len(code)) + code

    def section(number, content):
        return bytes([number]) + leb(len(content)) + content

    with open(path, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + section(1, b"\x01\x60\0\0") + section(3, b"\x01\0") +
                section(7, b"\x01\x06_start\0\0") + section(10, b"\x01" + code))


if __name__ == "__main__":
    slow_module(sys.argv[1], int(sys.argv[2]))

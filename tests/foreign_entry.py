#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""foreign_entry.py ENTRY OLD NEW: puts NEW (with escapes as \\x18) in the place of the first OLD in an
entry of the compile cache and seals it anew (src/store/cache.c), as if another engine had made it."""
import hashlib
import os
import struct
import sys

SEAL = struct.Struct("=8s64sQQ32s")

path = sys.argv[1]
old, new = (text.encode().decode("unicode_escape").encode("latin-1") for text in sys.argv[2:])
with open(path, "rb") as f:
    entry = f.read()
code = entry[:-SEAL.size]
magic, key, size, changed_at_ns, digest = SEAL.unpack(entry[-SEAL.size:])
assert size == len(code) and digest == hashlib.sha256(code).digest()
assert len(old) == len(new) and old in code
code = code.replace(old, new, 1)
os.remove(path)
with open(path, "wb") as f:
    f.write(code + SEAL.pack(magic, key, size, changed_at_ns, hashlib.sha256(code).digest()))
os.chmod(path, 0o400)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seeds_layers.py DIR: layers for fuzz_layers to begin with, in each form of tar and compression."""
import gzip
import io
import os
import subprocess
import sys
import tarfile

PROGRAM = b"\0asm\1\0\0\0"


def layer(form, *entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for name, kind, what in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(what)
                t.addfile(info, io.BytesIO(what))
            else:
                info.linkname = what
                t.addfile(info)
    data = out.getvalue()
    return data[:len(data.rstrip(b"\0")) // 512 * 512 + 1536]  # without the long end


def main(folder):
    forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    app = ("app.wasm", tarfile.REGTYPE, PROGRAM)
    seeds = {"empty": b""}
    for name, form in forms.items():
        long_name = "a/" * 40 + "app" if form == tarfile.USTAR_FORMAT else "ä/" * 99 + "app"
        seeds[name] = layer(form, app)
        seeds[name + "-links"] = layer(
            form, ("opt/a", tarfile.REGTYPE, PROGRAM), ("bin", tarfile.SYMTYPE, "opt"),
            ("app.wasm", tarfile.LNKTYPE, "opt/a"), ("opt/app", tarfile.SYMTYPE, "../opt/a"))
        seeds[name + "-long"] = layer(form, (long_name, tarfile.REGTYPE, PROGRAM),
                                      ("app.wasm", tarfile.SYMTYPE, long_name[:90]))
    whiteout = layer(tarfile.USTAR_FORMAT, (".wh.app.wasm", tarfile.REGTYPE, b""),
                     ("bin/.wh..wh..opq", tarfile.REGTYPE, b""), ("dev", tarfile.CHRTYPE, ""))
    seeds["two"] = seeds["ustar"].ljust(len(whiteout), b"\0") + whiteout
    seeds["gzip"] = gzip.compress(seeds["pax-links"], mtime=0)
    seeds["zstd"] = subprocess.run(["zstd", "-q", "-c"], input=seeds["pax-links"], check=True,
                                   stdout=subprocess.PIPE).stdout
    for name, data in seeds.items():
        with open(os.path.join(folder, "seed-" + name), "wb") as f:
            f.write(data)


main(sys.argv[1])

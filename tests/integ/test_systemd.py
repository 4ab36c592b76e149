#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The systemd units, as `systemd-analyze verify` reads them."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import PATIENCE_S, ROOT, Tap  # noqa: E402

UNITS = os.path.join(ROOT, "packaging/systemd")
INSTALLED = "/usr/bin/wherry"
BUILT = os.environ.get("WHERRY", os.path.join(ROOT, "build/wherry"))


def units_write(folder, **changes):
    """Copies that start the program of the build; `changes` are words replaced by others."""
    for name in os.listdir(UNITS):
        with open(os.path.join(UNITS, name), encoding="utf-8") as f:
            text = f.read().replace(INSTALLED, BUILT)
        for old, new in changes.items():
            text = text.replace(old, new)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    return [os.path.join(folder, name) for name in sorted(os.listdir(UNITS))]


def complaints(**changes):
    """(status, what was said about our units)"""
    with tempfile.TemporaryDirectory(prefix="wherry-units-") as folder:
        # Manual pages are not looked for: they are where the package puts them.
        done = subprocess.run(["systemd-analyze", "verify", "--man=no",
                               *units_write(folder, **changes)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE_S, check=False)
    return done.returncode, [line for line in done.stdout.splitlines() if "wherry" in line]


def main():
    tap = Tap()
    if not shutil.which("systemd-analyze"):
        tap.skip("the units are valid", "missing: systemd-analyze (package systemd)")
        tap.finish()
    tap.equal("the units are valid", complaints(), (0, []))
    tap.ok("a setting that systemd does not know would be noticed",
           complaints(KillMode="KilMode")[1])
    tap.ok("a program that is not there would be noticed",
           complaints(**{BUILT: "/nowhere/wherry"})[0] != 0)
    tap.finish()


main()

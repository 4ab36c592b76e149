#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""containerd's own tests of CRI with our handler: each that tests/containerd/integration-specs.txt has as
one that passes does. SPECS=REGEX runs those that fit."""
import os
import re
import sys

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
from daemon import peers  # noqa: E402
from specs import Specs, expectations  # noqa: E402
from worker_client import Tap  # noqa: E402

tap = Tap()


def check(specs, name, expected, apart):
    if expected != "pass":
        tap.skip(name, expected)
        return
    found, said, _ = specs.run(name, [part for part, _ in apart])
    tap.ok(name, found[name] == "PASS", f"{found[name]}\n{said}")
    for part, why in apart:
        tap.skip(part, why)


def main():
    peers()
    wanted = expectations()
    whole = {name: why for name, why in wanted.items() if "/" not in name}
    with Specs("wherry") as specs:
        tap.equal("the list has all specs", sorted(whole), sorted(specs.names()))
        for name, expected in whole.items():
            if re.search(os.environ.get("SPECS", ""), name):
                tap.run(check, specs, name, expected,
                        [p for p in wanted.items() if p[0].startswith(name + "/")])
    tap.finish()


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""containerd's own tests of CRI with our handler: each that the list of them
(tests/containerd/integration-specs.txt) has as one that passes does. SPECS=REGEX runs those that
fit."""
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


def check(specs, name, expected):
    if expected == "pass":
        state, said, _ = specs.run(name)
        tap.ok(name, state == "PASS", f"{state}\n{said}")
    else:
        tap.skip(name, expected)


def main():
    peers()
    wanted = expectations()
    with Specs("wherry") as specs:
        tap.equal("the list has all specs", sorted(wanted), sorted(specs.names()))
        for name, expected in wanted.items():
            if re.search(os.environ.get("SPECS", ""), name):
                tap.run(check, specs, name, expected)
    tap.finish()


main()

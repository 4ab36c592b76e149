# SPDX-License-Identifier: Apache-2.0

"""A greeting as a WASI 0.2 command: `wasi:cli/run` is the class Run with its method run()."""

import os
import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        greeting = os.environ.get("GREETING", "Hello")
        names = "".join(f", {name}" for name in sys.argv[1:])
        print(f"{greeting} from Python {sys.version.split()[0]}{names}")

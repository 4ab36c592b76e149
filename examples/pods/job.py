# SPDX-License-Identifier: Apache-2.0

"""The job: counts the words in the files of a folder, prints a table, and ends."""

import os
import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        folder = sys.argv[1]
        for name in sorted(os.listdir(folder)):
            if not name.startswith(".."):  # how a ConfigMap's files are kept
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    print(f"{name}: {len(f.read().split())} words")
        print("done")

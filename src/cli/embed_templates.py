#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed_templates.py OUTPUT DEPFILE FOLDER: writes FOLDER's files as the C arrays of templates.h."""
import os
import sys

output, depfile, root = sys.argv[1:]
files = []
for folder, dirs, names in os.walk(root):
    dirs.sort()
    files += [os.path.join(folder, name) for name in sorted(names)]

with open(output, "w", encoding="utf-8") as out:
    out.write("/* SPDX-License-Identifier: Apache-2.0 */\n#include \"cli/templates.h\"\n\n")
    rows = []
    for number, path in enumerate(files):
        with open(path, "rb") as f:
            data = f.read()
        language, _, inner = os.path.relpath(path, root).partition(os.sep)
        out.write(f"static const unsigned char file_{number}[] = {{")
        for at in range(0, len(data), 16):
            out.write("\n    " + " ".join(f"{byte}," for byte in data[at:at + 16]))
        out.write("\n};\n\n")
        # A leading "dot." stands for a dot, so that a template's .gitignore is none of ours.
        inner = inner.replace("dot.", ".")
        rows.append(f'    {{"{language}", "{inner}", file_{number}, sizeof(file_{number})}},\n')
    out.write("const struct template_file template_files[] = {\n" + "".join(rows) +
              "    {NULL, NULL, NULL, 0},\n};\n")

with open(depfile, "w", encoding="utf-8") as dep:
    dep.write(f"{output}: " + " ".join(files) + "\n")

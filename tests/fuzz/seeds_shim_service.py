#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lives of containers, as seeds: seeds_shim_service.py FOLDER"""
import os
import sys

# In the order of the two tables of methods.
METHODS = ("State Create Start Delete Pids Pause Resume Checkpoint Kill Exec ResizePty CloseIO Update Wait "
           "Stats Connect Shutdown CreateSandbox StartSandbox Platform StopSandbox WaitSandbox "
           "SandboxStatus PingSandbox").split()
SPEC = b'{"args":["/a"],"cwd":"/","user":{"uid":0,"gid":0}}'


def field(number, value):
    return bytes([number << 3 | 2, len(value)]) + value


def call(method, payload=b""):
    return bytes([METHODS.index(method), len(payload)]) + payload


FIRST = field(1, b"c")
ADDED = FIRST + field(2, b"x")
KILL = b"\x18\x09"
EXEC = call("Exec", ADDED + field(7, field(1, b"t") + field(2, SPEC)))
END = call("Kill", FIRST + KILL) + call("State", FIRST) + call("Delete", FIRST)

# The first byte: whether the container runs already.
SEEDS = {
    "exec": b"\1" + EXEC + b"".join(call(m, ADDED) for m in ("Start", "State", "Wait")) +
            call("Pids", FIRST) + call("Stats", FIRST) + call("Kill", ADDED + KILL) + call("Delete", ADDED),
    "exec-left": b"\1" + EXEC + call("Wait", ADDED) + call("Delete", ADDED) + EXEC + call("Start", ADDED) +
                 END + call("Delete", ADDED),
    "life": b"\0" + b"".join(call(m, FIRST) for m in ("Start", "Wait", "Pause", "Resume")) + END +
            call("Create", FIRST + field(2, b"b")),
    "create": b"\0" + call("Create", field(1, b"d") + field(2, b"b")) + call("Delete", field(1, b"d")) +
              call("CreateSandbox", field(1, b"s") + field(2, b"b")) + call("WaitSandbox", field(1, b"s")),
    "change": b"\1" + call("Update", FIRST + field(2, field(2, b"{}"))) +
              call("CloseIO", FIRST + b"\x18\1") + call("ResizePty", FIRST + b"\x18\1"),
}

for name, seed in SEEDS.items():
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(seed)

# SPDX-License-Identifier: Apache-2.0
"""What the kernel tells of a process that is measured: CPU time, memory, sleep."""
import os
import re
import time


def tasks(pid):
    return [f"/proc/{pid}/task/{t}" for t in os.listdir(f"/proc/{pid}/task")]


def children(pid):
    return [int(c) for t in tasks(pid) for c in open(f"{t}/children").read().split()]


def cpu_s(pid):
    """Of all threads, those that have ended too, and of the children that live; to the
    nanosecond."""
    own = time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
    return own + sum(cpu_s(c) for c in children(pid))


def switches(pid):
    """How often a thread of the process was put to sleep or off its processor."""
    total = 0
    for task in tasks(pid):
        total += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)",
                                                open(f"{task}/status").read()))
    return total


def wait_until_asleep(pid):
    """Until every thread waits in the kernel."""
    while True:
        stats = [open(f"{t}/stat").read() for t in tasks(pid)]
        if all(s.rpartition(")")[2].split()[0] == "S" for s in stats):
            return
        os.sched_yield()


def private_kb(pid):
    """(private, guests' linear memories in it, PSS). File pages are private only when written:
    the clean ones belong to all workers."""
    areas = []
    for line in open(f"/proc/{pid}/smaps"):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
        if head:
            areas.append({"start": int(head[1], 16), "end": int(head[2], 16), "mode": head[3],
                          "is_file": head[4].startswith("/"), "kb": 0, "pss": 0})
            continue
        name, _, value = line.partition(":")
        if name in ("Private_Dirty", "Swap") or \
                name == "Private_Clean" and not areas[-1]["is_file"]:
            areas[-1]["kb"] += int(value.split()[0])
        elif name == "Pss":
            areas[-1]["pss"] = int(value.split()[0])
    return (sum(a["kb"] for a in areas), linear_memory_kb(areas), sum(a["pss"] for a in areas))


def linear_memory_kb(areas):
    """A linear memory is what may be written right before gigabytes reserved to grow into."""
    total = 0
    for i, area in enumerate(areas):
        if not area["mode"].startswith("---") or area["end"] - area["start"] < 1 << 30:
            continue
        end = area["start"]
        for before in reversed(areas[:i]):
            if before["end"] != end or not before["mode"].startswith("rw"):
                break
            total += before["kb"]
            end = before["start"]
    return total

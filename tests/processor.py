# SPDX-License-Identifier: Apache-2.0
"""What a guest uses of a processor, on a machine that others use too, and which it may use."""
import os
import time


def idle_ns():
    """What the processors together have not used since the start."""
    with open("/proc/stat", encoding="ascii") as f:
        idle, waiting = f.readline().split()[4:6]
    return (int(idle) + int(waiting)) * 1000000000 // os.sysconf("SC_CLK_TCK")


def threads_ns(pid):
    """{thread: what it has used}, of those that a process has now"""
    used = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                used[task] = int(f.read().split()[0])
        except OSError:
            pass  # it has ended meanwhile
    return used


def processors_set(pid, which):
    """On which processors the threads that a process has now may run."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), which)


class Share:
    """Of a processor, that something uses until it is told(): `used_ns` tells its time."""

    def __init__(self, used_ns):
        self.used_ns = used_ns
        self.before, self.idle, self.since = used_ns(), idle_ns(), time.monotonic_ns()

    def told(self):
        took = time.monotonic_ns() - self.since
        self.spare = (idle_ns() - self.idle) / took
        self.share = (self.used_ns() - self.before) / took
        return self

    def is_within(self, wanted, slack):
        """Never more. Less only where others left it no processor to use."""
        return (self.share <= wanted + slack
                and (self.share >= wanted - slack or self.spare < 0.2))

    def __str__(self):
        return f"{self.share:.3f} of a processor, {self.spare:.3f} were idle"

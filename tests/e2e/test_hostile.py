#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests that misbehave over and over beside guests that do not, in one worker: each attack ends as
it should, and a fixed load of short guests has no failure meanwhile. What the load's p99 is beside
them, `bench/run attacks` measures."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import hostile  # noqa: E402
from worker_client import Tap, Worker  # noqa: E402

LOAD_RUNS = int(os.environ.get("LOAD_RUNS", 150))
tap = Tap()


def main():
    hostile.build()
    with hostile.Box() as box, Worker(box.cache) as w:
        load = hostile.Load(w)
        tap.equal("a quiet worker has no failure", load.run(LOAD_RUNS)[1][:3], [])
        for attack in hostile.ATTACKS:
            with hostile.Attacker(w, attack, box) as attacker:
                _, failures = load.run(LOAD_RUNS)
            tap.equal(f"{attack.name}: others have no failure", failures[:3], [])
            ends = {hostile.how(s) for s in attacker.statuses}
            tap.ok(f"{attack.name}: it ends as it should", ends <= set(attack.wanted), ends)
            if attack.beside:
                tap.equal(f"{attack.name}: the one who renames is stopped",
                          hostile.how(attacker.beside_status), ("Stopped", 143))
        sizes = [os.path.getsize(os.path.join(box.logs, n)) for n in os.listdir(box.logs)]
        tap.ok("a flood to a log: the log stays small", len(sizes) <= 3 and sum(sizes) <= 3 << 20,
               sizes)
        tap.equal("the worker is as well as before", load.run(LOAD_RUNS)[1][:3], [])
        tap.ok("nothing of it has panicked", "panicked" not in w.log_text(), w.log_text()[-2000:])
    tap.finish()


main()

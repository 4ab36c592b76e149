#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records of pods in each state of a container, as seeds: seeds_pod_record.py FOLDER"""
import json
import os
import sys

AT = "2026-11-27T00:00:00Z"
DUE = {"at_ns": 1795737610000000000, "left_ns": 10000000000}
END = {"attempt": 1, "exit_code": 1, "reason": "Error", "message": "no", "started_at": AT,
       "finished_at": AT}
WAITS = ("pull-back-off", "config-back-off", "crash-back-off", "pre-stopping", "told")


def container(name, state, attempt):
    c = {"name": name, "state": state, "cause": "none", "attempt": attempt, "accepted": attempt > 0,
         "hooked": True, "started": True, "was_started": True, "ready": True, "pull_failures": 1,
         "config_failures": 2, "crashes": 3, "running_at_ns": 1795737500000000000,
         "started_at": AT, "image_id": "sha256:0", "wait_reason": "CrashLoopBackOff",
         "wait_message": "back-off"}
    if state in WAITS:
        c["due"] = DUE
    if attempt > 1:
        c["end"] = c["previous"] = END
    return c


def pod(state, is_ending, is_over):
    phase = "Failed" if is_over else "Running"
    p = {"uid": "u-1", "phase": phase, "started_at": AT, "initialized": True, "init_failed": False,
         "set_up": True, "ending": is_ending, "deleting": is_ending, "over": is_over,
         "grace_ms": 30000, "deadline": DUE,
         "conditions": [{"true": True, "changed_at": AT}] * 5,
         "containers": [container("seed", "finished", 2),
                        container("side", "finished" if is_over else "running", 2),
                        container("app", state, 2), container("job", state, 1)]}
    if is_ending:
        p.update({"stop": DUE, "reason": "DeadlineExceeded", "message": "late"})
    return p


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    states = ("waiting", "starting", "running", "interrupted", "finished") + WAITS
    for state in states:
        for is_ending in (False, True):
            path = os.path.join(sys.argv[1], f"seed-{state}-{is_ending}")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(pod(state, is_ending, is_ending and state == "finished"), f)


main()

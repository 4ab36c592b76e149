#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits of pods' containers, with a real agent: processor time by each mechanism, what is left of
it, memory, and neighbours of guests that misbehave."""
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import PODS, WHERRY, Agent, cpu_groups, settle  # noqa: E402
from processor import Share, processors_set, threads_ns  # noqa: E402
from serve_client import IS_FULL, PROBE, Http, get, head, run, tap  # noqa: E402
from worker_client import PATIENCE_S, build_guests, free_port, guest, wait_until  # noqa: E402

SECONDS, SLACK = (10, 0.03) if IS_FULL else (3, 0.05)
SHARE = 0.25
ENDLESS = "10000000000000"
HOSTILE = {"loop": [], "grow": ["trap"], "recurse": [], "flood": [ENDLESS]}


def pod(name, image, *args, limits=None, port=None, **spec):
    container = {"name": "app", "image": image}
    if args:
        container["args"] = list(args)
    if limits:
        container["resources"] = {"limits": limits}
    if port:
        container["ports"] = [{"containerPort": port}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}}


def state_of(agent, name):
    """{"running": ...}, {"terminated": ...} or what it waits for."""
    p = agent.pod(name)
    return p["status"].get("containerStatuses", [{}])[0].get("state", {}) if p else {}


def wait_state(agent, name, state):
    wait_until(lambda: state in state_of(agent, name), f"{name} is {state}")
    return state_of(agent, name)[state]


def share(pid):
    s = Share(lambda: sum(threads_ns(pid).values()))
    time.sleep(SECONDS)  # what is measured is a time
    return s.told()


def told_share(agent, name):
    """The same as the agent tells it."""
    status, answer = agent.api("GET", f"{PODS}/{name}/top")
    assert status == 200, (status, answer)
    return int(answer["containers"][0]["usage"]["cpu"][:-1]) / 1e9


def delete_all(agent):
    """So that no group is left of them when the agent is killed."""
    names = list(agent.pods())
    ids = [uid(agent, n) for n in names]
    for name in names:
        agent.delete(name, 0)
    wait_until(lambda: not agent.pods(), "the pods are gone")
    settle(lambda: not groups_of(*ids), "their groups are gone")


def groups_of(*uids):
    return [g for g in cpu_groups() if any(uid in g for uid in uids)]


def uid(agent, name):
    return agent.pod(name)["metadata"]["uid"]


def can_have_groups():
    a = Agent("--cpu-limit", "cgroup", is_started=False)
    with a:
        try:
            a.start()
        except RuntimeError as e:
            assert "NoCpuGroups" in str(e) or "control group" in str(e), e
            return False
    return True


# ---- Processor time ----


def a_loop_uses_its_share(keeper):
    with Agent("--cpu-limit", keeper) as a:
        a.create(pod("loop", guest("loop"), limits={"cpu": "250m"}))
        wait_state(a, "loop", "running")
        id = uid(a, "loop")
        worker, = a.workers()
        used = share(worker)
        tap.ok(f"{keeper}: a loop of 250m uses a quarter of a processor",
               used.is_within(SHARE, SLACK), used)
        told = told_share(a, "loop")
        tap.ok(f"{keeper}: and that is what the agent tells", 0 < told <= SHARE + 0.1, told)
        has, wanted = ("a", 1) if keeper == "cgroup" else ("no", 0)
        tap.equal(f"{keeper}: it has {has} control group", len(groups_of(id)), wanted)
        if wanted:
            an_exec_enters_the_group(a, "loop", *groups_of(id))
        delete_all(a)
        tap.ok(f"{keeper}: no group is left of it", True)


def an_exec_enters_the_group(agent, name, group):
    done = subprocess.Popen([WHERRY, "exec", "-i", name, "--", "cat"], env=agent.env,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    tasks = os.path.join(group, "tasks")
    if not os.path.exists(tasks):
        tasks = os.path.join(group, "cgroup.threads")

    def n_threads():
        with open(tasks, encoding="ascii") as f:
            return len(f.read().split())

    settle(lambda: n_threads() > 1, "the exec is in the group")
    done.communicate(timeout=PATIENCE_S)
    settle(lambda: n_threads() == 1, "it has left it")
    tap.equal("an exec shares the limit of its container", done.returncode, 0)


def requests_are_answered_within_the_limit(keeper):
    port = free_port()
    with Agent("--cpu-limit", keeper) as a:
        a.create(pod("web", PROBE, limits={"cpu": "250m"}, port=port))
        wait_state(a, "web", "running")
        tap.equal(f"{keeper}: a pod with a limit answers", get(("127.0.0.1", port), "/hello").status, 200)
        worker, = a.workers()
        with Http(("127.0.0.1", port)) as h:
            h.send(head("GET", "/loop"))
            used = share(worker)
        # The thread that ends slices is nobody's (docs/internals/limits.md).
        ticker = 0.08
        tap.ok(f"{keeper}: a request that loops uses no more",
               used.is_within(SHARE + ticker / 2, SLACK + ticker / 2),
               used)
        delete_all(a)


# ---- What is left ----


def no_group_outlives_its_guest():
    with Agent("--cpu-limit", "cgroup") as a:
        a.create(*(pod(name, guest("loop"), limits={"cpu": "100m"}) for name in ("one", "two")))
        ids = [uid(a, n) for n in ("one", "two")]
        for name in ("one", "two"):
            wait_state(a, name, "running")
        before = sorted(groups_of(*ids))
        tap.equal("each container has a group", len(before), 2)
        a.kill9()
        a.start()
        wait_state(a, "one", "running")
        tap.equal("an adopted guest keeps its group", sorted(groups_of(*ids)), before)
        worker, = a.workers()
        used = share(worker)
        tap.ok("and its limit", used.is_within(0.2, 0.05), used)

        a.kill9()
        os.kill(worker, signal.SIGKILL)
        a.start()
        wait_until(lambda: len(a.workers()) == 1 and a.workers() != [worker], "another worker")
        for name in ("one", "two"):
            wait_state(a, name, "running")
        settle(lambda: len(groups_of(*ids)) == 2, "only the new attempts have groups")
        tap.ok("groups of guests that were killed go", not set(before) & set(groups_of(*ids)))

        delete_all(a)
        tap.ok("nothing is left when all are deleted", True)


def memory_beyond_the_limit_is_an_end_by_it():
    with Agent() as a:
        a.create(pod("grow", guest("grow"), "trap", limits={"memory": "64Mi"},
                     restartPolicy="Never"))
        end = wait_state(a, "grow", "terminated")
        tap.equal("memory beyond the limit", (end["reason"], end["exitCode"]), ("OOMKilled", 137))


# ---- Neighbours ----


def neighbours_of_hostile_guests_go_on():
    port = free_port()
    with Agent() as a:
        a.create(pod("sum", guest("loop")), pod("web", PROBE, port=port))
        for name in ("sum", "web"):
            wait_state(a, name, "running")
        worker, = a.workers()
        processors_set(worker, {0})
        for name, args in HOSTILE.items():
            a.create(pod("bad", guest(name), *args, limits={"memory": "64Mi"}))
            wait_until(lambda: state_of(a, "bad"), "it has begun")
            told = told_share(a, "sum")
            tap.ok(f"beside {name}: who computes goes on", told > 0.1, told)
            tap.equal(f"beside {name}: requests are answered", get(("127.0.0.1", port), "/hello").status, 200)
            a.delete("bad", 0)
            wait_until(lambda: not a.pod("bad"), "it is gone")
        tap.equal("all in one worker, which lives", a.workers(), [worker])


def main():
    build_guests("loop", "grow", "recurse", "flood")
    has_groups = can_have_groups()
    keepers = ["worker"] + ["cgroup"] * has_groups
    if not has_groups:
        tap.skip("cgroup", "no control group can be made here")
    parts = []
    for keeper in keepers:
        for part in (a_loop_uses_its_share, requests_are_answered_within_the_limit):
            parts.append(named(part, keeper))
    run(*parts, *[no_group_outlives_its_guest] * has_groups,
        memory_beyond_the_limit_is_an_end_by_it, neighbours_of_hostile_guests_go_on)


def named(part, keeper):
    def call():
        part(keeper)

    call.__name__ = f"{part.__name__}({keeper})"
    return call


main()

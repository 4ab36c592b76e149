#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What pods do at the edges, as with a kubelet: through an agent, on real programs."""
import glob
import os
import sys
import threading
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import TOOLBOX, Agent, is_alive  # noqa: E402
from slow_module import slow_module  # noqa: E402
from worker_client import Tap, wait_until  # noqa: E402


def container(name, *argv, image=TOOLBOX, **more):
    return {"name": name, "image": image, "command": list(argv), **more}


def sh(name, script, **more):
    return container(name, "sh", "-c", script, **more)


def pod(name, *containers, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}}


def shown(agent, name, which="containerStatuses", i=0):
    """(the state's name, what is said of it) of a container; None before there is any."""
    found = (agent.pod(name) or {}).get("status", {}).get(which)
    return next(iter(found[i]["state"].items())) if found else None


def events(agent, name):
    return [e["reason"] for e in agent.api("GET", "/api/v1/namespaces/default/events")[1]["items"]
            if e["involvedObject"]["name"] == name]


class Cached:
    """An agent with an empty cache of compiled code, and a program that takes long to compile."""

    def __init__(self, functions):
        self.functions = functions

    def __enter__(self):
        self.agent = Agent(is_started=False)
        self.agent.env["XDG_CACHE_HOME"] = os.path.join(self.agent.dir, "cache")
        self.agent.start()
        self.program = os.path.join(self.agent.dir, "slow.wasm")
        slow_module(self.program, self.functions)
        return self

    def __exit__(self, *args):
        self.agent.__exit__(*args)

    def entries(self):
        return glob.glob(os.path.join(self.agent.dir, "cache/wherry/code/*"))

    def compilers(self):
        """Process ids of what compiles."""
        return [p for p in self.agent.processes() if p not in
                [self.agent.process.pid, *self.agent.workers()]]


def a_program_that_is_compiled_is_no_container_that_runs():
    with Cached(3000) as c:
        a = c.agent
        probe = {"exec": {"command": ["cat", "/nothing"]}, "periodSeconds": 1, "failureThreshold": 1}
        a.create(pod("slow", {"name": "app", "image": c.program, "livenessProbe": probe},
                     restartPolicy="Never"),
                 pod("same", {"name": "app", "image": c.program}, restartPolicy="Never"))
        wait_until(c.compilers, "it is compiled")
        assert len(c.compilers()) <= 2, "once for both, by a worker and its child"
        seen = shown(a, "slow")
        assert seen == ("waiting", {"reason": "ContainerCreating"}) or c.entries(), seen
        wait_until(lambda: shown(a, "slow") and shown(a, "slow")[0] != "waiting", "it was started")
        assert c.entries(), "its code was there before it was said to run"
        wait_until(lambda: shown(a, "slow")[0] == "terminated", "it has ended")
        assert shown(a, "slow")[1]["reason"] == "Completed", shown(a, "slow")
        assert "Unhealthy" not in events(a, "slow"), events(a, "slow")
        wait_until(lambda: shown(a, "same")[0] == "terminated", "the other too")
        assert len(c.entries()) == 1, c.entries()


def a_pod_that_is_deleted_while_its_program_is_compiled_is_gone_at_once():
    with Cached(60000) as c:
        c.agent.create(pod("slow", {"name": "app", "image": c.program}))
        wait_until(c.compilers, "it is compiled")
        assert c.agent.delete("slow") == 200
        wait_until(lambda: not c.agent.pod("slow"), "the pod is gone")
        wait_until(lambda: not any(map(is_alive, c.compilers())), "and what compiled for it")
        assert not c.entries()


def what_cannot_be_compiled_is_told_by_its_start():
    with Cached(1) as c:
        with open(c.program, "wb") as f:
            f.write(b"\0asm\1\0\0\0\xff")
        c.agent.create(pod("bad", {"name": "app", "image": c.program}, restartPolicy="Never"))
        wait_until(lambda: shown(c.agent, "bad") and shown(c.agent, "bad")[0] == "terminated",
                   "it has failed")
        assert shown(c.agent, "bad")[1]["message"], shown(c.agent, "bad")


def at_once(n, work):
    """What `work` returns for each of n threads that begin together."""
    gate, answers = threading.Barrier(n), [None] * n

    def run(i):
        gate.wait()
        answers[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def an_object_that_is_being_created_is_there_for_who_was_told_so():
    path = "/api/v1/namespaces/default/configmaps"
    with Agent() as a:
        for name in (f"c{i}" for i in range(20)):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}

            def create(_, name=name, body=body):
                status, answer = a.api("POST", path, body)
                return status, answer.get("reason"), a.api("GET", f"{path}/{name}")[0]

            answers = at_once(4, create)
            assert sorted(answers, key=str) == [(201, None, 200)] + \
                [(409, "AlreadyExists", 200)] * 3, answers
            answers = at_once(4, lambda _, name=name: a.api("DELETE", f"{path}/{name}")[0])
            assert sorted(answers) == [200, 404, 404, 404], answers


PARTS = (an_object_that_is_being_created_is_there_for_who_was_told_so,
         a_program_that_is_compiled_is_no_container_that_runs,
         a_pod_that_is_deleted_while_its_program_is_compiled_is_gone_at_once,
         what_cannot_be_compiled_is_told_by_its_start)


def main():
    tap = Tap()
    for part in PARTS:
        if os.environ.get("PART", "") not in part.__name__:
            continue
        try:
            part()
            tap.ok(part.__name__, True)
        except Exception as e:  # the others still have something to tell
            traceback.print_exc()
            tap.ok(part.__name__, False, repr(e))
    tap.finish()


main()

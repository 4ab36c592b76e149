#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What pods do at the edges, as with a kubelet: through an agent, on real programs."""
import glob
import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import TOOLBOX, Agent  # noqa: E402
from serve_client import IS_FULL  # noqa: E402
from slow_module import slow_module  # noqa: E402
from worker_client import Tap, has_ended, wait_until  # noqa: E402


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
        assert "Unhealthy" not in [r for r, _ in a.events("slow")], a.events("slow")
        wait_until(lambda: shown(a, "same")[0] == "terminated", "the other too")
        assert len(c.entries()) == 1, c.entries()


def a_pod_that_is_deleted_while_its_program_is_compiled_is_gone_at_once():
    with Cached(60000) as c:
        c.agent.create(pod("slow", {"name": "app", "image": c.program}))
        wait_until(c.compilers, "it is compiled")
        assert c.agent.delete("slow") == 200
        wait_until(lambda: not c.agent.pod("slow"), "the pod is gone")
        wait_until(lambda: all(map(has_ended, c.compilers())), "and what compiled for it")
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


def sidecars_start_before_and_stop_after_the_others():
    def noting(name, **more):
        """Notes its start, and its end as long as it is told of it; runs until its input ends."""
        return sh(name, f"echo {name} starts >>/v/log; echo >/v/{name}; cat", stdin=True,
                  volumeMounts=[{"name": "v", "mountPath": "/v"}],
                  lifecycle={"preStop": {"exec": {"command":
                                                  ["sh", "-c", f"echo {name} stops >>/v/log"]}}}, **more)

    def sidecar(name):
        return noting(name, restartPolicy="Always", startupProbe={
            "exec": {"command": ["cat", f"/v/{name}"]}, "periodSeconds": 1})

    with Agent() as a:
        place = os.path.join(a.dir, "v")
        os.mkdir(place)
        log = os.path.join(place, "log")
        init = sh("init", "echo init starts >>/v/log",
                  volumeMounts=[{"name": "v", "mountPath": "/v"}])
        a.create(pod("p", noting("main"), initContainers=[sidecar("one"), init, sidecar("two")],
                     volumes=[{"name": "v", "hostPath": {"path": place}}],
                     terminationGracePeriodSeconds=20))
        wait_until(lambda: os.path.exists(log) and "main" in open(log, encoding="utf-8").read(),
                   "all have started")
        status = a.pod("p")["status"]
        assert [list(c["state"]) for c in status["initContainerStatuses"]] == \
            [["running"], ["terminated"], ["running"]], status
        assert a.delete("p") == 200
        wait_until(lambda: not a.pod("p"), "the pod is gone")
        with open(log, encoding="utf-8") as f:
            told = f.read().splitlines()
        assert told == ["one starts", "init starts", "two starts", "main starts", "main stops",
                        "two stops", "one stops"], told


def sidecars_do_not_keep_a_pod_from_its_end_and_start_again_meanwhile():
    with Agent() as a:
        a.create(pod("p", sh("main", "cat", stdin=True), restartPolicy="Never",
                     initContainers=[sh("brief", "exit 1", restartPolicy="Always")]))
        wait_until(lambda: shown(a, "p", "initContainerStatuses") and
                   shown(a, "p", "initContainerStatuses")[1].get("reason") == "CrashLoopBackOff",
                   "it has failed twice")
        wait_until(lambda: shown(a, "p")[0] == "running", "which is none of the others' affair")
        assert a.pod("p")["status"]["initContainerStatuses"][0]["restartCount"] == 1
        a.create(pod("q", sh("main", "exit 0"), restartPolicy="Never",
                     initContainers=[sh("side", "cat", stdin=True, restartPolicy="Always")]))
        a.wait_pod("q", "Succeeded")  # it ends with its main one


def a_pod_whose_empty_dir_is_over_its_limit_is_evicted():
    """Takes up to a minute: that is how often it is looked at."""
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    # A word of 4 KiB, doubled twelve times, is too much.
    much = "cat /v/0 /v/0 >/v/1; " + "".join(
        f"cat /v/{i} /v/{i} >/v/{i + 1}; " for i in range(1, 9))
    with Agent() as a:
        volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
        a.create(pod("fat", sh("app", f"echo {'x' * 4095} >/v/0; {much} cat", stdin=True, **mount),
                     volumes=volumes),
                 pod("lean", sh("app", "echo x >/v/0; cat", stdin=True, **mount), volumes=volumes))
        a.wherry("wait", "--for=jsonpath={.status.phase}=Failed", "pod/fat", "--timeout", "2m",
                 timeout=130)
        status = a.pod("fat")["status"]
        assert status["reason"] == "Evicted", status
        assert status["message"] == \
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi".', status["message"]
        assert "Evicted" in [r for r, _ in a.events("fat")], a.events("fat")
        wait_until(lambda: shown(a, "fat")[0] == "terminated", "nothing of it runs")
        assert not a.files(f"state/agent/pods/{a.pod('fat')['metadata']['uid']}/volumes")
        assert a.pod("lean")["status"]["phase"] == "Running"


PARTS = (sidecars_start_before_and_stop_after_the_others,
         sidecars_do_not_keep_a_pod_from_its_end_and_start_again_meanwhile,
         *((a_pod_whose_empty_dir_is_over_its_limit_is_evicted,) if IS_FULL else ()),
         an_object_that_is_being_created_is_there_for_who_was_told_so,
         a_program_that_is_compiled_is_no_container_that_runs,
         a_pod_that_is_deleted_while_its_program_is_compiled_is_gone_at_once,
         what_cannot_be_compiled_is_told_by_its_start)


def main():
    tap = Tap()
    for part in PARTS:
        tap.promise(part)
    tap.finish()


main()

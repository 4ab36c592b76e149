#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The local API over real pods, workers and the disk: what a client of Kubernetes' API would see."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import GUESTS, ROOT, Tap, build_guests, wait_until  # noqa: E402

tap = Tap()
PROGRAM = os.path.join(ROOT, "build/meson/tests/integ/local_api")
LIBEXEC = os.path.join(ROOT, "build/libexec/wherry")
PODS = "/api/v1/namespaces/default/pods"
CONFIGS = "/api/v1/namespaces/default/configmaps"


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Agent:
    def __init__(self, folder, cpu=2000):
        self.folder = folder
        self.cpu = cpu
        self.start()

    def start(self):
        self.child = subprocess.Popen([PROGRAM, self.folder, LIBEXEC, str(self.cpu)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.child.stdout.readline() == b"ready\n"

    def stop(self):
        self.child.stdin.close()
        status = self.child.wait(60)
        self.child.stdout.close()
        return status

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()

    def open(self):
        return Unix(os.path.join(self.folder, "api.sock"))

    def raw(self, method, path, body=None, kind="application/yaml"):
        c = self.open()
        try:
            c.request(method, path, body, {"Content-Type": kind} if body else {})
        except BrokenPipeError:
            pass  # answered before it was sent
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data

    def ask(self, method, path, body=None, kind="application/yaml"):
        if isinstance(body, dict):
            body = json.dumps(body)
        status, data = self.raw(method, path, body, kind)
        return status, json.loads(data)

    def apply(self, name, body, resource=PODS):
        return self.ask("PATCH", f"{resource}/{name}", body, "application/apply-patch+yaml")

    def get(self, name):
        return self.ask("GET", f"{PODS}/{name}")[1]

    def phase(self, name):
        return self.get(name).get("status", {}).get("phase")

    def until_phase(self, name, phase):
        wait_until(lambda: self.phase(name) == phase, f"{name} is {phase}")

    def delete(self, name):
        answer = self.ask("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        wait_until(lambda: self.ask("GET", f"{PODS}/{name}")[0] == 404, f"{name} is gone")
        return answer

    def watch(self, path, version=None, more=""):
        c = self.open()
        c.request("GET", f"{path}?watch=1{more}" + (f"&resourceVersion={version}" if version else ""))
        return Watch(c)


class Watch:
    def __init__(self, connection):
        self.connection = connection
        self.answer = connection.getresponse()

    def next(self):
        line = self.answer.readline()
        return json.loads(line) if line else None

    def until(self, is_it):
        seen = []
        while True:
            event = self.next()
            if event is None:
                return seen
            seen.append(event)
            if is_it(event):
                return seen

    def close(self):
        self.connection.close()


def pod(name, args=("100000",), program="sleep", labels="", more="", container=""):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec:
  terminationGracePeriodSeconds: 1
  {more}
  containers:
  - name: main
    image: {GUESTS}/{program}.wasm
    args: {json.dumps(list(args))}
    {container}
"""


def reason(answer):
    return answer[0], answer[1].get("reason")


def test_plain(a):
    tap.equal("it is healthy", a.raw("GET", "/healthz"), (200, b"ok"))
    tap.equal("its version", a.ask("GET", "/version")[1]["gitVersion"][:2], "0.")
    tap.equal("its configuration", a.ask("GET", "/configz"), (200, {"a": 1}))
    status, answer = a.ask("GET", "/api/v1/nothing")
    tap.equal("what is not there is a Status", (status, answer["kind"], answer["reason"],
                                                answer["code"]),
              (404, "Status", "NotFound", 404))
    tap.equal("a wrong method", reason(a.ask("PUT", PODS, "{}")), (405, "MethodNotAllowed"))
    tap.equal("a pod that is not there", a.ask("GET", PODS + "/no")[1]["message"],
              'pods "no" not found')
    tap.equal("a wrong selector", reason(a.ask("GET", PODS + "?labelSelector=a+b")),
              (400, "BadRequest"))


def test_bad_bodies(a):
    for name, body, wanted in (
            ("no YAML", "a: [", (400, "BadRequest")),
            ("an unknown field", pod("x") + "    imge: x\n", (422, "Invalid")),
            ("another kind", "{apiVersion: v1, kind: Node, metadata: {name: a}}", (422, "Invalid")),
            ("another resource", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
             (400, "BadRequest")),
            ("two objects", pod("x") + "---" + pod("z"), (400, "BadRequest")),
            ("another namespace",
             "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b}, spec: {containers: "
             "[{name: a, image: x}]}}", (400, "BadRequest"))):
        tap.equal(f"refused: {name}", reason(a.ask("POST", PODS, body)), wanted)
    tap.equal("refused: a type of body", reason(a.ask("POST", PODS, "x", "text/html")),
              (415, "UnsupportedMediaType"))
    status, _ = a.raw("POST", PODS, "x" * ((3 << 20) + 1))
    tap.equal("refused: a body that is too long", status, 413)
    tap.equal("nothing of it is kept", a.ask("GET", PODS)[1]["items"], [])


def test_pod(a):
    version = a.ask("GET", PODS)[1]["metadata"]["resourceVersion"]
    w = a.watch(PODS, version)
    status, made = a.ask("POST", PODS, pod("one", labels="app: web"))
    tap.equal("a pod is made", (status, made["metadata"]["labels"]), (201, {"app": "web"}))
    tap.equal("not twice", reason(a.ask("POST", PODS, pod("one"))), (409, "AlreadyExists"))
    a.until_phase("one", "Running")
    seen = w.until(lambda e: e["object"]["status"]["phase"] == "Running")
    tap.equal("a watch tells how it comes", (seen[0]["type"], {e["type"] for e in seen[1:]}),
              ("ADDED", {"MODIFIED"}))
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in seen]
    tap.ok("each time with a larger version", versions == sorted(set(versions)), versions)
    for query, n in (("labelSelector=app%3Dweb", 1), ("labelSelector=app%21%3Dweb", 0),
                     ("fieldSelector=status.phase%3DRunning", 1),
                     ("fieldSelector=metadata.name%3Dtwo", 0)):
        tap.equal(f"selected by {query}", len(a.ask("GET", f"{PODS}?{query}")[1]["items"]), n)
    events = a.ask("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Done")
    tap.ok("events say that it started", "Started" in [e["reason"] for e in events[1]["items"]],
           events)
    tap.equal("deleted", a.delete("one")[1]["metadata"]["deletionGracePeriodSeconds"], 0)
    seen = w.until(lambda e: e["type"] == "DELETED")
    tap.equal("the watch tells that", seen[-1]["object"]["metadata"]["name"], "one")
    w.close()
    tap.equal("deleted twice", reason(a.ask("DELETE", PODS + "/one")), (404, "NotFound"))


def test_watch(a):
    a.ask("POST", CONFIGS, "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {a: b}}}")
    w = a.watch(CONFIGS, None, "&labelSelector=a%3Db&allowWatchBookmarks=true")
    tap.equal("without a version all is told first", w.next()["type"], "ADDED")
    tap.equal("then a bookmark", w.next()["type"], "BOOKMARK")
    version = a.ask("GET", CONFIGS)[1]["metadata"]["resourceVersion"]
    a.apply("c", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {a: c}}}", CONFIGS)
    tap.equal("what is not selected any more is DELETED", w.next()["type"], "DELETED")
    a.apply("c", "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {a: b}}}", CONFIGS)
    tap.equal("what is again is ADDED", w.next()["type"], "ADDED")
    w.close()
    w = a.watch(CONFIGS, version, "&timeoutSeconds=1")
    tap.equal("a watch from a version gets what followed",
              [e["type"] for e in w.until(lambda e: False)], ["MODIFIED", "MODIFIED"])
    w = a.watch(CONFIGS, 1)
    event = w.next()
    tap.equal("a version that is too old", (event["type"], event["object"]["code"], w.next()),
              ("ERROR", 410, None))
    a.ask("DELETE", CONFIGS + "/c")


def test_configs(a):
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: '%s'}}"
    status, made = a.apply("c", text % 1, CONFIGS)
    tap.equal("apply makes", status, 201)
    status, same = a.apply("c", text % 1, CONFIGS)
    tap.equal("the same again changes nothing", (status, same), (200, made))
    status, changed = a.apply("c", text % 2, CONFIGS)
    tap.equal("apply changes", (status, changed["data"], changed["metadata"]["uid"]),
              (200, {"k": "2"}, made["metadata"]["uid"]))
    made["data"] = {"k": "3"}
    tap.equal("an old version is a conflict",
              reason(a.ask("PUT", CONFIGS + "/c", made, "application/json")), (409, "Conflict"))
    changed["data"] = {"k": "3"}
    tap.equal("the present one is not",
              a.ask("PUT", CONFIGS + "/c", changed, "application/json")[0], 200)
    tap.equal("deleted", a.ask("DELETE", CONFIGS + "/c")[0], 200)


def test_apply_pod(a):
    first = a.apply("p", pod("p"))[1]
    a.until_phase("p", "Running")
    tap.equal("the same pod again stays", a.apply("p", pod("p"))[1]["metadata"]["uid"],
              first["metadata"]["uid"])
    status, labelled = a.apply("p", pod("p", labels="a: b"))
    tap.equal("a label is changed in place", (status, labelled["metadata"]["uid"]),
              (200, first["metadata"]["uid"]))
    tap.equal("put of another spec", reason(a.ask("PUT", PODS + "/p", pod("p", ("5",)))),
              (422, "Invalid"))
    status, second = a.apply("p", pod("p", ("90000",)))
    tap.ok("apply of another spec makes it anew",
           status == 201 and second["metadata"]["uid"] != first["metadata"]["uid"], second)
    a.until_phase("p", "Running")
    a.delete("p")


def test_logs_and_restart(a):
    a.apply("talks", pod("talks", ("a", "b"), "arguments", more="restartPolicy: Never"))
    wait_until(lambda: a.phase("talks") in ("Succeeded", "Failed"), "it ended")
    status, log = a.raw("GET", PODS + "/talks/log")
    tap.ok("the log", status == 200 and len(log) > 0, (status, log))
    status, stamped = a.raw("GET", PODS + "/talks/log?timestamps=true&tailLines=1")
    tap.ok("its last line with the time", stamped.startswith(b"20") and stamped.count(b"\n") == 1,
           stamped)
    status, followed = a.raw("GET", PODS + "/talks/log?follow=1")
    tap.equal("following a run that has ended comes to an end", followed, log)
    tap.equal("a container that is not there",
              reason(a.ask("GET", PODS + "/talks/log?container=no")), (400, "BadRequest"))
    tap.equal("a number that is none", reason(a.ask("GET", PODS + "/talks/log?tailLines=x")),
              (400, "BadRequest"))
    a.delete("talks")
    a.apply("again", pod("again"))
    a.until_phase("again", "Running")
    c = a.open()
    c.request("GET", PODS + "/again/log?follow=1")
    follower = c.getresponse()
    tap.equal("restarted", a.ask("POST", PODS + "/again/restart?container=main")[0], 200)
    wait_until(lambda: a.get("again")["status"]["containerStatuses"][0]["restartCount"] == 1,
               "it was")
    tap.equal("a followed log ends with its run", (follower.status, follower.read()), (200, b""))
    c.close()
    a.until_phase("again", "Running")
    status, top = a.ask("GET", PODS + "/again/top")
    tap.ok("figures", status == 200 and top["containers"][0]["usage"]["cpu"].endswith("n"), top)
    tap.equal("figures of all", [i["metadata"]["name"] for i in a.ask("GET", "/api/v1/top")[1]["items"]],
              ["again"])
    a.delete("again")


def test_admission(a):
    big = "resources: {requests: {cpu: '1500m'}}"
    a.apply("big", pod("big", container=big))
    status, second = a.apply("more", pod("more", container=big))
    tap.equal("what does not fit has failed",
              (status, second["status"]["phase"], second["status"]["reason"]),
              (201, "Failed", "OutOfcpu"))
    a.delete("big")
    tap.equal("and never runs later", a.phase("more"), "Failed")
    a.stop()
    a.start()
    tap.equal("nor after a restart", a.get("more")["status"]["reason"], "OutOfcpu")
    a.delete("more")
    port = "ports: [{containerPort: 4711, hostPort: 4711}]"
    a.apply("port", pod("port", container=port))
    tap.equal("one host port, two pods",
              a.apply("port2", pod("port2", container=port))[1]["status"]["reason"], "NodePorts")
    a.delete("port")
    a.delete("port2")


def test_restart_of_the_agent(a):
    a.apply("stays", pod("stays"))
    a.until_phase("stays", "Running")
    before = a.get("stays")
    a.kill()
    a.start()
    a.until_phase("stays", "Running")
    after = a.get("stays")
    tap.equal("a pod outlives the agent",
              [p["status"]["containerStatuses"][0]["containerID"] for p in (before, after)],
              [before["status"]["containerStatuses"][0]["containerID"]] * 2)
    tap.ok("versions do not go backwards",
           int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"]))
    event = a.watch(PODS, before["metadata"]["resourceVersion"]).next()
    tap.equal("a watch from before must list again", event["object"]["code"], 410)
    a.ask("DELETE", PODS + "/stays?gracePeriodSeconds=20")
    a.kill()
    a.start()
    wait_until(lambda: a.ask("GET", PODS + "/stays")[0] == 404, "its deletion goes on")
    tap.ok("a deletion outlives the agent", True)


def test_claim(a):
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    status, made = a.ask("POST", claims, """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
""")
    tap.equal("a claim is bound", (status, made["status"]["phase"],
                                   made["status"]["capacity"]["storage"]), (201, "Bound", "1Gi"))
    a.apply("uses", pod("uses", more="volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]",
                        container="volumeMounts: [{name: v, mountPath: /data}]"))
    a.until_phase("uses", "Running")
    place = os.path.join(a.folder, "state/claims/default/data")
    a.ask("DELETE", claims + "/data")
    tap.equal("a claim that is used stays", (a.ask("GET", claims + "/data")[0],
                                             os.path.isdir(place)), (200, True))
    a.delete("uses")
    wait_until(lambda: a.ask("GET", claims + "/data")[0] == 404, "the claim goes")
    tap.ok("and goes with its folder after its last pod", not os.path.exists(place))


def test_slow_watcher(a):
    w = a.open()
    w.request("GET", CONFIGS + "?watch=1")
    answer = w.getresponse()
    data = "x" * 400000
    for i in range(60):
        a.apply("big", f"{{apiVersion: v1, kind: ConfigMap, metadata: {{name: big}}, data: "
                       f"{{k: '{i}{data}'}}}}", CONFIGS)
    last = None
    for line in answer:
        last = json.loads(line)
        if last["type"] == "ERROR":
            break
    tap.equal("a watcher that does not read is cut off", last["object"]["code"], 410)
    w.close()
    a.ask("DELETE", CONFIGS + "/big")


def test_metrics(a):
    text = a.raw("GET", "/metrics")[1].decode()
    for name in ('wherry_agent_pods{phase="Running"} 0', 'wherry_agent_api_requests_total{code="200"}',
                 "wherry_agent_container_restarts_total", "wherry_agent_workers",
                 "process_resident_memory_bytes"):
        tap.ok(f"a figure: {name}", name in text, text)


def main():
    build_guests("sleep", "arguments")
    folder = tempfile.mkdtemp(prefix="wherry-api-")
    a = Agent(folder)
    try:
        for test in (test_plain, test_bad_bodies, test_pod, test_watch, test_configs,
                     test_apply_pod, test_logs_and_restart, test_admission,
                     test_restart_of_the_agent, test_claim, test_slow_watcher, test_metrics):
            began = time.monotonic()
            test(a)
            print(f"# {test.__name__}: {time.monotonic() - began:.1f} s")
        tap.equal("it ends well", a.stop(), 0)
    finally:
        if a.child.poll() is None:
            a.kill()
        shutil.rmtree(folder, ignore_errors=True)
    tap.finish()


main()

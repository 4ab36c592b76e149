#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the agent, of its worker and of both, at each step of a pod's start and stop.

Every guest writes a line at its start and then one with the same number every few milliseconds. So
there are as many starts as restartCount says, two of a container at once would have their lines mixed,
and one that was not to run any more would have been seen."""
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import (PODS, TOOLBOX, WHERRY, Agent, Unix, command_line,  # noqa: E402
                          cpu_groups, is_ready, settle)
from serve_client import BUILD, IS_FULL, PROBE, tap  # noqa: E402
from worker_client import build_guests, free_port, has_ended, lines, wait_until  # noqa: E402

KILL_AT = os.path.join(BUILD, "tests/integ/kill_at.so")
ROUNDS = 100 if IS_FULL else 12
BEATS = 6  # of a short guest
VICTIMS = ("agent", "worker", "both")
OVER = ("Succeeded", "Failed")
STORE = ["state/images" + n for n in ("", "/blobs", "/blobs/sha256", "/names", "/oci-layout", "/partial")]
NONCES = [{"name": "n", "mountPath": "/n"}]
CLAIM = {"name": "n", "persistentVolumeClaim": {"claimName": "nonces"}}
CLAIM_OBJECT = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "nonces"},
                "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": "value"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
          "stringData": {"word": "open"}}


# ---- Pods ------------------------------------------------------------------------------------


def sh(name, pod, is_short, mounts=(), before="", **more):
    """A container that says when it began and that it lives."""
    file = f"/n/{pod}.{name}"
    until = f"$i -lt {BEATS}" if is_short else "true"
    script = (f"echo x >>{file}.starts; id=$(wc -l <{file}.starts); {before} i=0; while [ {until} ]; do "
              f"echo $id >>{file}.beats; i=$((i+1)); sleep 0.02; done")
    return {"name": name, "image": TOOLBOX, "command": ["sh", "-c", script],
            "volumeMounts": NONCES + list(mounts), **more}


def pod(name, containers, restart="Always", volumes=(), **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"a": "b"}},
            "spec": {"restartPolicy": restart, "containers": containers,
                     "volumes": [CLAIM, *volumes], "terminationGracePeriodSeconds": 2, **spec}}


def with_volumes(name, host):
    volumes = [{"name": "e", "emptyDir": {}},
               {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
               {"name": "h", "hostPath": {"path": host, "type": "DirectoryOrCreate"}},
               {"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}},
               {"name": "d", "downwardAPI": {"items": [
                   {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
               {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}},
                                                       {"secret": {"name": "s"}}]}}]
    mounts = [{"name": v["name"], "mountPath": "/v/" + v["name"]} for v in volumes]
    mounts += [{"name": "c", "mountPath": "/one/key", "subPath": "key"},
               {"name": "e", "mountPath": "/sub", "subPath": "deep/er"}]
    before = ("cat /v/c/key /v/s/word /v/d/labels /v/p/key /one/key || exit 9; "
              "echo x >/v/e/x; echo x >/v/m/x; echo x >/v/h/x; echo x >/sub/x;")
    main = sh("main", name, False, mounts, before,
              lifecycle={"preStop": {"exec": {"command": ["touch", "/v/e/stopped"]}}},
              resources={"limits": {"memory": "64Mi"}})
    return pod(name, [main], volumes=volumes)


class Silent:
    """A registry that never answers."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        return self

    def __exit__(self, *exception):
        self.socket.close()


def pods_of(round, world):
    """By name; those that are to be there, some time."""
    n = {kind: f"{kind}-{round}" for kind in ("always", "never", "group", "job", "web", "vols", "slow")}
    inits = lambda name: [sh("init", name, True), sh("side", name, False, restartPolicy="Always")]
    web = {"name": "main", "image": PROBE, "ports": [{"containerPort": world.port}],
           "readinessProbe": {"httpGet": {"path": "/hello", "port": world.port}, "periodSeconds": 1}}
    return [pod(n["always"], [sh("main", n["always"], True)]),
            pod(n["never"], [sh("main", n["never"], True)], "Never"),
            pod(n["group"], [sh("main", n["group"], False), sh("more", n["group"], False)],
                initContainers=inits(n["group"])),
            pod(n["job"], [sh("main", n["job"], True)], "OnFailure", initContainers=inits(n["job"])),
            pod(n["web"], [web]),
            with_volumes(n["vols"], os.path.join(world.agent.dir, "host", str(round))),
            pod(n["slow"], [sh("main", n["slow"], True,
                               image=f"127.0.0.1:{world.silent.port}/x:1")])]


# ---- What happened ---------------------------------------------------------------------------


def has_nonces(name):
    return not name.startswith(("web", "slow"))


def containers_of(p):
    """What a pod's status says of each."""
    return p["status"].get("initContainerStatuses", []) + p["status"]["containerStatuses"]


def lived_at_once(beats):
    """Numbers that come again after another one has come."""
    seen, last = set(), None
    for number in beats:
        if number != last and number in seen:
            return number
        seen.add(number)
        last = number
    return None


class World:
    """An agent, its pods, and what was killed."""

    def __init__(self, silent):
        self.agent = Agent("--idle-worker", "300ms", is_started=False)
        self.silent, self.port = silent, free_port()
        self.unseen = {}  # (pod, container): runs that may have ended before their first instruction
        self.uids = {}
        self.accounts = []  # for a person who has to find out what went wrong
        self.agent.start()
        self.empty = None

    @property
    def nonces(self):
        return os.path.join(self.agent.state, "agent/claims/default/nonces")

    def starts(self, name, container):
        return lines(os.path.join(self.nonces, f"{name}.{container}.starts"))

    def beats(self, name, container):
        return lines(os.path.join(self.nonces, f"{name}.{container}.beats"))

    def sizes(self):
        """Of all that guests have written."""
        return {n: os.path.getsize(os.path.join(self.nonces, n)) for n in os.listdir(self.nonces)}

    def record(self, name):
        """What is on the disk of it; None when there is nothing."""
        try:
            with open(os.path.join(self.agent.state, "agent/pods", self.uids[name], "record.json"),
                      encoding="utf-8") as f:
                return json.load(f)
        except (OSError, KeyError):
            return None

    def states(self, name):
        record = self.record(name)
        return {c["name"]: c["state"] for c in record["containers"]} if record else {}

    # ---- Killing ----

    def kill(self, victim):
        """Nothing of it lives when this returns, and the agent runs."""
        workers = self.agent.workers() if victim != "agent" else []
        if victim == "worker":
            self.agent.process.send_signal(signal.SIGSTOP)
            wait_until(self.is_stopped, "the agent stands still")
        else:
            self.agent.kill9()
            workers = workers and self.agent.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(map(has_ended, workers)), "the worker is dead")
        if workers:
            self.account()
        if victim == "worker":
            self.agent.process.send_signal(signal.SIGCONT)
        else:
            self.agent.start()

    def is_stopped(self):
        tasks = f"/proc/{self.agent.process.pid}/task"
        states = []
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/stat", encoding="utf-8") as f:
                states.append(f.read().rpartition(")")[2].split()[0])
        return set(states) == {"T"}

    def account(self):
        """A worker that is killed takes runs along that it had accepted and not begun. All stands
        still, so records and lines can be compared."""
        for name in filter(has_nonces, self.uids):
            for c in (self.record(name) or {"containers": ()})["containers"]:
                key = name, c["name"]
                self.accounts.append((*key, c["state"], c.get("attempt", 0), len(self.starts(*key))))
                missing = c.get("attempt", 0) - len(self.starts(*key)) - self.unseen.get(key, 0)
                if missing > 0:
                    assert missing == 1, (key, c, self.starts(*key))
                    self.unseen[key] = self.unseen.get(key, 0) + 1

    # ---- Asking, of an agent that may die meanwhile ----

    def create(self, *pods):
        for p in pods:
            name = p["metadata"]["name"]
            status, answer = self.agent.api("POST", PODS, p)
            assert status in (201, 409), (status, answer)
            # Another one's request for it may still be on its way to the disk.
            wait_until(lambda name=name: self.agent.pod(name), f"{name} is there")
            self.uids[name] = self.agent.pod(name)["metadata"]["uid"]

    def send_only(self, method, path, body=None):
        """Sends a request and does not wait for its answer."""
        c = Unix(self.agent.socket)
        c.request(method, path, json.dumps(body) if body else None,
                  {"Content-Type": "application/json"} if body else {})
        return c

    # ---- Looking ----

    def counts(self, name, p):
        """(container, restartCount + 1, lines) of all that note their starts."""
        return [(c["name"], c["restartCount"] + 1, len(self.starts(name, c["name"])))
                for c in containers_of(p)] if has_nonces(name) else []

    def agrees(self, name):
        p = self.agent.pod(name)
        if not p or "containerStatuses" not in p["status"]:
            return False
        for container, said, seen in self.counts(name, p):
            unseen = self.unseen.get((name, container), 0)
            if not said - unseen <= seen <= said and not self.never_began(p, container, seen):
                return False
        return True

    @staticmethod
    def never_began(p, container, seen):
        """Of a pod that is over, behind an init container that failed."""
        c = next(c for c in containers_of(p) if c["name"] == container)
        return p["status"]["phase"] in OVER and not seen and not c["restartCount"] \
            and "waiting" in c["state"]

    def agree(self, names):
        for name in names:
            settle(lambda name=name: self.agrees(name), f"{name}: starts and restartCount agree: "
                   + self.told(name))

    def told(self, name):
        p = self.agent.pod(name)
        return f"{p and self.counts(name, p)} {p and p['status']} {self.unseen}"

    def files(self):
        """Names in the folders of the agent, without the claim and the image store."""
        return [n for n in self.agent.files("state", "run", "logs")
                if not n.startswith("state/agent/claims") and n not in STORE]

    def is_clean(self):
        return (self.agent.processes() == [self.agent.process.pid] and not self.agent.mounts()
                and self.files() == self.empty)


@contextlib.contextmanager
def prepared():
    """A world in which one pod was there and is gone: what is left then is what is always there."""
    with Silent() as silent:
        w = World(silent)
        with w.agent:
            w.agent.create(CLAIM_OBJECT, CONFIG, SECRET)
            w.create(pod("first", [sh("main", "first", True)], "Never"))
            w.agent.wait_pod("first", "Succeeded")
            w.agent.delete("first")
            wait_until(lambda: not w.agent.pods() and w.agent.processes() == [w.agent.process.pid],
                       "it is gone and its worker too")
            settle(lambda: not os.listdir(w.agent.logs), "its logs too")
            w.empty = w.files()
            w.uids.clear()
            yield w


# ---- Steps of a start and of a stop ----------------------------------------------------------


def watch(is_true, limit_s=5):
    """Until it is true, without a pause; True when it became true."""
    end = time.monotonic() + limit_s
    while not is_true():
        if time.monotonic() > end:
            return False
    return True


def state_is(kind, *states):
    return lambda w, r: any(s in states for s in w.states(f"{kind}-{r}").values())


START_STEPS = {
    "a record is written": lambda w, r: w.record(f"vols-{r}") is not None,
    "an image is resolved": state_is("slow", "resolving", "pull-back-off"),
    "volumes are prepared": lambda w, r: os.path.isdir(
        os.path.join(w.agent.state, "agent/pods", w.uids.get(f"vols-{r}", "-"), "volumes")),
    "a start was recorded": state_is("never", "starting"),
    "a log is there": lambda w, r: os.path.isdir(
        os.path.join(w.agent.logs, f"default_never-{r}_{w.uids.get(f'never-{r}')}", "main")),
    "a guest just began": lambda w, r: w.starts(f"never-{r}", "main"),
    "guests run": lambda w, r: len(w.beats(f"group-{r}", "main")) > 2,
    "an init container runs": lambda w, r: w.starts(f"group-{r}", "init"),
    "a guest exits": lambda w, r: len(w.beats(f"never-{r}", "main")) >= BEATS,
    "a pod has finished": state_is("never", "finished"),
}
STOP_STEPS = {
    "a hook runs": state_is("vols", "pre-stopping"),
    "a guest is told": state_is("group", "told"),
    "a guest is interrupted": state_is("group", "interrupted"),
    "containers have finished": state_is("vols", "finished"),
    "volumes are taken apart": lambda w, r: not os.path.exists(os.path.join(
        w.agent.state, "agent/pods", w.uids[f"vols-{r}"], "volumes/e")),
    "nothing is left": lambda w, r: w.record(f"vols-{r}") is None,
}


def start_round(w, r, victim, step, chance):
    """Pods are made, and something is killed."""
    made = pods_of(r, w)
    names = [p["metadata"]["name"] for p in made]
    if step == "it is asked":
        c = w.send_only("POST", PODS, made[0])
        time.sleep(chance.random() * 0.003)
        w.kill(victim)
        c.close()
        w.create(*made)
    elif step == "at random":
        w.create(*made)
        for _ in range(2):
            time.sleep(chance.random() * 0.4)
            w.kill(victim)
    else:
        w.create(*made)
        watch(lambda: START_STEPS[step](w, r))
        w.kill(victim)
    return names


def start_is_well(w, r, names):
    w.agree(names)
    wait_until(lambda: w.agent.pod(f"never-{r}")["status"]["phase"] in OVER, "the one ends")
    w.agent.wait_pod(f"job-{r}", "Succeeded")
    w.agent.wait_pod(f"web-{r}")
    w.agent.wait_pod(f"vols-{r}")
    w.agree(names)
    assert len(w.starts(f"never-{r}", "main")) <= 1, w.told(f"never-{r}")
    for name in names:
        for c in containers_of(w.agent.pod(name)):
            twice = lived_at_once(w.beats(name, c["name"]))
            assert not twice, (name, c["name"], twice)


def stop_round(w, r, names, victim, step, chance):
    """They are deleted, and something is killed."""
    done = {name: len(w.starts(name, "main")) for name in names if name.startswith(("never", "job"))}
    for name in names:
        w.send_only("DELETE", f"{PODS}/{name}").getresponse().read()
    if step == "at random":
        for _ in range(2):
            time.sleep(chance.random() * 0.2)
            w.kill(victim)
    else:
        watch(lambda: STOP_STEPS[step](w, r), 1)
        w.kill(victim)
    wait_until(lambda: not w.agent.pods(), f"all pods are gone: {list(w.agent.pods())}")
    before = w.sizes()
    wait_until(w.is_clean, "nothing is left: " + left(w))
    assert w.sizes() == before, "a guest of a pod that is gone ran"
    for name, starts in done.items():
        assert len(w.starts(name, "main")) == starts, f"{name} ran again"
    w.uids.clear()


def left(w):
    return (f"{[(pid, command_line(pid)[:2]) for pid in w.agent.processes()]}"
            f" {w.agent.mounts()} {sorted(set(w.files()) ^ set(w.empty))}")


def rounds():
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    chance, groups = random.Random(seed), cpu_groups()
    starts = ["it is asked", *START_STEPS, "at random"]
    stops = [*STOP_STEPS, "at random"]
    with prepared() as w:
        for r in range(int(os.environ.get('FROM', 0)), ROUNDS):
            start, stop = starts[r % len(starts)], stops[r % len(stops)]
            # Each victim at each step, some time; at least one of each kind in a short run.
            first = VICTIMS[(r + r // len(starts)) % 3]
            second = VICTIMS[(r + 1 + r // len(stops)) % 3]
            what = f"{first} killed when {start}, then {second} when {stop}"
            try:
                names = start_round(w, r, first, start, chance)
                start_is_well(w, r, names)
                stop_round(w, r, names, second, stop, chance)
            except Exception as e:
                traceback.print_exc()
                sys.stderr.write(f"{w.accounts}\nseed {seed}, round {r}\n{w.agent.log()[-3000:]}\n{left(w)}\n")
                tap.ok(what, False, repr(e))
                return
            tap.ok(what, True)
        tap.equal("no control group is left", cpu_groups() - groups, set())
        print(f"# {sum(w.unseen.values())} runs died with their worker before they began")


# ---- At each call of the agent ---------------------------------------------------------------


class Dead(Exception):
    """The agent was killed."""


class Driven:
    """A pod with volumes and one that ends, from their first to their last moment; the agent may die
    at any of them."""

    def __init__(self, w, n):
        self.w, self.names = w, [f"vols-{n}", f"never-{n}"]
        self.pods = [with_volumes(self.names[0], os.path.join(w.agent.dir, "host", str(n))),
                     pod(self.names[1], [sh("main", self.names[1], True)], "Never")]
        self.is_asked_to_end = False

    def wait(self, is_true, what):
        wait_until(lambda: self.w.agent.process.poll() is not None or is_true(), what)
        if self.w.agent.process.poll() is not None:
            raise Dead

    def run(self):
        """Whatever was reached before."""
        try:
            self.live()
        except (OSError, http.client.HTTPException) as e:
            if isinstance(e, TimeoutError):
                raise
            self.wait(lambda: False, "the agent is dead when it does not answer")

    def live(self):
        vols, never = self.names
        if not self.is_asked_to_end:
            self.w.create(*self.pods)
            self.wait(lambda: is_ready(self.w.agent.pod(vols)), "the one with volumes runs")
            self.wait(lambda: self.w.agent.pod(never)["status"]["phase"] in OVER, "the one ends")
            for name in self.names:
                self.wait(lambda name=name: self.w.agrees(name), f"{name} agrees")
                assert len(self.w.starts(name, "main")) == 1, self.w.told(name)
        self.is_asked_to_end = True
        for name in self.names:
            self.w.agent.delete(name)
        self.wait(lambda: not self.w.agent.pods(), "both are gone")
        self.wait(self.w.is_clean, "nothing is left")


def killed_at(w, n, driven):
    """Starts an agent that is killed at its n-th call. True when it was."""
    path = os.path.join(w.agent.dir, "calls")
    if os.path.exists(path):
        os.unlink(path)
    try:
        w.agent.start(("env", f"LD_PRELOAD={KILL_AT}", f"WHERRY_KILL_AT={n}",
                       f"WHERRY_KILL_LOG={path}"))
        driven.run()
    except (Dead, RuntimeError):
        if w.agent.process.wait() != -signal.SIGKILL:  # it ended by itself
            raise
        return lines(path)
    w.agent.stop()
    return None


def calls():
    """The agent is killed at each of its calls that change anything, and so may the next one be
    while it finds out what there is."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    chance, done = random.Random(seed), []
    with prepared() as w:
        w.agent.stop()
        n = 1
        while True:
            driven = Driven(w, n)
            first = killed_at(w, n, driven)
            if first is None:
                break
            second = killed_at(w, chance.randrange(1, 60), driven) if chance.random() < 0.5 else None
            w.agent.start()
            try:
                driven.run()
            except Exception as e:
                sys.stderr.write(f"seed {seed}\n{first}\n{second}\n{w.agent.log()[-3000:]}\n{left(w)}\n")
                tap.ok(f"killed before call {n}", False, repr(e))
                return
            done.append(first[-1])
            w.agent.stop()
            w.uids.clear()
            n += 1 if IS_FULL else chance.randrange(1, 40)
        tap.ok(f"killed before each of {n} calls, as {' '.join(sorted(set(done)))}", n > 60, n)
        w.agent.start()


def restarts():
    """SIGTERM, another installation, and a machine that starts again."""
    with prepared() as w:
        names = [p["metadata"]["name"] for p in pods_of(0, w) if "slow" not in p["metadata"]["name"]]
        w.create(*(p for p in pods_of(0, w) if p["metadata"]["name"] in names))
        start_is_well(w, 0, names)
        wait_until(lambda: len(w.beats("group-0", "main")) > 2, "the long one runs")
        terminated(w, names)
        upgraded(w, names)
        rebooted(w, names)


def goes_on(w, names, what):
    """Nothing was started meanwhile, and the long one still lives."""
    n = len(w.beats("group-0", "main"))
    wait_until(lambda: len(w.beats("group-0", "main")) > n, f"{what}: the guest lives")
    wait_until(lambda: is_ready(w.agent.pod("web-0")), f"{what}: the component is ready again")
    w.agree(names)
    tap.equal(f"{what}: guests go on", [len(w.starts("group-0", c)) for c in ("side", "main", "more")]
              + [w.agent.pod("web-0")["status"]["containerStatuses"][0]["restartCount"]], [1, 1, 1, 0])


def terminated(w, names):
    tap.equal("an agent ends at SIGTERM", w.agent.stop(), 0)
    n = len(w.beats("group-0", "main"))
    wait_until(lambda: len(w.beats("group-0", "main")) > n + 2, "the guest lives without an agent")
    tap.ok("pods go on without an agent", len(w.agent.workers()) == 1)
    w.agent.start()
    goes_on(w, names, "the next agent")


def upgraded(w, names):
    other = os.path.join(w.agent.dir, "other")
    build = os.path.dirname(WHERRY)
    os.makedirs(os.path.join(other, "libexec"))
    shutil.copy2(WHERRY, other)
    shutil.copytree(os.path.join(build, "libexec/wherry"), os.path.join(other, "libexec/wherry"))
    w.agent.stop()
    w.agent.wherry_path = os.path.join(other, "wherry")
    w.agent.start()
    goes_on(w, names, "an agent of another installation")
    w.kill("worker")
    wait_until(lambda: len(w.starts("group-0", "main")) == 2, "the long one is started by the new one")
    w.agree(names)
    exe = os.readlink(f"/proc/{w.agent.workers()[0]}/exe")
    tap.ok("the next worker is of the new installation", exe.startswith(other), exe)
    w.agent.stop()
    w.agent.wherry_path = WHERRY
    w.agent.start()


def rebooted(w, names):
    finished = [len(w.starts(n, "main")) for n in ("never-0", "job-0")]
    w.agent.kill9()
    for pid in w.agent.workers():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not w.agent.processes(), "all is dead")
    w.account()
    for path in w.agent.mounts():
        subprocess.run(["umount", path], check=True)
    shutil.rmtree(w.agent.run)
    w.agent.start()
    wait_until(lambda: len(w.starts("group-0", "main")) == 3, "the long one is started again")
    start_is_well(w, 0, names)
    tap.equal("what had finished does not run again",
              [len(w.starts(n, "main")) for n in ("never-0", "job-0")], finished)
    tap.ok("the others run again after a reboot", not sum(w.unseen.values()), w.unseen)
    for name in names:
        w.agent.delete(name)
    wait_until(lambda: not w.agent.pods(), "all are gone")
    wait_until(w.is_clean, "nothing is left: " + left(w))
    tap.ok("nothing is left", True)


if __name__ == "__main__":
    build_guests("http/probe")
    parts = {"rounds": rounds, "restarts": restarts, "calls": calls}
    for part in [parts[a] for a in sys.argv[1:]] or parts.values():
        tap.run(part)
    tap.finish()

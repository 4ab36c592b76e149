#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands for pods as a user types them, against an agent of their own."""
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from agent_client import TOOLBOX, WHERRY, Agent  # noqa: E402
from terminal import CTRL_C, Terminal  # noqa: E402
from worker_client import (GUESTS, PATIENCE_S, Tap, build_guests, free_port, has_ended,  # noqa: E402
                           wait_until)

TICKS = "i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.1; done"
APP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {word: %(word)s}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 2
  initContainers:
  - name: seed
    image: %(toolbox)s
    command: [sh, -c, "echo seeded > /data/note"]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: web
    image: %(probe)s
    ports: [{containerPort: %(port)d}]
    env:
    - name: WORD
      valueFrom: {configMapKeyRef: {name: conf, key: word}}
    volumeMounts: [{name: data, mountPath: /data}]
    readinessProbe: {httpGet: {path: /hello, port: %(port)d}, periodSeconds: 1}
  volumes: [{name: data, emptyDir: {}}]
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: %(name)s, labels: {app: %(name)s}}
spec:
  restartPolicy: %(policy)s
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: %(toolbox)s, command: [sh, -c, %(script)s]}]
"""


def pod(name, script, policy="Never"):
    return POD % {"name": name, "policy": policy, "toolbox": TOOLBOX, "script": json.dumps(script)}


def get(port, path="/hello"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as r:
        return r.read()


class Place(Agent):
    """An agent, or only its folders, and the manifest of an application there."""

    def __init__(self, **options):
        super().__init__(**options)
        self.port = free_port()
        self.app = self.write_app("one")

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def write_app(self, word):
        return self.write("app.yaml", APP % {
            "word": word, "toolbox": TOOLBOX, "port": self.port,
            "probe": os.path.join(GUESTS, "http/probe.wasm")})

    def popen(self, *args, **options):
        return subprocess.Popen([WHERRY, *args], env=self.env, text=True, **{
            "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
            **options})

    def fails(self, *args, status=1):
        """What a command that has to fail says."""
        done = self.popen(*args)
        err = done.communicate(timeout=PATIENCE_S)[1]
        assert done.returncode == status, (args, done.returncode, err)
        return err

    def refuses_connections(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) != 0


def end(process):
    process.kill()
    process.communicate()


# ---- Up and down -----------------------------------------------------------------------------


def up_in_the_background_leaves_an_agent_and_down_ends_the_pods():
    with Place(is_started=False) as p:
        assert "no agent answers" in p.fails("ps")
        out = p.wherry("up", "-d", "-f", p.app)
        assert out == "configmap/conf created\npod/web created\n", out
        assert get(p.port)
        ps = p.wherry("ps").splitlines()
        assert ps[1].split()[:4] == ["web", "1/1", "Running", "0"], ps
        assert p.wherry("down", "-f", p.app) == "pod/web deleted\nconfigmap/conf deleted\n"
        assert p.refuses_connections()
        assert not p.files("state/agent/pods", "logs"), p.files("state", "logs")
        assert p.wherry("down", "-f", p.app) == "", "what is not there is no mistake"


def ctrl_c_on_a_terminal_ends_the_pods_and_their_agent():
    with Place(is_started=False) as p:
        path = p.write("talk.yaml", pod("talk", TICKS))
        with Terminal(p, "up", "-f", path, "-f", p.app) as t:
            t.expect(b"pod/web is ready")
            t.expect(b"tick ")
            assert get(p.port)
            t.type(CTRL_C)
            seen = t.expect(b"pod/web is gone")
            assert b"Stopping" in seen, seen
            assert t.status() == 0
        assert p.refuses_connections()
        assert not os.path.exists(p.socket), "its agent has ended too, and has left no socket"


def up_ends_by_itself_when_its_pods_have_and_tells_of_a_failure():
    with Place() as p:
        good = p.popen("up", "-f", p.write("good.yaml", pod("good", "echo done")))
        out, err = good.communicate(timeout=PATIENCE_S)
        assert good.returncode == 0 and "good/main | done\n" in out, (out, err)
        bad = p.popen("up", "-f", p.write("bad.yaml", pod("bad", "echo oh >&2; exit 3")))
        out, err = bad.communicate(timeout=PATIENCE_S)
        assert bad.returncode == 1 and "pod/bad" in err, (bad.returncode, out, err)


def up_in_the_background_fails_with_a_pod_that_ends_at_once():
    with Place() as p:
        for policy, shown in ("Always", "CrashLoopBackOff"), ("Never", "failed"):
            err = p.fails("up", "-d", "--timeout", "20s", "-f",
                          p.write("bad.yaml", pod(policy.lower(), "exit 3", policy)))
            assert f"{shown}: " in err and "Error, exit code 3" in err, err
            assert "is ready" not in err, err
        status = p.pod("always")["status"]["containerStatuses"][0]
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff", status
        assert status["restartCount"] == 1 and not status["ready"], status
        # What ends well is no failure, however soon.
        p.wherry("up", "-d", "-f", p.write("good.yaml", pod("good", "exit 0")))


# ---- With one application --------------------------------------------------------------------


def apply_tells_what_it_did(p):
    assert p.wherry("apply", "-f", p.app) == "configmap/conf unchanged\npod/web unchanged\n"
    p.write_app("two")
    assert p.wherry("apply", "-f", p.app) == "configmap/conf configured\npod/web unchanged\n"
    before = p.pod("web")["metadata"]["uid"]
    with open(p.app, encoding="utf-8") as f:
        text = f.read()
    p.write("app.yaml", text.replace("periodSeconds: 1", "periodSeconds: 2"))
    assert p.wherry("apply", "-f", p.app) == "configmap/conf unchanged\npod/web configured\n"
    assert p.pod("web")["metadata"]["uid"] != before, "another spec is another pod"
    p.wherry("wait", "--for=condition=Ready", "pod/web")
    assert p.wherry("exec", "web", "--", "env").count("WORD=two\n") == 1
    bad = p.write("bad.yaml", text.replace("containerPort", "containrPort"))
    err = p.fails("apply", "-f", bad)
    assert "bad.yaml:" in err and "did you mean 'containerPort'" in err, err


def get_shows_tables_objects_and_names(p):
    wide = p.wherry("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"], wide
    assert wide[1].split()[:3] == ["web", "1/1", "Running"], wide
    one = json.loads(p.wherry("get", "pod/web", "-o", "json"))
    assert one["status"]["containerStatuses"][0]["ready"] is True
    again = p.write("again.yaml", p.wherry("get", "pod", "web", "-o", "yaml"))
    assert p.wherry("apply", "-f", again) == "pod/web unchanged\n", "its YAML is a manifest of it"
    assert p.wherry("get", "po,cm", "-o", "name") == "pod/web\nconfigmap/conf\n"
    assert p.wherry("get", "pods", "-l", "app=web", "-o", "name") == "pod/web\n"
    assert p.wherry("get", "pods", "-l", "app!=web", "-o", "name") == ""
    assert 'pods "no" not found' in p.fails("get", "pod", "no")


def a_watch_shows_a_pod_begin_and_end(p):
    watch = p.popen("get", "pods", "-w", "--no-headers", "-l", "app=brief")
    p.wherry("apply", "-f", p.write("brief.yaml", pod("brief", "exit 0")))
    seen = []
    while not seen or seen[-1] != "Completed":
        seen.append(watch.stdout.readline().split()[2])
    assert seen[0] in ("Pending", "ContainerCreating"), seen
    end(watch)
    p.wherry("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/brief")
    assert p.wherry("delete", "pod", "brief") == "pod/brief deleted\n"
    assert "not found" in p.fails("delete", "pod", "brief")


def describe_and_events_tell_what_happened(p):
    text = p.wherry("describe", "pod", "web")
    for words in ("Name:", "seed", "Started container web", "Restart Count:  0", "QoS Class:"):
        assert words in text, (words, text)
    lines = p.wherry("events", "--for", "pod/web", "--no-headers").splitlines()
    assert any("Created container: web" in line for line in lines), lines
    assert not [line for line in lines if "brief" in line], lines


def exec_has_pipes_redirection_and_its_status(p):
    script = "seq 5 | grep -v 3 | tail -n 2 > /data/out; cat < /data/out; false; echo $?"
    assert p.wherry("exec", "web", "--", "sh", "-c", script) == "4\n5\n1\n"
    assert p.wherry("exec", "web", "--", "sh", "-c", "exit 7", status=7) == ""
    done = subprocess.run([WHERRY, "exec", "-i", "web", "--", "tr", "a-z", "A-Z"], env=p.env,
                          input=b"hei", stdout=subprocess.PIPE, check=True, timeout=PATIENCE_S)
    assert done.stdout == b"HEI", done
    running = p.wherry("exec", "web", "--", "ps").splitlines()
    assert running == ["PID   COMMAND",
                       "    1 web " + os.path.join(GUESTS, "http/probe.wasm"), "    - ps"], running
    assert p.wherry("exec", "web", "--", "cat", "/data/note") == "seeded\n"
    assert "not found" in p.fails("exec", "no", "--", "ls", status=125)


def exec_connects_where_its_pod_may(p):
    """The toolbox's nc in two pods: of one a port is granted, of the other nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        granted = pod("granted", TICKS).replace(
            "metadata: {", f'metadata: {{annotations: {{wherry.dev/allow-net: "127.0.0.1:{port}"}}, ')
        p.wherry("apply", "-f", p.write("net.yaml", granted + pod("alone", TICKS)))
        p.wherry("wait", "--for=condition=Ready", "pod/granted", "pod/alone")
        p.wherry("exec", "granted", "--", "nc", "-z", "127.0.0.1", port)
        talk = p.popen("exec", "-i", "granted", "--", "sh", "-c", f"nc 127.0.0.1 {port} | tr a-z A-Z",
                       stdin=subprocess.PIPE)
        listening.accept()[0].close()  # of the check
        with listening.accept()[0] as c:
            talk.stdin.write("hello\n")
            talk.stdin.flush()
            assert c.recv(100) == b"hello\n"
            c.sendall(b"good day\n")
        assert talk.communicate(timeout=PATIENCE_S)[0] == "GOOD DAY\n"
        assert talk.returncode == 0
        assert "not granted (see --allow-net" in p.fails(
            "exec", "alone", "--", "nc", "-z", "127.0.0.1", port)
    p.wherry("delete", "pod/granted", "pod/alone")


def cp_goes_both_ways(p):
    folder = os.path.join(p.dir, "folder")
    os.makedirs(os.path.join(folder, "inner"))
    data = os.urandom(300_000)
    for name in ("a", "inner/b"):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data + name.encode())
    p.wherry("cp", folder, "web:/data/copy")
    assert p.wherry("exec", "web", "--", "ls", "/data/copy") == "a\ninner\n"
    back = os.path.join(p.dir, "back")
    p.wherry("cp", "web:/data/copy", back)
    with open(os.path.join(back, "inner/b"), "rb") as f:
        assert f.read() == data + b"inner/b"
    assert "nothing" in p.fails("cp", "web:/data/nothing", back, status=125)


def port_forward_carries_a_request(p):
    local = free_port()
    forward = p.popen("port-forward", "web", f"{local}:{p.port}", stderr=subprocess.STDOUT)
    assert str(local) in forward.stdout.readline()
    assert get(local) == get(p.port)
    forward.send_signal(signal.SIGINT)
    assert forward.wait(PATIENCE_S) == -signal.SIGINT
    forward.communicate()


def logs_are_followed_cut_and_dated(p):
    p.wherry("apply", "-f", p.write("talk.yaml", pod("talk", TICKS)))
    wait_until(lambda: p.wherry("logs", "talk", status=None), "it has said something")
    follow = p.popen("logs", "-f", "talk")
    assert [follow.stdout.readline() for _ in range(15)] == [f"tick {i}\n" for i in range(15)]
    assert p.wherry("logs", "talk").startswith("tick 0\ntick 1\n")
    tail = p.wherry("logs", "talk", "--tail", "2").splitlines()
    numbers = [int(line.split()[1]) for line in tail]
    assert len(numbers) == 2 and numbers[0] + 1 == numbers[1] and numbers[1] >= 3, tail
    line = p.wherry("logs", "talk", "--timestamps").splitlines()[14]
    at, text = line.split(" ", 1)
    assert text == "tick 14" and at.endswith("Z"), line
    late = p.wherry("logs", "talk", "--since-time", at).splitlines()
    assert "tick 14" in late and "tick 0" not in late, late  # a second is what counts
    assert p.wherry("logs", "talk", "--since", "1h").startswith("tick 0\n")
    assert p.wherry("stop", "talk") == "pod/talk deleted\n"
    rest = follow.stdout.read().splitlines()  # it ends with the pod
    assert rest == [f"tick {i}" for i in range(15, 15 + len(rest))], rest
    follow.communicate(timeout=PATIENCE_S)
    assert follow.returncode == 0


def restart_begins_another_run_whose_last_one_can_be_read(p):
    script = "echo run of $(date +%s%N 2>/dev/null); sleep 1000"
    p.wherry("apply", "-f", p.write("again.yaml", pod("again", script, "Always")))
    p.wherry("wait", "--for=condition=Ready", "pod/again")
    wait_until(lambda: p.wherry("logs", "again", status=None), "it has said something")
    first = p.wherry("logs", "again")
    assert "pod/again" in p.wherry("restart", "again")
    wait_until(lambda: p.pod("again")["status"]["containerStatuses"][0]["restartCount"] == 1,
               "it runs anew")
    assert p.wherry("logs", "again", "--previous") == first
    assert p.wherry("ps", "--no-headers", "-l", "app=again").split()[3] == "1"
    assert p.wherry("delete", "pod", "-l", "app=again", "--now") == "pod/again deleted\n"


def top_counts_processor_time_and_memory(p):
    p.wherry("apply", "-f", p.write("busy.yaml", pod("busy", "while true; do :; done")))
    p.wherry("wait", "--for=condition=Ready", "pod/busy")
    rows = {r.split()[0]: r.split()[1:] for r in p.wherry("top", "--no-headers").splitlines()}
    assert set(rows) == {"web", "busy"}, rows
    assert int(rows["busy"][0].rstrip("m")) > int(rows["web"][0].rstrip("m")), rows
    assert rows["busy"][1].endswith("Mi"), rows
    p.wherry("delete", "pod/busy", "--now")


def wait_ends_in_time(p):
    err = p.fails("wait", "--for=delete", "pod/web", "--timeout", "50ms")
    assert "pod/web" in err, err
    waits = p.popen("wait", "--for=delete", "pod/gone")
    assert waits.wait(PATIENCE_S) in (0, 1)
    waits.communicate()


def config_show_tells_where_settings_are_from(p):
    options = {o["name"]: o for o in json.loads(p.wherry("config", "show"))["options"]}
    assert options["idle-worker"] == {"name": "idle-worker", "value": "1s", "origin": "flag"}
    assert options["logs-dir"]["value"] == p.logs, options["logs-dir"]
    assert options["logs-dir"]["origin"] == "environment WHERRY_AGENT_LOGS_DIR", options["logs-dir"]
    assert options["node-name"]["origin"] == "default", options["node-name"]


def a_killed_agent_comes_back_to_what_runs(p):
    status = p.pod("web")["status"]["containerStatuses"][0]
    workers = p.workers()
    p.kill9()
    assert get(p.port), "its pods do not need it"
    assert "no agent answers" in p.fails("ps")
    p.start()
    p.wherry("wait", "--for=condition=Ready", "pod/web")
    assert p.pod("web")["status"]["containerStatuses"][0]["containerID"] == status["containerID"]
    assert p.workers() == workers and not any(map(has_ended, workers)), workers


def delete_of_manifests_leaves_nothing_of_them(p):
    assert p.wherry("delete", "-f", p.app) == "pod/web deleted\nconfigmap/conf deleted\n"
    assert p.wherry("get", "pods,cm", "-o", "name") == ""
    assert p.refuses_connections()
    assert not p.files("state/agent/pods", "logs"), p.files("state", "logs")
    wait_until(lambda: not p.workers(), "an idle worker has ended")
    assert p.stop() == 0
    assert not p.processes() and not p.mounts()


ALONE = (up_in_the_background_leaves_an_agent_and_down_ends_the_pods,
         ctrl_c_on_a_terminal_ends_the_pods_and_their_agent,
         up_ends_by_itself_when_its_pods_have_and_tells_of_a_failure,
         up_in_the_background_fails_with_a_pod_that_ends_at_once)
TOGETHER = (apply_tells_what_it_did, get_shows_tables_objects_and_names,
            a_watch_shows_a_pod_begin_and_end, describe_and_events_tell_what_happened,
            exec_has_pipes_redirection_and_its_status, exec_connects_where_its_pod_may,
            cp_goes_both_ways, port_forward_carries_a_request, logs_are_followed_cut_and_dated,
            restart_begins_another_run_whose_last_one_can_be_read,
            top_counts_processor_time_and_memory, wait_ends_in_time,
            config_show_tells_where_settings_are_from, a_killed_agent_comes_back_to_what_runs,
            delete_of_manifests_leaves_nothing_of_them)


def main():
    tap = Tap()
    build_guests("http/probe")
    for part in ALONE:
        tap.promise(part)
    # An option and variables, for what `config show` has to tell apart.
    with Place(is_started=False) as p:
        p.args = ("--idle-worker", "1s")
        p.start()
        p.wherry("up", "-d", "-f", p.app)
        for part in TOGETHER:
            tap.promise(part, p)
    tap.finish()


main()

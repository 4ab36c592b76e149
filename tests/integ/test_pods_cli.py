#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands for pods, against a fake agent."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from fake_agent import FakeAgent  # noqa: E402
from serve_client import tap  # noqa: E402
from worker_client import ROOT, wait_until  # noqa: E402

WHERRY = os.environ.get("WHERRY", os.path.join(ROOT, "build/wherry"))
PATIENCE_S = 30
POD = """apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: x}}
spec:
  containers:
  - {name: app, image: ./app.wasm}
"""
CONFIG = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: '%s'}\n"


class Place:
    """A folder, an agent there, and commands that speak to it."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="wherry-pods-")
        self.agent = FakeAgent(os.path.join(self.dir, "agent.sock"))
        self.env = dict(os.environ, WHERRY_SOCKET=self.agent.path, WHERRY_NAMESPACE="")
        with open(os.path.join(self.dir, "app.wasm"), "wb") as f:
            f.write(b"\0asm\1\0\0\0")
        return self

    def __exit__(self, *args):
        self.agent.stop()
        shutil.rmtree(self.dir)

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def popen(self, *argv):
        return subprocess.Popen([WHERRY, *argv], env=self.env, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *argv, status=0):
        p = self.popen(*argv)
        out, err = p.communicate(timeout=PATIENCE_S)
        assert p.returncode == status, (argv, p.returncode, out, err)
        return out, err


def apply_tells_what_it_did():
    with Place() as p:
        path = p.file("app.yaml", POD % "web" + CONFIG % "1")
        assert p.run("apply", "-f", path)[0] == "configmap/conf created\npod/web created\n"
        assert p.run("apply", "-f", path)[0] == "configmap/conf unchanged\npod/web unchanged\n"
        p.file("app.yaml", POD % "web" + CONFIG % "2")
        assert p.run("apply", "-f", path)[0] == "configmap/conf configured\npod/web unchanged\n"
        image = p.agent.objects["pods", "default", "web"]["spec"]["containers"][0]["image"]
        assert image == os.path.join(p.dir, "app.wasm"), image


def nothing_is_sent_when_one_manifest_is_bad():
    with Place() as p:
        good = p.file("good.yaml", POD % "web")
        bad = p.file("bad.yaml", POD % "x" + "  restartPolicy: Sometimes\n")
        err = p.run("apply", "-f", good, "-f", bad, status=1)[1]
        assert "bad.yaml:7" in err, err
        assert not p.agent.requests, p.agent.requests


def get_prints_tables_and_objects():
    with Place() as p:
        p.run("apply", "-f", p.file("app.yaml", POD % "web" + CONFIG % "1"))
        out = p.run("get", "pods")[0].splitlines()
        assert out[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"], out
        assert out[1].split()[:4] == ["web", "1/1", "Running", "0"], out
        assert p.run("ps", "--no-headers")[0].split()[0] == "web"
        assert p.run("get", "po,cm", "-o", "name")[0] == "pod/web\nconfigmap/conf\n"
        one = json.loads(p.run("get", "pod/web", "-o", "json")[0])
        assert one["kind"] == "Pod" and one["status"]["phase"] == "Running", one
        assert json.loads(p.run("get", "cm", "-o", "json")[0])["kind"] == "List"
        assert "kind: Pod\n" in p.run("get", "pod", "web", "-o", "yaml")[0]
        assert p.run("get", "pods", "-l", "app=y")[1] == "No resources found in default namespace.\n"
        assert 'pods "no" not found' in p.run("get", "pod", "no", status=1)[1]
        assert "bad=value" in p.run("get", "pods", "-l", "a in bad=value", status=125)[1]
        assert "Restart Count:  0" in p.run("describe", "pod", "web")[0]
        assert p.run("top", "--no-headers")[0].split() == ["web", "13m", "35Mi"]
        assert json.loads(p.run("config", "show")[0])["log"]["level"] == "info"


def a_watch_shows_what_changes():
    with Place() as p:
        p.run("apply", "-f", p.file("app.yaml", POD % "web"))
        watch = p.popen("get", "pods", "-w", "--no-headers")
        assert "Running" in watch.stdout.readline()
        p.agent.status("web", "Failed", {"terminated": {"exitCode": 1, "reason": "Error"}})
        assert "Error" in watch.stdout.readline()
        watch.kill()
        watch.communicate()


def delete_waits_until_the_pod_is_gone():
    with Place() as p:
        p.run("apply", "-f", p.file("app.yaml", POD % "web"))
        p.agent.keeps = True
        assert "pod/web is still there yet" in p.run("delete", "pod", "web", "--timeout", "200ms",
                                                     status=1)[1]
        p.run("delete", "pod", "web", "--wait=false")
        waits = p.popen("delete", "pod", "web", "--now")
        assert waits.stdout.readline() == "pod/web deleted\n"
        assert any("gracePeriodSeconds=1" in r for r in p.agent.requests)
        p.agent.remove("pods", "default", "web")
        assert waits.wait(PATIENCE_S) == 0
        waits.communicate()
        assert "not found" in p.run("delete", "pod", "web", status=1)[1]


def wait_ends_with_its_condition():
    with Place() as p:
        p.agent.runs = False
        p.run("apply", "-f", p.file("app.yaml", POD % "web"))
        assert "pod/web" in p.run("wait", "--for=condition=Ready", "pod/web", "--timeout", "100ms",
                                  status=1)[1]
        waits = p.popen("wait", "--for=condition=Ready", "pod/web")
        threading.Timer(0.3, p.agent.status, ("web", "Running", {"running": {}}, True)).start()
        out, err = waits.communicate(timeout=PATIENCE_S)
        assert out == "pod/web condition met\n", (out, err)
        p.run("wait", "--for=jsonpath={.status.phase}=Running", "pods", "--all", "--timeout", "0")


def logs_are_printed_and_followed():
    with Place() as p:
        p.run("apply", "-f", p.file("app.yaml", POD % "web"))
        p.agent.logs["web", "app"] = b"one\ntwo\n\x1b[2Jthree"
        assert p.run("logs", "web")[0] == "one\ntwo\n\x1b[2Jthree\n"
        assert p.run("logs", "pod/web", "--tail", "2")[0] == "two\n\x1b[2Jthree\n"
        assert p.run("logs", "web", "--prefix")[0].startswith("[pod/web/app] one\n")
        assert "not found" in p.run("logs", "no", status=1)[1]
        follow = p.popen("logs", "-f", "web")
        assert follow.stdout.readline() == "one\n"
        p.agent.remove("pods", "default", "web")
        assert follow.wait(PATIENCE_S) == 0
        follow.communicate()


def up_follows_until_it_is_interrupted():
    with Place() as p:
        path = p.file("app.yaml", POD % "web" + "---\n" + POD % "db")
        p.agent.logs["web", "app"] = b"hello\n"
        up = p.popen("up", "-f", path)
        lines = [up.stdout.readline() for _ in range(3)]
        assert "web/app | hello\n" in lines, lines
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 0, (up.returncode, out, err)
        assert "pod/web is ready" in err and "pod/db is gone" in err, err
        assert not p.agent.objects


def a_second_interrupt_leaves_at_once():
    with Place() as p:
        p.agent.keeps = True
        up = p.popen("up", "-f", p.file("app.yaml", POD % "web"))
        while "is ready" not in up.stderr.readline():
            pass
        up.send_signal(signal.SIGINT)
        while "Stopping" not in up.stderr.readline():
            pass
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 130
        up.communicate()


def up_in_the_background_returns_when_ready_and_says_why_not():
    with Place() as p:
        path = p.file("app.yaml", POD % "web")
        p.run("up", "-d", "-f", path)
        assert p.run("down", "-f", path)[0] == "pod/web deleted\n"
        p.agent.runs = False
        up = p.popen("up", "-d", "-f", path)
        assert up.stdout.readline() == "pod/web created\n"
        p.agent.status("web", "Pending", {"waiting": {"reason": "ErrImagePull",
                                                      "message": "no such image"}})
        out, err = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 1 and "ErrImagePull: no such image" in err, (out, err)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def told(up, line):
    """Also behind what it was before, if that was seen."""
    lines = iter(up.stderr.readline, "")
    assert line in lines, line


CRASHED = {"terminated": {"exitCode": 3, "reason": "Error"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting"}}


def a_pod_that_is_up_for_a_moment_only_is_not_ready_to_up():
    with Place() as p:
        p.agent.runs = False
        up = p.popen("up", "-d", "-f", p.file("app.yaml", POD % "web"))
        assert up.stdout.readline() == "pod/web created\n"
        p.agent.status("web", "Running", {"running": {}}, True, since=now())
        told(up, "pod/web Running\n")
        p.agent.status("web", "Running", {"running": {}}, True, since=now(), restartCount=1,
                       lastState=CRASHED)
        p.agent.status("web", "Running", BACK_OFF, since=now(), restartCount=1, lastState=CRASHED)
        out, err = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 1 and "is ready" not in err, (out, err)
        assert "CrashLoopBackOff: back-off 10s restarting" in err, err
        assert "container app: Error, exit code 3" in err, err


def a_pod_that_stays_up_is_ready_to_up_and_one_with_a_probe_at_once():
    probed = (POD % "db").replace("app.wasm}", "app.wasm, readinessProbe: {tcpSocket: {port: 1}}}")
    with Place() as p:
        p.agent.runs = False
        up = p.popen("up", "-d", "-f", p.file("app.yaml", POD % "web" + "---\n" + probed))
        assert [up.stdout.readline() for _ in range(2)][1] == "pod/db created\n"
        for name in "web", "db":
            p.agent.status(name, "Running", {"running": {}}, True, since=now())
        out, err = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 0 and "pod/web Running\n" in err, (up.returncode, out, err)
        assert err.index("pod/db is ready") < err.index("pod/web is ready"), err


def a_pod_that_is_gone_in_its_first_moment_is_not_ready_to_up():
    with Place() as p:
        p.agent.runs = False
        up = p.popen("up", "-d", "--timeout", "1500ms", "-f", p.file("app.yaml", POD % "web"))
        assert up.stdout.readline() == "pod/web created\n"
        p.agent.status("web", "Running", {"running": {}}, True, since=now())
        told(up, "pod/web Running\n")
        p.agent.remove("pods", "default", "web")
        out, err = up.communicate(timeout=PATIENCE_S)
        assert up.returncode == 1 and "is gone" in err and "is ready" not in err, (out, err)


def wait_does_not_take_a_pod_that_crashes_for_ready():
    with Place() as p:
        p.agent.runs = False
        p.run("apply", "-f", p.file("app.yaml", POD % "web"))
        p.agent.status("web", "Running", {"running": {}}, True, since=now())
        waits = p.popen("wait", "--for=condition=Ready", "pod/web", "--timeout", "2s")
        wait_until(lambda: any("watch=1" in r for r in p.agent.requests), "it watches")
        p.agent.status("web", "Running", BACK_OFF, since=now(), restartCount=1)
        out, err = waits.communicate(timeout=PATIENCE_S)
        assert waits.returncode == 1 and not out and "does not have the condition" in err, (out, err)
        waits = p.popen("wait", "--for=condition=Ready", "pod/web")
        p.agent.status("web", "Running", {"running": {}}, True, since=now(), restartCount=1)
        out, err = waits.communicate(timeout=PATIENCE_S)
        assert waits.returncode == 0 and out == "pod/web condition met\n", (out, err)


AGENT = """#!/usr/bin/env python3
import os, signal, sys
sys.path.insert(0, %r)
from fake_agent import FakeAgent
if os.environ.get("FAKE_FAILS"):
    sys.exit("the state folder is locked")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
agent = FakeAgent(os.environ["WHERRY_SOCKET"])
signal.sigwait([signal.SIGTERM])
agent.stop()
"""


def without_agent(p):
    """Stops the agent, and gives `up` a program that is one."""
    p.agent.stop()
    libexec = os.path.join(p.dir, "libexec")
    os.mkdir(libexec)
    real = os.path.join(os.path.dirname(WHERRY), "libexec/wherry/wherry-pods")
    os.symlink(real, os.path.join(libexec, "wherry-pods"))
    path = os.path.join(libexec, "wherry-agent")
    with open(path, "w", encoding="utf-8") as f:
        f.write(AGENT % os.path.join(ROOT, "tests"))
    os.chmod(path, 0o755)
    p.env.update(WHERRY_EXEC_PATH=libexec, WHERRY_STATE_DIR=os.path.join(p.dir, "state"))


def up_starts_an_agent_and_ends_it_again():
    with Place() as p:
        without_agent(p)
        up = p.popen("up", "-f", p.file("app.yaml", POD % "web"))
        while "is ready" not in up.stderr.readline():
            pass
        assert "web" in p.run("ps")[0]
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
        up.communicate()
        assert not os.path.exists(p.agent.path)
        p.env["FAKE_FAILS"] = "1"
        err = p.run("up", "-d", "-f", p.file("app.yaml", POD % "web"), status=1)[1]
        assert "the state folder is locked" in err and "agent.log" in err, err
        p.agent = FakeAgent(p.agent.path)


def the_namespace_of_the_environment_holds_for_every_command():
    with Place() as p:
        p.env["WHERRY_NAMESPACE"] = "team"
        for argv in (["exec", "web", "--", "ls"], ["cp", "web:/x", p.dir],
                     ["port-forward", "web", ":80"], ["logs", "web"]):
            del p.agent.requests[:]
            p.popen(*argv).communicate(timeout=PATIENCE_S)
            assert p.agent.requests, argv
            assert all("/namespaces/team/pods" in r for r in p.agent.requests), p.agent.requests
            del p.agent.requests[:]
            p.popen(argv[0], "-n", "mine", *argv[1:]).communicate(timeout=PATIENCE_S)
            assert p.agent.requests, argv
            assert all("/namespaces/mine/pods" in r for r in p.agent.requests), p.agent.requests


def without_an_agent_it_says_what_to_type():
    with Place() as p:
        err = p.run("get", "pods", "--socket", os.path.join(p.dir, "none.sock"), status=1)[1]
        assert "no agent answers" in err and "wherry up" in err, err


def main():
    for part in (apply_tells_what_it_did, nothing_is_sent_when_one_manifest_is_bad,
                 get_prints_tables_and_objects, a_watch_shows_what_changes,
                 delete_waits_until_the_pod_is_gone, wait_ends_with_its_condition,
                 logs_are_printed_and_followed, up_follows_until_it_is_interrupted,
                 a_second_interrupt_leaves_at_once,
                 up_in_the_background_returns_when_ready_and_says_why_not,
                 a_pod_that_is_up_for_a_moment_only_is_not_ready_to_up,
                 a_pod_that_stays_up_is_ready_to_up_and_one_with_a_probe_at_once,
                 a_pod_that_is_gone_in_its_first_moment_is_not_ready_to_up,
                 wait_does_not_take_a_pod_that_crashes_for_ready,
                 up_starts_an_agent_and_ends_it_again,
                 the_namespace_of_the_environment_holds_for_every_command,
                 without_an_agent_it_says_what_to_type):
        tap.promise(part)
    tap.finish()


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pods over real workers, volumes and images: from a manifest to an end, and through every kill."""
import io
import os
import random
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from image_layout import Layout  # noqa: E402
from pods_client import LIBEXEC, Folder, kill_hard, pod  # noqa: E402
from registry import Registry, push_layout  # noqa: E402
from worker_client import Tap, build_guests, free_port, get, guest, lines, wait_until  # noqa: E402

tap = Tap()
SH = os.path.join(LIBEXEC, "toolbox.wasm")


def sh(name, script, **more):
    """A container that runs a script by the tool box."""
    return {"name": name, "image": SH, "command": ["sh", "-c", script], **more}


def reason(container):
    return next(iter(container["state"].values())).get("reason")


def exit_code(container):
    return container["state"]["terminated"]["exitCode"]


def test_to_the_end():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", {"name": "a", "image": guest("exitcode"), "args": ["0"]},
                                            restartPolicy="Never")))
        s = p.phase("u-1", "Succeeded")
        tap.equal("a pod runs to its end", reason(s["containerStatuses"][0]), "Completed")
        wait_until(lambda: not f.records(), "the record of the guest was forgotten")
        tap.ok("its record and log stay while it is wanted", len(f.left()) == 2, f.left())
        p.do("delete", "u-1", -1)
        p.expect("gone u-1")
        tap.equal("and nothing of it when it is gone", f.left(), [])
        p.do("add", "u-2", f.write("q", pod("q", {"name": "a", "image": guest("exitcode"), "args": ["7"]},
                                            restartPolicy="Never")))
        s = p.phase("u-2", "Failed")
        tap.equal("a guest's own status is the container's", exit_code(s["containerStatuses"][0]), 7)


def test_restarts():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", {"name": "a", "image": guest("exitcode"), "args": ["3"]})))
        wait_until(lambda: p.container("u-1", "a")["restartCount"] == 1, "it was started again")
        wait_until(lambda: reason(p.container("u-1", "a")) == "CrashLoopBackOff", "and then waits")
        tap.equal("what ended before is told", p.container("u-1", "a")["lastState"]["terminated"]["exitCode"], 3)
        p.do("restart", "u-1", "a")
        wait_until(lambda: p.container("u-1", "a")["restartCount"] >= 2, "who asks does not wait")
        tap.ok("a restart that is asked for comes at once", True)
        p.do("delete", "u-1", 1000)
        p.expect("gone u-1")


def test_inits():
    with Folder() as f:
        p = f.pods()
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
                 "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
        mount = [{"name": "v", "mountPath": "/v"}]
        one = pod("p", sh("main", "cat /v/list", volumeMounts=mount), restartPolicy="Never",
                  initContainers=[sh("i1", "echo one >>/v/list", volumeMounts=mount),
                                  sh("i2", "echo two >>/v/list", volumeMounts=mount)],
                  volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
        p.do("add", "u-1", f.write("p", claim, one))
        p.phase("u-1", "Succeeded")
        tap.equal("inits run one after another, and then the rest", p.log("u-1", "main"), "one\ntwo\n")
        p.do("delete", "u-1", -1)
        p.expect("gone u-1")
        with open(f.path("state/claims/default/c/list"), encoding="utf-8") as text:
            tap.equal("a claim outlives the pod", text.read(), "one\ntwo\n")


def test_environment_and_volumes():
    with Folder() as f:
        p = f.pods()
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": "value"}}
        script = "echo $A $HOSTNAME $PWD; cat /etc/app/key; echo; cat /empty/x; echo mine >/empty/x"
        one = pod("p", sh("main", script, workingDir="/etc/app",
                          env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "key"}}}],
                          volumeMounts=[{"name": "v", "mountPath": "/etc/app"},
                                        {"name": "e", "mountPath": "/empty"}]),
                  restartPolicy="Never",
                  volumes=[{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}])
        p.do("add", "u-1", f.write("p", one))
        wait_until(lambda: any("FailedMount" in e for e in p.events("u-1")), "the object is missed")
        tap.ok("a pod waits for what it refers to", p.status("u-1")["phase"] == "Pending")
        p.do("add", "-", f.write("c", config))
        p.do("changed", "config", "default", "c")
        p.expect("phase u-1 Succeeded")
        text = p.log("u-1", "main")
        tap.ok("a guest sees environment and volumes", text.startswith("value p /etc/app\nvalue\n"), text)


def test_arguments():
    with Folder() as f:
        p = f.pods()
        cases = {"none": ({}, ["args.wasm"]), "args": ({"args": ["x", "$(V)"]}, ["args.wasm", "x", "v"]),
                 "command": ({"command": ["c", "d"]}, ["c", "d"]),
                 "both": ({"command": ["c"], "args": ["x"]}, ["c", "x"])}
        for i, (name, (words, wanted)) in enumerate(cases.items()):
            one = pod(name, {"name": "a", "image": guest("args"), "env": [{"name": "V", "value": "v"}], **words},
                      restartPolicy="Never")
            p.do("add", f"u-{i}", f.write(name, one))
            p.phase(f"u-{i}", "Succeeded")
            tap.equal(f"a file with {name}", p.log(f"u-{i}", "a").splitlines(),
                      [f"argv[{k}]={w}" for k, w in enumerate(wanted)] + ["V=v", f"HOSTNAME={name}"])


def test_missing():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", {"name": "a", "image": "/nowhere/x.wasm"})))
        wait_until(lambda: reason(p.container("u-1", "a")) == "ErrImagePull", "there is no file")
        p.do("add", "u-2", f.write("q", pod("q", {"name": "a", "image": "localhost/x:1",
                                                  "imagePullPolicy": "Never"})))
        wait_until(lambda: reason(p.container("u-2", "a")) == "ErrImageNeverPull", "there is no image")
        p.do("add", "u-3", f.write("r", pod("r", {"name": "a", "image": "127.0.0.1:9/x:1"})))
        wait_until(lambda: reason(p.container("u-3", "a")) == "ErrImagePull", "there is no registry")
        message = p.container("u-3", "a")["state"]["waiting"]["message"]
        tap.ok("what went wrong with a registry is told", "127.0.0.1:9" in message, message)
        for i in (1, 2, 3):
            p.do("delete", f"u-{i}", 0)
            p.expect(f"gone u-{i}")
        tap.equal("pods that never ran leave nothing", f.left(), [])


def tar_of(name, path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(path, name)
    return out.getvalue()


def test_images():
    """Of a container's image, in Kubernetes' four cases; and of a registry."""
    with Folder() as f, Registry() as registry:
        layout = Layout(f.path("layout"))
        layout.tag("1", layout.container([tar_of("app.wasm", guest("args"))],
                                         {"Entrypoint": ["/app.wasm", "e"], "Cmd": ["c"], "Env": ["I=img", "V=img"]}))
        push_layout(layout.dir, "1", registry, "test/app")
        p, image = f.pods(), f"127.0.0.1:{registry.port}/test/app:1"
        cases = {"none": ({}, ["/app.wasm", "e", "c"]), "args": ({"args": ["x"]}, ["/app.wasm", "e", "x"]),
                 "command": ({"command": ["d"]}, ["d"]),
                 "both": ({"command": ["d"], "args": ["x"]}, ["d", "x"])}
        for name, (words, wanted) in cases.items():
            one = pod(name, {"name": "a", "image": image, "imagePullPolicy": "IfNotPresent",
                             "env": [{"name": "V", "value": "v"}], **words}, restartPolicy="Never")
            p.do("add", "u-" + name, f.write(name, one))
            s = p.phase("u-" + name, "Succeeded")
            got = p.log("u-" + name, "a").splitlines()
            tap.equal(f"an image with {name}", got[:-3], [f"argv[{k}]={w}" for k, w in enumerate(wanted)])
            tap.equal(f"and its variables with {name}", sorted(got[-3:]), [f"HOSTNAME={name}", "I=img", "V=v"])
        tap.ok("its digest is shown", s["containerStatuses"][0]["imageID"].startswith("sha256:"),
               s["containerStatuses"])
        said = [[e[1] for e in p.events("u-" + n)].count("Pulling") for n in cases]
        tap.equal("it was fetched once", said, [1, 0, 0, 0])


def test_http():
    with Folder() as f:
        p, port = f.pods(), free_port()
        c = {"name": "a", "image": guest("http/probe"), "ports": [{"containerPort": port}],
             "readinessProbe": {"httpGet": {"path": "/hello", "port": port}, "periodSeconds": 1}}
        file = f.write("p", pod("p", c))
        p.do("add", "u-1", file)
        wait_until(lambda: p.container("u-1", "a")["ready"], "it answers its probe")
        tap.equal("a component answers at its port", get(port, "/hello")[0], 200)
        p.do("add", "u-2", f.write("q", pod("q", dict(c, readinessProbe=None))))
        wait_until(lambda: any("PortInUse" in " ".join(e) or f"port {port}" in " ".join(e)
                               for e in p.events("u-2")), "the port is taken")
        tap.ok("a port that is taken is told, as a start that failed and is tried again later",
               p.container("u-2", "a")["restartCount"] == 0
               and reason(p.container("u-2", "a")) == "RunContainerError", p.container("u-2", "a"))
        p.do("restart", "u-2", "a")
        wait_until(lambda: p.container("u-2", "a")["restartCount"] == 1, "and counts")
        p.do("measure", "u-1")
        tap.equal("it can be measured", p.expect("figures u-1"), "figures u-1 a")
        p.kill()
        tap.equal("it answers while nobody supervises it", get(port, "/hello")[0], 200)
        p = f.pods([("u-1", file)])
        wait_until(lambda: p.container("u-1", "a")["ready"], "it was adopted")
        tap.equal("and after that", (get(port, "/hello")[0], p.container("u-1", "a")["restartCount"]), (200, 0))
        p.do("restart", "u-1", "a")
        wait_until(lambda: p.container("u-1", "a")["restartCount"] == 1, "started again")
        wait_until(lambda: p.container("u-1", "a")["ready"], "and ready")
        tap.equal("a restart gets the port again", get(port, "/hello")[0], 200)
        began = time.monotonic()
        p.do("delete", "u-1", 20000)
        p.expect("gone u-1")
        tap.ok("without requests it ends at once", time.monotonic() - began < 10)
        p.do("add", "u-3", f.write("r", pod("r", {"name": "a", "image": guest("exitcode"), "args": ["0"],
                                                  "ports": [{"containerPort": port}]}, restartPolicy="Never")))
        p.phase("u-3", "Succeeded")
        tap.ok("a command with ports runs as one", True)


def test_exec_and_hooks():
    with Folder() as f:
        p = f.pods()
        mount = {"volumeMounts": [{"name": "e", "mountPath": "/e"}]}
        c = sh("a", "while [ ! -e /e/hooked ]; do sleep 0.1; done; echo seen; sleep 1000",
               lifecycle={"postStart": {"exec": {"command": ["touch", "/e/hooked"]}},
                          "preStop": {"exec": {"command": ["touch", "/e/last"]}}},
               livenessProbe={"exec": {"command": ["test", "!", "-e", "/e/sick"]}, "periodSeconds": 1,
                              "failureThreshold": 1}, **mount)
        p.do("add", "u-1", f.write("p", pod("p", c, volumes=[{"name": "e", "emptyDir": {}}])))
        p.phase("u-1", "Running")
        wait_until(lambda: p.log("u-1", "a") == "seen\n", "the hook ran in the container")
        tap.ok("postStart runs in the container's volumes", True)
        tap.equal("exec does too", p.exec("u-1", "a", "test", "-e", "/e/hooked"), (0, "Completed"))
        tap.equal("with its own status", p.exec("u-1", "a", "false"), (1, "Error"))
        p.exec("u-1", "a", "touch", "/e/sick")
        wait_until(lambda: p.container("u-1", "a")["restartCount"] == 1, "a probe killed it")
        tap.ok("a liveness probe that fails restarts it", True)
        tap.ok("after preStop", os.path.exists(f.path("state/pods/u-1/volumes/e/last")))
        p.do("delete", "u-1", 0)
        p.expect("gone u-1")
        tap.equal("nothing is left", (f.left(), f.records()), ([], []))


def test_messages():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", sh("a", "echo because >/run/why; exit 2",
                                                    terminationMessagePath="/run/why"), restartPolicy="Never")))
        s = p.phase("u-1", "Failed")
        tap.equal("a termination message", s["containerStatuses"][0]["state"]["terminated"]["message"], "because\n")
        p.do("add", "u-2", f.write("q", pod("q", sh("a", "echo the log; exit 2",
                                                    terminationMessagePolicy="FallbackToLogsOnError"),
                                            restartPolicy="Never")))
        s = p.phase("u-2", "Failed")
        tap.equal("the log is one too", s["containerStatuses"][0]["state"]["terminated"]["message"], "the log\n")
        host = f.path("host")
        os.mkdir(host)
        message_in_volume(f, p, "u-3", "echo because >/deep/v/x/why; exit 2", "because\n",
                          {"emptyDir": {}}, "subPathExpr", "$(HOSTNAME)")
        message_in_volume(f, p, "u-4", "echo because >/deep/v/x/why; exit 2", "because\n",
                          {"hostPath": {"path": host}})
        os.utime(os.path.join(host, "x/why"), (1, 1))
        message_in_volume(f, p, "u-5", "exit 2", None, {"hostPath": {"path": host}})
        os.unlink(os.path.join(host, "x/why"))
        os.symlink("/etc/passwd", os.path.join(host, "x/why"))
        message_in_volume(f, p, "u-6", "exit 2", None, {"hostPath": {"path": host}})
        os.unlink(os.path.join(host, "x/why"))
        os.mkfifo(os.path.join(host, "x/why"))
        message_in_volume(f, p, "u-7", "exit 2", None, {"hostPath": {"path": host}})


def message_in_volume(f, p, uid, script, wanted, volume, *more):
    mounts = [{"name": "o", "mountPath": "/deep"}, {"name": "v", "mountPath": "/deep/v/",
                                                   **dict([more] if more else [])}]
    p.do("add", uid, f.write(uid, pod(uid, sh("a", f"mkdir -p /deep/v/x; {script}", volumeMounts=mounts,
                                              terminationMessagePath="/deep/v/x/why"),
                                      volumes=[{"name": "o", "emptyDir": {}}, {"name": "v", **volume}],
                                      restartPolicy="Never")))
    s = p.phase(uid, "Failed")["containerStatuses"][0]["state"]["terminated"]
    tap.equal(f"a termination message in a volume: {uid}", (s.get("message"), s["exitCode"]), (wanted, 2))


def test_stdin():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", {"name": "a", "image": guest("cat"), "stdin": True},
                                            restartPolicy="Never")))
        p.phase("u-1", "Running")
        time.sleep(0.5)
        began = time.monotonic()
        p.do("delete", "u-1", 20000)
        p.expect("phase u-1 Succeeded", "phase u-1 Failed")
        p.expect("gone u-1")
        tap.ok("a command is told by the end of its input", time.monotonic() - began < 10)


def test_worker_killed():
    with Folder() as f:
        p = f.pods()
        p.do("add", "u-1", f.write("p", pod("p", {"name": "a", "image": guest("sleep"), "args": ["100000"]})))
        p.phase("u-1", "Running")
        kill_hard(f.worker())
        wait_until(lambda: p.container("u-1", "a")["restartCount"] == 1, "it runs again")
        tap.equal("a guest whose worker died is lost and runs again",
                  p.container("u-1", "a")["lastState"]["terminated"]["reason"], "WorkerLost")
        p.kill()
        kill_hard(f.worker())
        p = f.pods([("u-1", f.path("p.json"))])
        wait_until(lambda: p.container("u-1", "a")["restartCount"] == 2, "lost while nobody looked")
        tap.ok("also when nobody was there to see it", True)
        wait_until(lambda: not f.records(), "the loss is noted in the pod's own record")
        tap.equal("and no note of it stays in the run folder", f.records(), [])


def test_delete_at_any_time():
    with Folder() as f:
        p = f.pods()
        for i in range(30):
            file = f.write(f"p{i}", pod(f"p{i}", {"name": "a", "image": guest("sleep"), "args": ["100000"]},
                                        volumes=[{"name": "e", "emptyDir": {}}]))
            p.do("add", f"u-{i}", file)
            time.sleep(random.random() * 0.03)
            p.do("delete", f"u-{i}", 0)
        for i in range(30):
            p.expect(f"gone u-{i}")
        wait_until(lambda: not f.records(), "all ends were forgotten")
        tap.equal("pods that are deleted while they start leave nothing", f.left(), [])


def test_closing():
    """Whatever is under way, a supervisor that closes takes everything of its own apart."""
    with Folder() as f:
        known = [("u-1", f.write("a", pod("a", {"name": "a", "image": guest("sleep"), "args": ["100000"],
                                                "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}))),
                 ("u-2", f.write("b", pod("b", sh("b", "exit 1"), restartPolicy="OnFailure"))),
                 ("u-3", f.write("c", pod("c", {"name": "c", "image": "127.0.0.1:9/x:1"})))]
        ends = []
        for i in range(12):
            p = f.pods(known)
            time.sleep(random.random() * 0.02 * (1 + i * i))
            if i % 2:
                p.do("measure", "u-1")
                p.do("restart", "u-2", "b")
            p.do("quit")
            ends.append(p.process.wait(60))
        tap.equal("it ends well at any time", ends, [0] * len(ends))


def test_no_record():
    with Folder() as f:
        p = f.pods()
        # Once this one is through, it is known what an earlier supervisor has left, which is removed.
        p.do("add", "u-0", f.write("o", pod("o", sh("a", "true"), restartPolicy="Never")))
        p.phase("u-0", "Succeeded")
        with open(f.path("state/pods/u-1"), "w", encoding="utf-8"):
            pass  # where the pod's folder would be
        p.do("add", "u-1", f.write("p", pod("p", sh("a", "echo x"), restartPolicy="Never")))
        wait_until(lambda: len([e for e in p.events("u-1") if e[1] == "RecordFailed"]) > 1, "it tries again")
        tap.equal("without a record nothing is done",
                  (os.listdir(f.path("logs/default_p_u-1/a")), p.status("u-1")["phase"]), ([], "Pending"))
        os.unlink(f.path("state/pods/u-1"))
        p.phase("u-1", "Succeeded")
        tap.equal("and with it everything", p.log("u-1", "a"), "x\n")


def test_bad_record():
    with Folder() as f:
        p = f.pods()
        file = f.write("p", pod("p", {"name": "a", "image": guest("sleep"), "args": ["100000"]}))
        p.do("add", "u-1", file)
        p.phase("u-1", "Running")
        p.kill()
        with open(f.path("state/pods/u-1/record.json"), "w", encoding="utf-8") as record:
            record.write("{")
        os.makedirs(f.path("state/pods/u-9/volumes/x"))
        os.makedirs(f.path("logs/a_b_u-9"))
        p = f.pods([("u-1", file)])
        s = p.phase("u-1", "Failed")
        tap.equal("a pod whose record cannot be read is not started", s["reason"], "BadRecord")
        wait_until(lambda: len(f.left()) == 2, "folders of no pod go")
        tap.ok("folders of no pod are removed", True)


def test_kills(rounds):
    """Guests write a line each time they are started, whatever is killed when."""
    with Folder() as f:
        os.mkdir(f.path("nonces"))
        known = []
        for name, script in (("forever", "echo x >>/n/forever; sleep 1000"),
                             ("short", "echo x >>/n/short; sleep 0.2"),
                             ("once", "echo x >>/n/once; sleep 1")):
            one = pod(name, sh("a", script, volumeMounts=[{"name": "n", "mountPath": "/n"}]),
                      volumes=[{"name": "n", "hostPath": {"path": f.path("nonces")}}],
                      restartPolicy="OnFailure" if name == "once" else "Always")
            known.append((f"u-{name}", f.write(name, one)))
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        p = f.pods(known)
        for i in range(rounds):
            time.sleep(chance.random() * (0.05 if i % 3 else 0.7))
            if i % 4 == 3:
                p.do("restart", "u-short", "a")
            p.kill()
            p = f.pods(known)
        wait_until(lambda: p.status("u-once")["phase"] == "Succeeded", "the one ends")
        for name in ("forever", "short", "once"):
            def is_equal(name=name):
                return p.container(f"u-{name}", "a")["restartCount"] + 1 == len(lines(f.path("nonces", name)))
            wait_until(is_equal, f"{name}: {len(lines(f.path('nonces', name)))} starts (seed {seed})")
            tap.ok(f"{name} was started as often as it is said to have been", is_equal())
        tap.equal("who never ended was started once", len(lines(f.path("nonces", "forever"))), 1)
        tap.equal("who ended well was not started again", len(lines(f.path("nonces", "once"))), 1)
        for uid, _ in known:
            p.do("delete", uid, 0)
            p.expect(f"gone {uid}")
        wait_until(lambda: not f.records(), "nothing is recorded any more")
        tap.equal("nothing is left", f.left(), [])


build_guests("exitcode", "sleep", "args", "cat", "http/probe")
for name, test in sorted(globals().items()):
    if name.startswith("test_") and (len(sys.argv) < 2 or name in sys.argv[1:]):
        if name == "test_kills":
            test(int(os.environ.get("ROUNDS", "40" if os.environ.get("FULL") == "1" else "10")))
        else:
            test()
tap.finish()

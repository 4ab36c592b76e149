#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shim as a kubelet sees it: pods by CRI, under a containerd of each version. With FULL=1 all of
it, also under those BETWEEN; with PART=WORD only the parts that have it in their names, with
VERSION=1.6 only under that one."""
import base64
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests/containerd")]
import daemon  # noqa: E402
import images  # noqa: E402
from worker_client import PATIENCE_S, Tap, wait_until  # noqa: E402

tap = Tap()
PARENT = f"/wherry-test-pods-{os.getpid()}"  # of control groups
PORTS = "io.kubernetes.container.ports"


class Case:
    """A daemon with the images and folders of this test; pods are removed at the end of each part."""

    def __init__(self, d):
        self.d, self.cri, self.pods = d, d.cri, []
        self.folder = tempfile.mkdtemp(prefix="wherry-cri-")
        # In the form that both versions unpack for a pod.
        wanted = {n.rsplit("/", 1)[-1]: images.wasm(n, "compat") for n in (
            "http/probe", "toolbox", "exitcode", "trap", "grow", "loop")}
        wanted.update(busybox=images.busybox(), redis=images.redis(), nginx=images.nginx())
        wanted = {k: v for k, v in wanted.items() if v}
        self.images = dict(zip(wanted, d.load_cri(*wanted.values())))

    def pod(self, name, handler="wherry", **config):
        logs = os.path.join(self.folder, f"{name}-{len(self.pods)}")
        os.mkdir(logs)
        pod = self.cri.run_pod(name, handler, log_directory=logs, **config)
        self.pods.append(pod)
        return pod

    def start(self, pod, name, image, *args, linux=None, **config):
        # A kubelet says so unless a pod shares its processes.
        linux = linux or {}
        security = linux.get("security_context", {})
        linux = {**linux, "security_context": {"namespace_options": {"pid": "CONTAINER"}, **security}}
        return pod.start(name, self.images[image], *args, linux=linux, **config)

    def wasm(self, *args, **config):
        return self.start(*args, **config)

    def shell(self, pod, name, script, **config):
        """A command of WebAssembly."""
        return self.wasm(pod, name, "toolbox", "sh", "-c", script, **config)

    def native(self, pod, name, script, **config):
        return self.start(pod, name, "busybox", "sh", "-c", script, **config)

    def said(self, pod, name):
        return [text for _, text in pod.log(name)]

    def pid(self, container):
        info = self.cri("ContainerStatus", container_id=container, verbose=True)["info"]["info"]
        return json.loads(info)["pid"]

    def sync(self, container, *cmd, timeout=0):
        """(status, stdout, stderr) by ExecSync, as a kubelet's probes have it."""
        answer = self.cri("ExecSync", container_id=container, cmd=list(cmd), timeout=timeout)
        return (answer["exit_code"], *(base64.b64decode(answer[k]).decode()
                                       for k in ("stdout", "stderr")))

    def remove(self):
        for pod in self.pods:
            pod.remove()
        self.pods = []


def get(pod, port, path, is_awaited=True):
    ip = pod.status()["network"]["ip"]
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{ip}:{port}/{path}", timeout=PATIENCE_S) as r:
                return r.read().decode()
        except urllib.error.URLError:
            if not is_awaited or time.monotonic() > end:
                raise
            time.sleep(0.01)


def b64(text):
    """As JSON has bytes."""
    return base64.b64encode(text.encode()).decode()


def ports(*numbers):
    return {PORTS: json.dumps([{"containerPort": n, "protocol": "TCP"} for n in numbers])}


# ---- A pod -----------------------------------------------------------------------------------


def containers_of_a_pod_reach_each_other(case):
    pod = case.pod("mixed")
    web = case.wasm(pod, "web", "probe", annotations=ports(8000))
    case.wasm(pod, "usual", "probe")
    case.native(pod, "native", "httpd -p 8081 -h /etc; sleep 1000")
    case.start(pod, "redis", "redis")
    if "nginx" in case.images:
        case.start(pod, "nginx", "nginx")
    assert get(pod, 8000, "hello").strip() == "hello", "the declared port"
    assert get(pod, 8080, "hello").strip() == "hello", "8080 without one"
    if "nginx" in case.images:
        assert get(pod, 80, "") == "hello from nginx\n"
        assert get(pod, 8000, "fetch?http://127.0.0.1:80/").startswith("status 200")
    get(pod, 8081, "group")
    assert "user:x" in get(pod, 8000, "fetch?http://localhost:8081/passwd")
    status, out, err = case.cri.exec(web, "wget", "-q", "-O", "-", "http://127.0.0.1:8081/group")
    assert (status, b"extra:x" in out) == (0, True), (status, out, err)
    client = case.shell(pod, "client", "wget -q -O - http://localhost:8000/hello")
    assert case.cri.wait_exit(client)["exit_code"] == 0
    assert case.said(pod, "client") == ["hello"], pod.log("client")
    back = case.native(pod, "back", "wget -q -O - http://127.0.0.1:8000/hello; "
                       "until printf 'PING\\r\\n' | nc 127.0.0.1 6379 | grep PONG; do :; done")
    assert case.cri.wait_exit(back)["exit_code"] == 0
    assert [t.strip() for t in case.said(pod, "back")] == ["hello", "+PONG"], pod.log("back")


def logs_are_those_of_a_kubelet(case):
    pod = case.pod("logs")
    case.cri.wait_exit(case.shell(pod, "wasm", "echo out; echo err >&2; printf cut"))
    case.cri.wait_exit(case.native(pod, "native", "echo out; echo err >&2; printf cut"))
    web = case.wasm(pod, "web", "probe")
    get(pod, 8080, "stdout")
    case.cri("StopContainer", container_id=web, timeout=5)
    line = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) (stdout|stderr) [FP] .*$")
    for name in ("wasm", "native", "web"):
        with open(os.path.join(pod.config["log_directory"], name + ".log"), encoding="utf-8") as f:
            for text in f:
                assert line.match(text), (name, text)
    for name in ("wasm", "native"):
        assert sorted(pod.log(name)) == [("stderr", "err"), ("stdout", "cut"), ("stdout", "out")], \
            pod.log(name)
    assert {stream for stream, _ in pod.log("web")} == {"stdout", "stderr"}, pod.log("web")


# ---- Exec, attach, forward ---------------------------------------------------------------------


def commands_are_executed_in_wasm_and_native(case):
    pod = case.pod("exec")
    web = case.wasm(pod, "web", "probe", envs=[{"key": "WORD", "value": b64("x y")}])
    native = case.native(pod, "native", "sleep 1000")
    for c in (web, native):
        assert case.sync(c, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
        assert case.cri.exec(c, "sh", "-c", "echo out; echo err >&2; exit 7") == \
            (7, b"out\n", b"err\n")
        assert case.cri.exec(c, "cat", data=b"in\n" * 100000) == (0, b"in\n" * 100000, b"")
    assert "app.wasm" in case.sync(web, "ls", "/")[1].split(), case.sync(web, "ls", "/")
    assert "WORD=x y\n" in case.sync(web, "env")[1]
    assert "app.wasm" in case.sync(web, "ps")[1], case.sync(web, "ps")
    status, _, err = case.sync(web, "no-such-tool")
    assert status == 127 and "no-such-tool" in err, (status, err)
    status, _, err = case.cri.exec(web, "no-such-tool")
    assert status == 127 and b"no-such-tool" in err, (status, err)
    # A module of the image.
    main = case.shell(pod, "main", "sleep 1000")
    assert case.sync(main, "/app.wasm", "echo", "other") == (0, "other\n", "")


def an_exec_has_a_terminal(case):
    pod = case.pod("tty")
    for c in (case.wasm(pod, "web", "probe"), case.native(pod, "native", "sleep 1000")):
        sizes, feed = os.pipe()
        with case.cri.stream("exec", {"container_id": c, "cmd": ["sh"], "tty": True,
                                      "stdin": True, "stdout": True}, stdin=subprocess.PIPE,
                             sizes_fd=sizes) as p:
            os.close(sizes)
            os.write(feed, b"97 31\n")
            p.stdin.write(b"echo a$((1+1))\n")
            p.stdin.flush()
            seen = b""
            while b"a2\r\n" not in seen:
                part = os.read(p.stdout.fileno(), 4096)
                assert part, (seen, p.stderr.read())
                seen += part
            p.stdin.write(b"exit 9\n")
            p.stdin.flush()
            assert p.wait(PATIENCE_S) == 9
            os.close(feed)


def an_exec_that_takes_too_long_is_ended(case):
    pod = case.pod("late")
    for c in (case.wasm(pod, "web", "probe"), case.native(pod, "native", "sleep 1000")):
        try:
            case.sync(c, "sleep", "54321", timeout=1)
            raise AssertionError("it did not fail")
        except daemon.CriError as e:
            assert e.code == "DeadlineExceeded" or "timeout" in e.message, e
        wait_until(lambda: "sleep" not in case.sync(c, "ps")[1].replace("sleep 1000", ""),
                   "the command is gone")


def a_container_is_attached_to(case):
    pod = case.pod("attach")
    for kind in (case.shell, case.native):
        c = kind(pod, kind.__name__, "read a; echo got $a; read b; echo got $b; exit 3", stdin=True,
                 stdin_once=True)
        with case.cri.stream("attach", {"container_id": c, "stdin": True, "stdout": True,
                                        "stderr": True}, stdin=subprocess.PIPE) as p:
            out, _ = p.communicate(b"one\ntwo\n", PATIENCE_S)
        assert out == b"got one\ngot two\n", (kind, out)
        assert case.cri.wait_exit(c)["exit_code"] == 3


def a_container_with_a_terminal_is_attached_to(case):
    pod = case.pod("attach-tty")
    for kind in (case.shell, case.native):
        c = kind(pod, kind.__name__, "read a; echo got $a; exit 4", stdin=True, tty=True)
        with case.cri.stream("attach", {"container_id": c, "stdin": True, "stdout": True,
                                        "tty": True}, stdin=subprocess.PIPE) as p:
            p.stdin.write(b"one\n")
            p.stdin.flush()
            out = p.stdout.read()
        assert b"got one\r\n" in out, (kind, out)
        assert case.cri.wait_exit(c)["exit_code"] == 4


def a_port_is_forwarded(case):
    pod = case.pod("forward")
    case.wasm(pod, "web", "probe", annotations=ports(8000))
    get(pod, 8000, "hello")
    with case.cri.stream("port-forward", pod.id, 8000, stdin=subprocess.PIPE) as p:
        port = int(p.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=PATIENCE_S) as r:
            assert r.read().strip() == b"hello"
        p.stdin.close()
        p.wait(PATIENCE_S)


def a_container_is_started_again_in_its_pod(case):
    pod = case.pod("again")
    for attempt in range(3):
        c = pod.create("web", case.images["probe"],
                       metadata={"name": "web", "attempt": attempt},
                       log_path=f"web-{attempt}.log")
        case.cri("StartContainer", container_id=c)
        assert get(pod, 8080, "hello").strip() == "hello"
        case.cri("StopContainer", container_id=c, timeout=5)
        if attempt:
            case.cri("RemoveContainer", container_id=c)


# ---- Ends --------------------------------------------------------------------------------------


def an_end_is_told_with_its_status(case):
    pod = case.pod("ends", annotations={"wherry.dev/timeout.late": "200ms"})
    for name, guest, args, code in (("zero", "exitcode", ["0"], 0), ("some", "exitcode", ["42"], 42),
                                    ("trap", "trap", [], 134), ("late", "loop", [], 124)):
        s = case.cri.wait_exit(case.wasm(pod, name, guest, *args))
        assert s["exit_code"] == code, s
        assert s["reason"] == ("Error" if code else "Completed"), s
        # containerd notes the start after the answer to it.
        assert int(s["created_at"]) < int(s["finished_at"]), s
    assert any("wasm" in t for t in case.said(pod, "trap")), pod.log("trap")


def a_stop_is_heeded_at_once(case):
    pod = case.pod("stop")
    got = {}
    for name, c in (("command", case.shell(pod, "command", "sleep 1000")),
                    ("busy", case.wasm(pod, "busy", "loop")),
                    ("web", case.wasm(pod, "web", "probe")),
                    ("native", case.native(pod, "native", "trap 'exit 5' TERM; sleep 1000 & wait"))):
        if name == "web":
            get(pod, 8080, "hello")
        # Whoever does not heed it is killed, which is status 137.
        case.cri("StopContainer", container_id=c, timeout=25)
        got[name] = case.cri.state(c)["exit_code"]
    assert got == {"command": 143, "busy": 143, "web": 0, "native": 5}, got


def nothing_of_a_container_outlives_its_first_process(case):
    pod = case.pod("hostpid")
    c = case.native(pod, "native", "sleep 4321 & sleep 1000 & echo begun; exit 6", linux={
        "security_context": {"namespace_options": {"pid": "NODE"}}})
    assert case.cri.wait_exit(c)["exit_code"] == 6
    said = subprocess.run(["pgrep", "-fx", "sleep 4321"], stdout=subprocess.PIPE).stdout
    assert not said, said


def a_pod_that_would_name_the_machine_is_refused(case):
    shared = {"security_context": {"namespace_options": {"network": "NODE"}}}
    try:
        case.pod("shared", hostname="other", linux=shared)
    except daemon.CriError as e:
        assert "'other' would be the machine's" in e.message, e
    else:
        raise AssertionError("it has the name")


def a_kill_ends_what_does_not_heed(case):
    pod = case.pod("kill")
    c = case.native(pod, "native", "trap '' TERM; while true; do sleep 1; done")
    case.cri("StopContainer", container_id=c, timeout=1)
    assert case.cri.state(c)["exit_code"] == 137, case.cri.state(c)
    c = case.wasm(pod, "busy", "loop")
    case.cri("StopContainer", container_id=c, timeout=0)
    assert case.cri.state(c)["exit_code"] == 137, case.cri.state(c)


def memory_over_the_limit_is_said_to_be_it(case):
    pod = case.pod("oom")
    limit = {"resources": {"memory_limit_in_bytes": str(48 << 20)}}
    c = case.wasm(pod, "wasm", "grow", "trap", linux=limit)
    s = case.cri.wait_exit(c)
    wait_until(lambda: case.cri.state(c)["reason"] == "OOMKilled", "OOMKilled: " + str(s))
    c = case.native(pod, "native", "x=0123456789; while true; do x=$x$x; done", linux=limit)
    s = case.cri.wait_exit(c)
    wait_until(lambda: case.cri.state(c)["reason"] == "OOMKilled", "OOMKilled: " + str(s))
    assert s["exit_code"] == 137, s
    assert "/tasks/oom" in dict(case.d.events.of(c, "/tasks/oom"))
    # A guest that is refused and ends by itself was not killed.
    c = case.wasm(pod, "refused", "grow", linux=limit)
    s = case.cri.wait_exit(c)
    assert (s["exit_code"], s["reason"]) == (7, "Error"), s
    assert 10 < int(case.said(pod, "refused")[0].split()[0]) <= 48, pod.log("refused")


def broken_images(case):
    """Images whose program is broken, by name."""
    good = images.read(images.guest("nop"))
    found = {}
    for name, data in (
            ("cut", good[:len(good) // 2]), ("garbage", b"\0asm\1\0\0\0\xff\xff\xff"),
            ("imports", b"\0asm\1\0\0\0\1\4\1\x60\0\0\2\x0b\1\3env\3foo\0\0"
             b"\3\2\1\0\7\x0a\1\6_start\0\1\x0a\4\1\2\0\x0b"),
            ("text", b"#! nothing that can be executed\n")):
        path = os.path.join(case.folder, name + ".wasm")
        with open(path, "wb") as f:
            f.write(data)
        found[name] = images.Image(f"localhost/broken-{name}:1", "/".join(images.PLATFORM), [path],
                                   lambda layout, data=data, name=name: layout.container(
            [("", images.layer({f"/{name}.wasm": data}))], {"Entrypoint": [f"/{name}.wasm"]},
            os_name=images.PLATFORM[0], architecture=images.PLATFORM[1]))
    return dict(zip(found, case.d.load_cri(*found.values())))


def a_program_that_cannot_run_is_named(case):
    case.images.update(broken_images(case))
    pod = case.pod("broken")
    kept = case.shell(pod, "kept", "sleep 1000")
    said = {}
    for name in ("cut", "garbage", "imports", "text", "none"):
        try:
            c = case.start(pod, name, name) if name != "none" else \
                case.start(pod, name, "toolbox", command=["/none.wasm"])
            s = case.cri.wait_exit(c)
            said[name] = f"{s['exit_code']} {s['message']} {pod.log(name)}"
        except daemon.CriError as e:
            said[name] = e.message
    for name, text in said.items():
        assert f"{name}.wasm" in text, (name, text)
    assert "foo" in said["imports"] and "env" in said["imports"], said["imports"]
    assert case.cri.state(kept)["state"] == "CONTAINER_RUNNING"
    assert case.sync(kept, "echo", "x")[1] == "x\n"


# ---- Limits and figures --------------------------------------------------------------------------


def group_file(pid, name, controller="memory"):
    """The path of a file of its control group, of either version."""
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        for line in f:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if controller in controllers.split(","):
                return f"/sys/fs/cgroup/{controllers}{path}/{name}"
            if not controllers:
                unified = path
    return f"/sys/fs/cgroup{unified}/{name}"


def group_read(pid, controller, v1, v2):
    for name in (v1, v2):
        try:
            with open(group_file(pid, name, controller), encoding="ascii") as f:
                return f.read().split()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(v1)


def limits_are_those_of_the_control_group(case):
    pod = case.pod("limits", linux={"cgroup_parent": PARENT})
    for kind in (case.shell, case.native):
        c = kind(pod, kind.__name__, "sleep 1000", linux={"resources": {
            "memory_limit_in_bytes": str(64 << 20), "cpu_period": "100000", "cpu_quota": "50000",
            "cpu_shares": "512"}})
        pid = case.pid(c)
        assert PARENT + "/" in group_file(pid, "x"), group_file(pid, "x")
        assert group_read(pid, "memory", "memory.limit_in_bytes", "memory.max") == [str(64 << 20)]
        assert group_read(pid, "cpu", "cpu.cfs_quota_us", "cpu.max")[0] == "50000"
        case.cri("UpdateContainerResources", container_id=c, linux={
            "memory_limit_in_bytes": str(96 << 20), "cpu_period": "100000", "cpu_quota": "20000",
            "cpu_shares": "256"})
        assert group_read(pid, "memory", "memory.limit_in_bytes", "memory.max") == [str(96 << 20)]
        assert group_read(pid, "cpu", "cpu.cfs_quota_us", "cpu.max")[0] == "20000"


def figures_are_plausible(case):
    pod = case.pod("figures", linux={"cgroup_parent": PARENT})
    busy = case.wasm(pod, "busy", "loop")
    idle = case.shell(pod, "idle", "sleep 1000")
    native = case.native(pod, "native", "sleep 1000")

    def cpu(c):
        stats = case.cri("ContainerStats", container_id=c)["stats"]
        return int(stats["cpu"]["usage_core_nano_seconds"]["value"])

    first = cpu(busy)
    wait_until(lambda: cpu(busy) > first + 50_000_000, "the processor time of a busy guest rises")
    for c in (busy, idle, native):
        stats = case.cri("ContainerStats", container_id=c)["stats"]
        used = int(stats["memory"]["working_set_bytes"]["value"])
        assert 100_000 < used < 64 << 20, stats
        pid = case.pid(c)
        usage = int(group_read(pid, "memory", "memory.usage_in_bytes", "memory.current")[0])
        assert used <= usage + (4 << 20), (used, usage)
    assert cpu(idle) < 5e9
    listed = {s["attributes"]["id"] for s in case.cri("ListContainerStats")["stats"]}
    assert {busy, idle, native} <= listed
    stats = case.cri("PodSandboxStats", pod_sandbox_id=pod.id)["stats"]
    assert int(stats["linux"]["process"]["process_count"]["value"]) >= 3, stats
    assert int(stats["linux"]["memory"]["working_set_bytes"]["value"]) > 0, stats
    assert {c["attributes"]["id"] for c in stats["linux"]["containers"]} == {busy, idle, native}


# ---- Security ------------------------------------------------------------------------------------


def proc_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def a_security_context_holds(case):
    pod = case.pod("secure")
    secret = os.path.join(case.folder, "secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write("hidden\n")
    os.chmod(secret, 0o600)
    mount = [{"container_path": "/secret", "host_path": secret}]
    for kind in (case.shell, case.native):
        name = kind.__name__
        c = kind(pod, name, "cat /secret; echo x > /new; echo $?; sleep 1000", mounts=mount,
                 linux={"security_context": {
                     "run_as_user": {"value": "1000"}, "run_as_group": {"value": "1000"},
                     "supplemental_groups": ["2000", "3000"], "readonly_rootfs": True,
                     "no_new_privs": True, "capabilities": {"drop_capabilities": ["ALL"]},
                     "seccomp": {"profile_type": "RuntimeDefault"}}})
        s = proc_status(case.pid(c))
        assert s["Uid"].split() == ["1000"] * 4 and s["Gid"].split() == ["1000"] * 4, s
        assert {"2000", "3000"} <= set(s["Groups"].split()), s["Groups"]
        assert (s["NoNewPrivs"], s["Seccomp"], int(s["CapEff"], 16), int(s["CapBnd"], 16)) == \
            ("1", "2", 0, 0), s
        wait_until(lambda: len(pod.log(name)) >= 3, "its words: " + str(pod.log(name)))
        said = "\n".join(case.said(pod, name))
        assert "hidden" not in said and "ermission denied" in said, said
        status, out, err = case.sync(c, "cat", "/secret")
        assert (status, out) == (1, ""), (status, out, err)
    c = case.shell(pod, "capable", "sleep 1000", linux={"security_context": {
        "capabilities": {"drop_capabilities": ["CHOWN"], "add_capabilities": ["NET_ADMIN"]}}})
    s = proc_status(case.pid(c))
    bounding = int(s["CapBnd"], 16)
    assert not bounding & 1 and bounding >> 12 & 1, s


def a_system_call_filter_lets_guests_work(case):
    profile = os.path.join(case.folder, "profile.json")
    with open(profile, "w", encoding="ascii") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}, f)
    pod = case.pod("filtered")
    for i, (seccomp, mode) in enumerate((({"profile_type": "RuntimeDefault"}, "2"),
                                         ({"profile_type": "Unconfined"}, "0"),
                                         ({"profile_type": "Localhost", "localhost_ref": profile},
                                          "2"))):
        linux = {"security_context": {"seccomp": seccomp}}
        web = case.wasm(pod, f"web{i}", "probe", linux=linux, annotations=ports(8000 + i))
        assert get(pod, 8000 + i, "hello").strip() == "hello"
        assert proc_status(case.pid(web))["Seccomp"] == mode, seccomp
        c = case.shell(pod, f"command{i}", "mkdir /d && echo made; true", linux=linux)
        assert case.cri.wait_exit(c)["exit_code"] == 0
        assert ("made" in case.said(pod, f"command{i}")) == (i != 2), pod.log(f"command{i}")
        assert case.sync(web, "echo", "x")[1] == "x\n"


# ---- Files ---------------------------------------------------------------------------------------


def mounts_are_seen(case):
    root = os.path.join(case.folder, "mounts")
    for name in ("rw", "ro", "sub/a", "inner"):
        os.makedirs(os.path.join(root, name))
    for name in ("rw/f", "ro/f", "sub/a/f", "inner/f", "file"):
        with open(os.path.join(root, name), "w", encoding="ascii") as f:
            f.write(name + "\n")

    def mount(path, source, readonly=False):
        return {"container_path": path, "host_path": os.path.join(root, source),
                "readonly": readonly}

    pod = case.pod("files", hostname="host-of-pod",
                   dns_config={"servers": ["198.18.255.1"], "searches": ["a.example"]})
    hosts = os.path.join(root, "hosts")
    with open(hosts, "w", encoding="ascii") as f:
        f.write("127.0.0.1 localhost\n127.0.0.1 other.example\n")
    mounts = [mount("/rw", "rw"), mount("/ro", "ro", True), mount("/one/file", "file"),
              mount("/sub", "sub/a"), mount("/rw/inner", "inner"), mount("/etc/hosts", "hosts")]
    script = ("cat /rw/f /ro/f /one/file /sub/f /rw/inner/f; echo new > /rw/new; "
              "echo x > /ro/new || echo refused; cat /etc/resolv.conf; "
              "echo shm > /dev/shm/x && cat /dev/shm/x; "
              "wget -q -O - http://%s:8080/hello")
    case.wasm(pod, "web", "probe")
    get(pod, 8080, "hello")
    for kind in (case.shell, case.native):
        name = kind.__name__
        # Busybox asks the server of the pod, which is not there, before it looks into the file.
        host = "other.example" if kind == case.shell else "127.0.0.1"
        c = kind(pod, name, script % host, mounts=mounts)
        s = case.cri.wait_exit(c)
        said = [t for stream, t in pod.log(name) if stream == "stdout"]
        assert said[:6] == ["rw/f", "ro/f", "file", "sub/a/f", "inner/f", "refused"], pod.log(name)
        assert "nameserver 198.18.255.1" in said and "search a.example" in said, said
        assert said[-2:] == ["shm", "hello"], pod.log(name)
        assert os.path.exists(os.path.join(root, "rw/new"))
        os.unlink(os.path.join(root, "rw/new"))
        assert not os.path.exists(os.path.join(root, "ro/new"))


# ---- Restart -------------------------------------------------------------------------------------


def is_serving(cri):
    try:
        return cri("Version") and cri("ListContainers") is not None
    except daemon.CriError as e:
        if e.code not in ("Unavailable", "Unknown"):
            raise
        return False


def a_restart_of_containerd_is_survived(case):
    pods = [case.pod(f"kept{i}") for i in range(10)]
    web = [case.wasm(p, "web", "probe") for p in pods]
    ticks = [case.shell(p, "ticks", "i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.2; done")
             for p in pods[:3]]
    native = case.native(pods[0], "native", "while true; do echo tick; sleep 0.2; done")
    for p in pods:
        get(p, 8080, "hello")
    case.d.restart()
    wait_until(lambda: is_serving(case.cri), "CRI serves again")
    for p in pods:
        assert p.status()["state"] == "SANDBOX_READY", p.status()
    for c in (*web, *ticks, native):
        assert case.cri.state(c)["state"] == "CONTAINER_RUNNING"
    for p, c in zip(pods, web):
        assert get(p, 8080, "hello").strip() == "hello"
        assert case.sync(c, "echo", "x")[1] == "x\n"
    for p, name in ((pods[0], "ticks"), (pods[0], "native")):
        n = len(p.log(name))
        wait_until(lambda p=p, name=name, n=n: len(p.log(name)) > n + 2, f"the log of {name} goes on")
    case.cri("StopContainer", container_id=ticks[0], timeout=30)
    assert case.cri.state(ticks[0])["exit_code"] == 143
    case.cri("StopContainer", container_id=web[0], timeout=30)
    assert case.cri.state(web[0])["exit_code"] == 0


# The rest only with FULL=1; what is fast is under one version each.
FAST = {"1.6": (commands_are_executed_in_wasm_and_native, a_stop_is_heeded_at_once,
                a_security_context_holds),
        "2.4": (containers_of_a_pod_reach_each_other, an_end_is_told_with_its_status,
                a_container_is_attached_to, logs_are_those_of_a_kubelet, an_exec_has_a_terminal,
                a_port_is_forwarded, memory_over_the_limit_is_said_to_be_it,
                limits_are_those_of_the_control_group, figures_are_plausible)}
ALL = (containers_of_a_pod_reach_each_other, logs_are_those_of_a_kubelet,
       commands_are_executed_in_wasm_and_native, an_exec_has_a_terminal, a_container_is_attached_to,
       a_container_with_a_terminal_is_attached_to, a_port_is_forwarded,
       a_container_is_started_again_in_its_pod, an_end_is_told_with_its_status,
       a_stop_is_heeded_at_once, nothing_of_a_container_outlives_its_first_process,
       memory_over_the_limit_is_said_to_be_it, a_program_that_cannot_run_is_named,
       limits_are_those_of_the_control_group, figures_are_plausible, a_security_context_holds,
       a_system_call_filter_lets_guests_work, mounts_are_seen, an_exec_that_takes_too_long_is_ended,
       a_kill_ends_what_does_not_heed, a_pod_that_would_name_the_machine_is_refused,
       a_restart_of_containerd_is_survived)


def run(version, is_full):
    with daemon.Containerd(version) as d:
        case = Case(d)
        try:
            for part in ALL if is_full else FAST.get(version, ALL):
                try:
                    tap.promise(part, case)
                finally:
                    case.remove()
        finally:
            shutil.rmtree(case.folder)
    for group in glob.glob(f"/sys/fs/cgroup{PARENT}") + glob.glob(f"/sys/fs/cgroup/*{PARENT}"):
        os.rmdir(group)
    tap.equal(f"{version}: nothing is left", d.left, [])


def main():
    versions = daemon.wanted_versions()
    daemon.peers(versions)
    for version in versions:
        run(version, os.environ.get("FULL") == "1")
    tap.finish()


main()

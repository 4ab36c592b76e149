#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pods' sandboxes: PID namespaces that containers share, containerd's sandbox API, what a pod's
containers have in common, and that nothing is left of them, also after a kill of the shim."""
import json
import os
import signal
import sys
import tempfile
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../containerd")]
import daemon  # noqa: E402
import images  # noqa: E402
from serve_client import IS_FULL, tap  # noqa: E402
from worker_client import wait_until  # noqa: E402

SHIM = {"runtime_type": daemon.WHERRY, "sandboxer": "shim", "disable_pause_image_pull": True,
        "pod_annotations": ["*"], "container_annotations": ["*"]}


def namespaces(**options):
    return {"linux": {"security_context": {"namespace_options": options}}}


def get(address, path="/hello"):
    """The body, once the server listens."""
    found = []

    def is_there():
        try:
            with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=5) as answer:
                found.append(answer.status)
        except OSError:
            return False
        return True

    wait_until(is_there, "the server answers")
    return found[0]


def error_of(call, *args, **options):
    try:
        call(*args, **options)
    except daemon.CriError as e:
        return str(e)
    return None


def said(d, container, *argv):
    return d.cri.exec(container, *argv)[1].decode().strip()


def shim_pid(d, container):
    """The parent of the container's process."""
    info = d.cri("ContainerStatus", container_id=container, verbose=True)["info"]["info"]
    pid = json.loads(info)["pid"]
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def pid_namespaces(d, handler, name, busybox, wasm, logs):
    shared = namespaces(pid="POD")
    pod = d.cri.run_pod(name, handler, log_directory=logs, **shared)
    first = pod.start("first", busybox, "sh", "-c", "sleep 1000 & exec sleep 1001", **shared)
    second = pod.start("second", busybox, "sleep", "1002", **shared)
    guest = pod.start("guest", wasm, "/app.wasm", **shared)
    seen = said(d, second, "ps", "-o", "args")
    tap.ok(f"{name}: containers of a pod see each other's processes, and none of the machine's",
           "sleep 1001" in seen and "sleep 1002" in seen and len(seen.splitlines()) == 6, seen)
    inside = said(d, second, "readlink", "/proc/self/ns/pid")
    tap.ok(f"{name}: that is not the machine's PID namespace",
           inside and inside != os.readlink("/proc/self/ns/pid"), inside)
    target = namespaces(pid="TARGET", target_id=guest)
    debug = pod.create("debug", busybox, "sleep", "1", **target)
    why = error_of(d.cri, "StartContainer", container_id=debug)
    tap.ok(f"{name}: a WebAssembly container has no PID namespace to join",
           why and "a WebAssembly container has no PID namespace" in why, why)
    d.cri("StopContainer", container_id=first, timeout=0)
    seen = said(d, second, "ps", "-o", "args")
    tap.ok(f"{name}: with the first process of a container its others end", "sleep 1000" not in seen,
           seen)
    pod.remove()
    node = namespaces(pid="NODE")
    pod = d.cri.run_pod(name + "-node", handler, log_directory=logs, **node)
    container = pod.start("node", busybox, "sleep", "1003", **node)
    tap.equal(f"{name}: a pod that is to have the machine's has it",
              said(d, container, "readlink", "/proc/self/ns/pid"),
              os.readlink("/proc/self/ns/pid"))
    pod.remove()


def in_common(d, handler, name, busybox, wasm, logs, between=lambda: None):
    """A pod with a guest and a native container."""
    config = {"linux": {"sysctls": {"net.ipv4.ip_unprivileged_port_start": "77"}},
              "hostname": "pod-host", "dns_config": {"servers": ["198.18.255.1"],
                                                     "searches": ["example.test"]}}
    own = namespaces(pid="CONTAINER")
    config["linux"].update(own["linux"])
    pod = d.cri.run_pod(name, handler, log_directory=logs, **config)
    guest = pod.start("guest", wasm, "/app.wasm", **own)
    native = pod.start("native", busybox, "sleep", "1004", **own)
    other = pod.start("other", busybox, "sleep", "1005", **own)
    tap.equal(f"{name}: the guest is reached from outside", get(pod.status()["network"]["ip"]), 200)
    between()
    status, _, err = d.cri.exec(native, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/hello")
    tap.equal(f"{name}: a native container reaches it on localhost", (status, err), (0, b""))
    tap.equal(f"{name}: the host name is the pod's", said(d, native, "hostname"), "pod-host")
    tap.equal(f"{name}: the sysctl is set", said(
        d, native, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "77")
    for container, kind in ((native, "native"), (guest, "guest")):
        dns = said(d, container, "cat", "/etc/resolv.conf")
        tap.ok(f"{name}: names are looked up as the pod says ({kind})",
               "nameserver 198.18.255.1" in dns and "search example.test" in dns, dns)
    said(d, native, "sh", "-c", "echo shared > /dev/shm/file")
    tap.equal(f"{name}: containers share /dev/shm", said(d, other, "cat", "/dev/shm/file"), "shared")
    tap.equal(f"{name}: and the IPC namespace", said(d, native, "readlink", "/proc/self/ns/ipc"),
              said(d, other, "readlink", "/proc/self/ns/ipc"))
    tap.equal(f"{name}: the pod is ready", pod.status()["state"], "SANDBOX_READY")
    # Other handlers, and 2.2, want a group of the pod.
    if handler == "sandboxed" and d.version == "2.4":
        why = error_of(d.cri, "PodSandboxStats", pod_sandbox_id=pod.id)
        tap.ok(f"{name}: the pod has figures", why is None, why)
    if d.version == "1.6":  # CRI has none
        return pod, native
    why = error_of(d.cri.run_pod, name + "-user", handler, **namespaces(
        userns_options={"mode": "POD", "uids": [{"host_id": 100000, "container_id": 0, "length": 65536}],
                        "gids": [{"host_id": 100000, "container_id": 0, "length": 65536}]}))
    tap.ok(f"{name}: a user namespace is refused", why is not None, why)
    return pod, native


def killed(d, handler, name, busybox, logs):
    shared = namespaces(pid="POD")
    pod = d.cri.run_pod(name, handler, log_directory=logs, **shared)
    container = pod.start("native", busybox, "sleep", "1006", **shared)
    os.kill(shim_pid(d, container), signal.SIGKILL)
    d.cri.wait_exit(container)
    wait_until(lambda: d.cri("ListPodSandbox", filter={"id": pod.id})["items"][0]["state"]
               == "SANDBOX_NOTREADY", "the pod is seen to be gone")
    # While containerd itself cleans up, it fails; a kubelet tries again.
    wait_until(lambda: error_of(pod.remove) is None, "the pod is removed")


def version(v, runtimes):
    with daemon.Containerd(v, runtimes=runtimes) as d:
        wasm, busybox = d.load_cri(images.wasm("http/probe"), images.busybox())
        with tempfile.TemporaryDirectory() as logs:
            for handler in ["wherry", *(runtimes or {})]:
                name = f"{v}-{handler}"
                if IS_FULL or handler == "wherry":
                    pid_namespaces(d, handler, name + "-pid", busybox, wasm, logs)
                if not IS_FULL and handler == "wherry":
                    continue
                pod, _ = in_common(d, handler, name, busybox, wasm, logs, d.restart)
                if handler == "sandboxed":
                    tap.equal(f"{name}: there is no container for the pod", d.ctr(
                        "containers", "ls", "-q", namespace=daemon.KUBERNETES)[1].count(pod.id), 0)
                pod.remove()
                killed(d, handler, name + "-killed", busybox, logs)
    tap.equal(f"{v}: nothing is left", d.left, [])


daemon.peers(daemon.wanted_versions())
for wanted in daemon.wanted_versions():
    if IS_FULL or wanted == "2.4":
        # Older ones do not keep the sandboxes that a shim makes.
        version(wanted, {"sandboxed": SHIM} if wanted in ("2.2", "2.4") else None)
tap.finish()

# SPDX-License-Identifier: Apache-2.0
"""containerd's own tests of CRI (its folder integration/), with images and a daemon of ours. As a
program: `specs.py HANDLER [REGEX]` runs those that fit, and tells what each says."""
import fcntl
import os
import re
import subprocess
import sys
import threading

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "containerd")]
import images  # noqa: E402
from daemon import CACHE, PROGRAMS, Containerd, Cri, CriError, peers  # noqa: E402
from registry import Registry  # noqa: E402
from worker_client import ROOT  # noqa: E402

PROGRAM = os.path.join(CACHE, "tools/containerd-integration-2.4.2")
LIST = os.path.join(TESTS, "containerd/integration-specs.txt")
SPEC_S = 180  # what one may take
# RestartContainerd() looks once a second whether the daemon is gone, and must see that.
GONE_S = 2.5
RESULT = re.compile(r"^--- (PASS|FAIL|SKIP): \S+ \(([\d.]+)s\)", re.M)

# resource-consumer's `stress -m 1 --vm-bytes 100M --vm-hang 0 -t 30`: dd waits for the rest of a
# block that it holds.
STRESS = b"""#!/bin/sh
{ head -c 125829120 /dev/zero; sleep 30; } | dd of=/dev/null bs=130M count=1 iflag=fullblock
"""
SLEEP = ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"]
# The users and groups that the specs of users know of those in the usual image.
USERS = {"/etc/passwd": (images.PASSWD + b"daemon:x:1:1::/:/bin/false\n", 0o644),
         "/etc/group": (images.GROUP + b"daemon:x:1:\nwheel:x:10:root\n", 0o644)}
TEXT = (b"test_content\n", 0o644)


def substitutes():
    """{name in the list of images: an image of ours that has what the specs look for}"""
    made = images.busybox_with
    return {
        "Pause": images.pause(),
        "BusyBox": made("busybox-users", USERS, {}),
        "Alpine": made("alpine", {"/etc/os-release": (b'NAME="Alpine Linux"\n', 0o644)}, {},
                       link="/bin/busybox"),
        "ResourceConsumer": made("resource-consumer", {"/bin/stress": STRESS}, {"Cmd": SLEEP}),
        "VolumeCopyUp": made(
            "volume-copy-up",
            {"/test_dir/test_file": TEXT, "/C:/weird_test_dir/weird_test_file": TEXT,
             "/:colon_prefixed/colon_prefixed_file": TEXT},
            {"Volumes": {"/test_dir": {}, "C:/weird_test_dir": {}, "/:colon_prefixed": {}}}),
        "VolumeOwnership": made("volume-ownership", {}, {"Volumes": {"/test_dir": {}}},
                                [("test_dir", 0o755, images.NOBODY)]),
        "Nginx": images.nginx() or images.busybox()}


def expectations():
    """{spec: "pass", or why it does not}, of the list."""
    with open(LIST, encoding="utf-8") as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return {name: why.strip() for name, why in lines}


class Specs:
    """`with Specs("wherry") as specs:` there is a daemon whose handler this is, for those that ask
    for none, too, and a registry with the images."""

    def __init__(self, handler):
        self.handler = handler

    def __enter__(self):
        subprocess.run(["make", "-s", "-C", os.path.join(ROOT, "tests/containerd"), "integration"],
                       check=True)
        # Whose path the specs know, so that there can be one of this at a time.
        self._nri_lock = open("/run/lock/wherry-test-nri", "w", encoding="ascii")
        fcntl.flock(self._nri_lock, fcntl.LOCK_EX)
        self._registry = Registry().__enter__()
        try:
            wanted = {name: self._push(image) for name, image in substitutes().items()}
            self._daemon = Containerd("2.4", is_quiet=True, level="debug", more=self._settings(
                wanted["Pause"])).__enter__()
        except BaseException:
            self._registry.stop()
            raise
        self._images = os.path.join(self._daemon.dir, "images.toml")
        with open(self._images, "w", encoding="ascii") as f:
            f.writelines(f'{name} = "{image}"\n' for name, image in wanted.items())
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()
        return self

    def __exit__(self, *exception):
        self._is_over.set()
        self._daemon.process.terminate()
        self._keeper.join()
        self._daemon.__exit__(*exception)
        self._registry.stop()
        self._nri_lock.close()

    def _push(self, image):
        name = f"{self._registry.address}/{image.name.partition('/')[2]}"
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false",
                        f"oci-archive:{image.archive}:{image.name}", f"docker://{name}"],
                       check=True)
        return name

    def _settings(self, pause):
        cri = ["plugins", "io.containerd.cri.v1.runtime"]
        return [(["plugins", "io.containerd.cri.v1.images", "pinned_images"], {"sandbox": pause}),
                (cri, {"drain_exec_sync_io_timeout": "10s"}),
                ([*cri, "containerd"], {"default_runtime_name": self.handler}),
                (["plugins", "io.containerd.snapshotter.v1.overlayfs"], {"slow_chown": True}),
                (["plugins", "io.containerd.nri.v1.nri"], {
                    "disable": False, "socket_path": "/var/run/nri-test.sock",
                    "plugin_path": "/no/pre-launched/nri/plugins"})]

    def _keep(self):
        """Starts the daemon again whenever a spec has ended it."""
        while True:
            self._daemon.process.wait()
            if self._is_over.wait(GONE_S):
                return
            self._daemon.start_again()

    def run(self, name):
        """(PASS, FAIL or SKIP, what it says, seconds)"""
        try:
            done = subprocess.run(
                [PROGRAM, "-test.v", f"-test.run=^{name}$", f"-test.timeout={SPEC_S}s",
                 "-cri-endpoint", "unix://" + self._daemon.socket_path, "-runtime-handler",
                 self.handler, "-containerd-bin", os.path.basename(self._daemon.program),
                 "-build-dir", PROGRAMS["2.4"], "-image-list", self._images],
                cwd=self._daemon.dir, env=self._daemon.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SPEC_S + 20, check=False)
            said = done.stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired as e:
            said = (e.stdout or b"").decode("utf-8", "replace")
        found = RESULT.search(said)
        state, seconds = (found[1], float(found[2])) if found else ("FAIL", SPEC_S)
        if state == "FAIL":
            self._clear()
        return state, said, seconds

    def names(self):
        """All that there are."""
        said = subprocess.run([PROGRAM, "-test.list", ".", "-cri-endpoint",
                               "unix://" + self._daemon.socket_path], stdout=subprocess.PIPE,
                              check=True).stdout
        return [n for n in said.decode().split() if n.startswith("Test")]

    def _clear(self):
        """A spec that has failed may have left its pods."""
        cri = Cri(self._daemon.socket_path)
        try:
            for pod in cri("ListPodSandbox")["items"]:
                self._remove(cri, pod["id"])
        finally:
            cri.close()

    @staticmethod
    def _remove(cri, pod):
        try:
            cri("StopPodSandbox", pod_sandbox_id=pod)
            cri("RemovePodSandbox", pod_sandbox_id=pod)
        except CriError as e:
            sys.stderr.write(f"# {e}\n")  # the next spec has a pod of its own

    def log(self):
        return self._daemon.log()


def main():
    peers()
    with Specs(sys.argv[1]) as specs:
        for name in specs.names():
            if not re.search(sys.argv[2] if len(sys.argv) > 2 else "", name):
                continue
            state, said, seconds = specs.run(name)
            print(name, state, f"{seconds:.0f}s", flush=True)
            if state != "PASS":
                print(said, flush=True)


if __name__ == "__main__":
    main()

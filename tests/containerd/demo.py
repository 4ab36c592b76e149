#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/demo-containerd shows: containers of WebAssembly beside native ones under a containerd of
its own. Every step says what it is about to do and what came of it; the status is 0 only when each did
what it promised."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import images  # noqa: E402
from daemon import RUNC, WHERRY, Containerd, peers  # noqa: E402
from serve_client import example  # noqa: E402
from worker_client import wait_until  # noqa: E402

VERSION = os.environ.get("VERSION", "2.4")
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else (
    "", "")
HELLO = "localhost/hello:1"
CONTAINERFILE = """FROM scratch
COPY hello.wasm /
ENTRYPOINT ["/hello.wasm"]
"""
PROXY = """daemon off; user root; pid /tmp/nginx.pid; error_log /dev/stderr;
events { }
http {
    access_log /dev/stdout;
    server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }
}
"""
# The tool box in a container of WebAssembly speaks to Redis, which is in a native one.
ASK_REDIS = "printf 'SET boat wherry\\r\\nGET boat\\r\\nQUIT\\r\\n' | nc 127.0.0.1 6379"
failures = 0


def say(text):
    print(f"\n{BOLD}== {text}{PLAIN}", flush=True)


def show(text):
    print(f"{BOLD}$ {text}{PLAIN}", flush=True)


def judge(is_right, what):
    global failures
    failures += not is_right
    print(f"-> {what}" + ("" if is_right else ": FAILED"), flush=True)


def promised(status, output, wanted, words):
    """Prints what came, and tells whether it was what was promised."""
    print(output, end="" if output.endswith("\n") or not output else "\n")
    if status != wanted:
        judge(False, f"status {status}, but {wanted} was promised")
    elif words not in output:
        judge(False, f"status {status} as promised, but it did not print '{words}'")
    else:
        judge(True, f"status {status}, as promised")


def command(*argv, **options):
    show(" ".join(argv))
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        print(done.stdout)
        raise RuntimeError(f"{argv[0]} has failed")


def size(path):
    return f"{os.path.getsize(path) / 1024:,.0f} KiB"


# ---- ctr -------------------------------------------------------------------------------------


def storage(folder):
    """The environment for a buildah with images of its own."""
    path = os.path.join(folder, "storage.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/storage"\n'
                f'runroot = "{folder}/run"\n')
    return {**os.environ, "CONTAINERS_STORAGE_CONF": path}


def build_image(folder):
    """As the image of any program: the path of its archive."""
    say("Building an image of examples/c for the platform wasi/wasm, by buildah")
    program, archive = example("c"), os.path.join(folder, "hello.tar")
    source = os.path.join(folder, "image")
    os.mkdir(source)
    shutil.copy(program, source)
    with open(os.path.join(source, "Containerfile"), "w", encoding="ascii") as f:
        f.write(CONTAINERFILE)
    print(CONTAINERFILE, end="")
    command("buildah", "build", "--platform", "wasi/wasm", "-t", HELLO, source, env=storage(folder))
    command("buildah", "push", HELLO, f"oci-archive:{archive}:{HELLO}", env=storage(folder))
    judge(True, f"the image has {size(archive)}, its program {size(program)}")
    return archive


def run(daemon, name, image, *argv, runtime=WHERRY):
    """(status, what it printed, seconds)"""
    options = ["run", "--rm", "--runtime", runtime, image, name, *argv]
    show("ctr " + " ".join(options))
    start = time.monotonic()
    status, out, err = daemon.ctr(*options, is_checked=False)
    return status, out + err, time.monotonic() - start


def show_ctr(daemon, folder):
    archive = build_image(folder)
    say("Importing it into containerd")
    options = ["images", "import", *([] if VERSION == "1.6" else ["--local"]), "--platform",
               "wasi/wasm", archive]
    show("ctr " + " ".join(options))
    promised(0, daemon.ctr(*options)[1], 0, "hello")
    say("Running it: expect a greeting and status 0")
    status, out, _ = run(daemon, "c1", HELLO, "/hello.wasm", "Ada")
    promised(status, out, 0, "Hello from WebAssembly, Ada")
    say("Letting it end with 3: expect status 3")
    status, out, _ = run(daemon, "c2", HELLO, "/hello.wasm", "--exit", "3")
    promised(status, out, 3, "")
    say("A native image by the same shim, which gives it to runc or crun: expect status 0")
    native, = daemon.load(images.busybox())
    status, out, _ = run(daemon, "c3", native, "echo", "native")
    promised(status, out, 0, "native")
    say("How long a run takes here, from the start of ctr to its end; the second of two")
    rows = []
    for title, image, argv, runtime in (
            ("WebAssembly, our shim", HELLO, ["/hello.wasm"], WHERRY),
            ("native, our shim", native, ["true"], WHERRY),
            ("native, containerd's shim for runc", native, ["true"], RUNC)):
        run(daemon, "c4", image, *argv, runtime=runtime)
        status, _, took = run(daemon, "c4", image, *argv, runtime=runtime)
        rows.append((title, status, took))
    for title, _, took in rows:
        print(f"   {took * 1000:6.0f} ms  {title}")
    judge(not any(status for _, status, _ in rows), "each has ended with 0")


# ---- A pod -----------------------------------------------------------------------------------


def ask(url):
    """What answers there, tried anew until it does."""
    answer = []

    def is_there():
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                answer.append(response.read().decode())
        except OSError:
            return False
        return True

    wait_until(is_there, f"{url} answers")
    return answer[0]


def start_pod(daemon, folder):
    """(pod, {name: container})"""
    say("A pod of three, as a kubelet has one made: WebAssembly beside native Redis and nginx")
    proxy = os.path.join(folder, "nginx.conf")
    with open(proxy, "w", encoding="ascii") as f:
        f.write(PROXY)
    parts = (("web", images.wasm("example/http-c"), "a component in C that answers HTTP", {}),
             ("cache", images.redis(), "Redis", {}),
             ("front", images.nginx(), "nginx, before web", {"mounts": [
                 {"container_path": "/etc/nginx/nginx.conf", "host_path": proxy,
                  "readonly": True}]}))
    daemon.load_cri(*(image for _, image, _, _ in parts))
    start = time.monotonic()
    pod = daemon.cri.run_pod("shop", "wherry", log_directory=folder)
    print(f"   {(time.monotonic() - start) * 1000:6.0f} ms  RunPodSandbox shop")
    containers = {}
    for name, image, what, config in parts:
        start = time.monotonic()
        containers[name] = pod.start(name, image.name, **config)
        print(f"   {(time.monotonic() - start) * 1000:6.0f} ms  CreateContainer, StartContainer "
              f"{name}: {what}, {size(image.archive)}")
    judge(all(daemon.cri.state(c)["state"] == "CONTAINER_RUNNING" for c in containers.values()),
          "the three run")
    return pod, containers


def execute(daemon, containers, name, *argv, words):
    show(f"exec {name}: {' '.join(argv)}")
    status, out, err = daemon.cri.exec(containers[name], *argv)
    promised(status, (out + err).decode("utf-8", "replace"), 0, words)


def forward(daemon, pod):
    say("Forwarding a port of this machine to the pod's 8080: expect the component's answer")
    with daemon.cri.stream("port-forward", pod.id, 8080, stdin=subprocess.PIPE) as process:
        url = f"http://127.0.0.1:{process.stdout.readline().decode().strip()}/"
        show(f"curl {url}")
        promised(0, ask(url), 0, "Hello from C!")
        process.stdin.close()  # until then it forwards


def show_figures(daemon, containers):
    say("Memory and processor time, as the kubelet reads them")
    rows = {}
    for name, container in containers.items():
        stats = daemon.cri("ContainerStats", container_id=container)["stats"]
        rows[name] = (int(stats["memory"]["working_set_bytes"]["value"]),
                      int(stats["cpu"]["usage_core_nano_seconds"]["value"]))
        print(f"   {name:6} {rows[name][0] / 1024:8,.0f} KiB {rows[name][1] / 1e6:8.1f} ms")
    judge(all(memory > 0 and cpu > 0 for memory, cpu in rows.values()), "each has figures")


def show_pod(daemon, folder):
    pod, containers = start_pod(daemon, folder)
    address = pod.status()["network"]["ip"]
    say("Asking nginx, which asks the component on the pod's loopback: expect its answer")
    show(f"curl http://{address}/")
    promised(0, ask(f"http://{address}/"), 0, "Hello from C!")
    say("What the containers have logged: expect nginx to have seen the request")
    wait_until(lambda: any("GET / " in line for _, line in pod.log("front")), "nginx has logged it")
    for name in containers:
        lines = [line for _, line in pod.log(name)]
        print(f"   {name}: {lines[-1] if lines else '(nothing)'}")
    judge(True, "it has")
    say("A shell with a pipe in the container of WebAssembly, to Redis: expect +OK and the value")
    execute(daemon, containers, "web", "sh", "-c", ASK_REDIS, words="wherry")
    say("Redis by its own tool in the native container: expect the same value")
    execute(daemon, containers, "cache", "redis-cli", "GET", "boat", words="wherry")
    say("A program of nginx's image in its container: expect its version")
    execute(daemon, containers, "front", "nginx", "-v", words="nginx version")
    forward(daemon, pod)
    show_figures(daemon, containers)
    say("Stopping the component, which may take 30 s and needs none: expect status 0")
    start = time.monotonic()
    daemon.cri("StopContainer", container_id=containers["web"], timeout=30)
    took = time.monotonic() - start
    judge(daemon.cri.state(containers["web"])["exit_code"] == 0 and took < 10,
          f"it has ended with {daemon.cri.state(containers['web'])['exit_code']} after "
          f"{took * 1000:.0f} ms")
    pod.remove()


# ---- All -------------------------------------------------------------------------------------


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers()
    with tempfile.TemporaryDirectory(prefix="wherry-demo-") as folder:
        say(f"Starting containerd {VERSION}, with folders, a socket and a network of its own")
        with Containerd(VERSION, level="info") as daemon:
            judge(True, f"it serves at {daemon.socket_path}")
            show_ctr(daemon, folder)
            show_pod(daemon, folder)
            say("The pod is removed: looking for what is left of it")
        for left in daemon.left:
            print(left)
        judge(not daemon.left, "no process, mount, control group, namespace or file is left"
              if not daemon.left else "that is left")
    if failures:
        say(f"{failures} of the steps did not do what was promised")
        sys.exit(1)
    say("All went as it should, and containerd has ended. Next: docs/containerd.md")


main()

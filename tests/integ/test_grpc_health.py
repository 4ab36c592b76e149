#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Probes over gRPC against the gRPC project's own server and health service. Those are packages of
PyPI, which are installed below build/ the first time; without them everything here is skipped."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import ROOT, Tap  # noqa: E402

PROGRAM = os.path.join(ROOT, os.environ.get("WHERRY_BUILD", "build/meson"),
                       "tests/integ/probe_action")
VENV = os.path.join(ROOT, "build/grpc-venv")
PYTHON = os.path.join(VENV, "bin/python3")
PACKAGES = ["grpcio==1.85.3", "grpcio-health-checking==1.85.1"]
tap = Tap()


def has_packages():
    return os.path.exists(PYTHON) and subprocess.run(
        [PYTHON, "-c", "import grpc_health.v1.health"], stderr=subprocess.DEVNULL).returncode == 0


def install():
    """Why they cannot be had, if so."""
    if has_packages():
        return None
    for command in ([sys.executable, "-m", "venv", VENV],
                    [PYTHON, "-m", "pip", "install", "--quiet", *PACKAGES]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            return done.stdout.decode("utf-8", "replace").strip().splitlines()[-1:]
    return None


def probe(port, service="", timeout_ms=10000, kind="grpc"):
    done = subprocess.run([PROGRAM, kind, "127.0.0.1", str(port), service, str(timeout_ms)],
                          stdout=subprocess.PIPE, timeout=60)
    return done.stdout.decode().strip()


def test(server):
    port, without, slow = (int(n) for n in server.stdout.readline().split())
    tap.equal("the server as a whole is serving", probe(port), "ok")
    tap.equal("a service of it is", probe(port, "up"), "ok")
    tap.equal("one with a long name is", probe(port, "x" * 300), "ok")
    tap.equal("one that is down is not", probe(port, "down"),
              'service unhealthy (responded with "NOT_SERVING")')
    server.stdin.write("down up\n")
    server.stdin.flush()
    server.stdout.readline()
    tap.equal("until it is up", probe(port, "down"), "ok")
    text = probe(port, "unknown")
    tap.ok("one that is not known is not", text.startswith("the server knows no such service"), text)
    text = probe(without)
    tap.ok("a server without the service is told as such",
           text.startswith("this server does not implement the grpc health protocol"), text)
    tap.equal("one that is slow is given up", probe(slow, timeout_ms=100),
              f"health rpc to 127.0.0.1:{slow}: no answer within 100ms")
    text = probe(port, "/", kind="http")
    tap.ok("a probe of another kind fails", text.startswith("Get "), text)


def main():
    why = install()
    if why:
        tap.skip("probes over gRPC", f"no {' '.join(PACKAGES)}: {why}")
        tap.finish()
    folder = os.path.dirname(os.path.abspath(__file__))
    with subprocess.Popen([PYTHON, os.path.join(folder, "grpc_health_server.py")], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        test(server)
        server.stdin.close()
    tap.finish()


main()

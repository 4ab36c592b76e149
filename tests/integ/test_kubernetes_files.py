#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""packaging/kubernetes: the manifests have the fields that Kubernetes requires and fit each other and
the drop-in; install-node copies, installs once, restarts, and takes it all away again."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from worker_client import ROOT, Tap  # noqa: E402

tap = Tap()
FOLDER = os.path.join(ROOT, "packaging/kubernetes")


def documents(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return list(yaml.safe_load_all(f))


def check_workload(name, w):
    template, labels = w["spec"]["template"], w["spec"]["selector"]["matchLabels"]
    tap.ok(f"{name}: apps/v1 with a name", w["apiVersion"] == "apps/v1" and w["metadata"]["name"])
    tap.ok(f"{name}: the selector selects its pods",
           labels.items() <= template["metadata"]["labels"].items())
    spec = template["spec"]
    containers = spec.get("initContainers", []) + spec["containers"]
    tap.ok(f"{name}: containers have names of their own and images",
           len({c["name"] for c in containers}) == len(containers)
           and all(c["image"] for c in containers))
    tap.ok(f"{name}: each mount has its volume",
           {m["name"] for c in containers for m in c.get("volumeMounts", [])}
           <= {v["name"] for v in spec.get("volumes", [])})


def manifests():
    runtime, = documents("runtimeclass.yaml")
    tap.equal("the RuntimeClass has its version and kind",
              (runtime["apiVersion"], runtime["kind"]), ("node.k8s.io/v1", "RuntimeClass"))
    shown = subprocess.run([os.path.join(ROOT, "build/wherry"), "install", "containerd", "--config",
                            "/nonexistent/config.toml", "--containerd-version", "2.4"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                           text=True).stdout
    tap.ok("its handler is that of the drop-in",
           f'containerd.runtimes.{runtime["handler"]}]' in shown, shown)
    example = documents("example.yaml")
    deployment = next(d for d in example if d["kind"] == "Deployment")
    service = next(d for d in example if d["kind"] == "Service")
    spec = deployment["spec"]["template"]["spec"]
    check_workload("example", deployment)
    tap.equal("the example asks for the RuntimeClass", spec["runtimeClassName"],
              runtime["metadata"]["name"])
    ports = {p["containerPort"] for c in spec["containers"] for p in c["ports"]}
    tap.ok("the service leads to a port of the pod",
           service["spec"]["ports"][0]["targetPort"] in ports)
    tap.ok("the service selects the pods", service["spec"]["selector"].items()
           <= deployment["spec"]["template"]["metadata"]["labels"].items())
    for name in ("installer.yaml", "uninstaller.yaml"):
        daemons, = documents(name)
        check_workload(name, daemons)
        spec = daemons["spec"]["template"]["spec"]
        init, = spec["initContainers"]
        tap.ok(f"{name}: enters the node as install-node has to",
               spec["hostPID"] and init["securityContext"]["privileged"]
               and init["args"] == [name.removesuffix("er.yaml")]
               and init["volumeMounts"][0]["mountPath"] == "/host/opt")


NODE = """#!/bin/sh
# The node: its wherry is that of the folder, its services are noted down.
case $1 in
systemctl) shift; echo "$*" >>'{0}/services'
    case "$*" in *is-active*) [ "$3" = k3s ] ;; esac ;;
/opt/wherry/bin/wherry) shift; echo "$*" >>'{0}/typed'
    case "$*" in *--check) [ -e '{0}/has' ] ;; *install*) exit {1} ;; esac ;;
esac
"""


def node(word, status=0, has=False, old=False):
    """(status, what wherry was told, what services were told, what is in the node's folder)"""
    folder = tempfile.mkdtemp()
    os.makedirs(os.path.join(folder, "from/bin"))
    os.makedirs(os.path.join(folder, "host"))
    if old:
        os.makedirs(os.path.join(folder, "host/wherry/old"))
    open(os.path.join(folder, "from/bin/wherry"), "w", encoding="ascii").close()
    if has:
        open(os.path.join(folder, "has"), "w", encoding="ascii").close()
    with open(os.path.join(folder, "node"), "w", encoding="ascii") as f:
        f.write(NODE.format(folder, status))
    os.chmod(os.path.join(folder, "node"), 0o755)
    done = subprocess.run([os.path.join(FOLDER, "install-node"), word], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL,
                          env={**os.environ, "WHERRY_FROM": folder + "/from",
                               "WHERRY_HOST": folder + "/host/wherry",
                               "WHERRY_NSENTER": folder + "/node"})
    found = [done.returncode]
    for name in ("typed", "services"):
        path = os.path.join(folder, name)
        found.append([])
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                found[-1] = f.read().splitlines()
    found.append(sorted(glob.glob("**", root_dir=folder + "/host", recursive=True)))
    shutil.rmtree(folder)
    return found


def nodes():
    files = ["wherry", "wherry/bin", "wherry/bin/wherry"]
    status, typed, services, left = node("install", old=True)
    tap.equal("a node gets the files in place of old ones", left, files)
    tap.equal("and is told", typed, ["install containerd --check", "install containerd --apply"])
    tap.equal("and its service that runs is restarted", (status, services[-1]), (0, "restart k3s"))
    status, typed, services, _ = node("install", has=True)
    tap.equal("a node that has it is not restarted", (status, services), (0, []))
    status, _, services, _ = node("install", status=1)
    tap.equal("nor one that does not read the file", (status, services), (1, []))
    status, typed, services, left = node("uninstall", old=True)
    tap.equal("the way back takes all", (status, typed, services[-1], left),
              (0, ["uninstall containerd --apply"], "restart k3s", []))
    tap.equal("another word is refused", node("reinstall")[0], 2)


for part in (manifests, nodes):
    tap.run(part)
tap.finish()

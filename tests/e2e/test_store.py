#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of the image store: what takes its space, what is collected and when, what is damaged
and repaired; and its faults: killed at every step of a pull and of a collection, a full disk, the
order in which things become durable, many pulls while everything unneeded is collected. The
registry is the fake one of faulty_registry.py, behaving."""
import collections
import functools
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import faulty_registry as faults  # noqa: E402
from faulty_registry import FaultyRegistry  # noqa: E402
from image_layout import INDEX, MANIFEST, Layout  # noqa: E402
from machine import Machine  # noqa: E402
from serve_client import BOX, IS_FULL, PATIENCE_S, WHERRY, example, output, run, tap  # noqa: E402

MANY = 200 if IS_FULL else 16      # pulls at once
KILLS = 100 if IS_FULL else 8      # at some time in a pull
STRIDE = 1 if IS_FULL else 4       # of the steps at which it is killed
DISK_STEP = 1 if IS_FULL else 10   # of the sizes of a disk that is too small
PROGRAM_BYTES = 1 << 16
for variable in ("HIGH", "LOW", "MIN_AGE", "MAX_AGE"):
    os.environ.pop("WHERRY_GC_" + variable, None)


@functools.cache
def programs():
    """A layout with random programs v0, v1, ..., "shared" with v0's and another config, "multi" with
    an index, "big" that takes a while to send, "hello" that can be run."""
    layout = Layout(os.path.join(BOX, "programs"))
    path = os.path.join(BOX, "program.wasm")
    for i in range(MANY):
        with open(path, "wb") as f:
            f.write(b"\0asm\1\0\0\0" + os.urandom(PROGRAM_BYTES - 8))
        layout.tag(f"v{i}", layout.artifact(path))
    v0 = layout.read(layout.manifests[0]["digest"])
    v0["config"] = layout.blob("application/vnd.wasm.config.v0+json", {"architecture": "wasm"})
    shared = layout.blob(MANIFEST, v0)
    layout.tag("shared", shared)
    layout.tag("multi", layout.blob(INDEX, {
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{**shared, "platform": {"architecture": "wasm", "os": "wasip1"}}]}))
    with open(path, "wb") as f:
        f.write(b"\0asm\1\0\0\0" + os.urandom(4 << 20))
    layout.tag("big", layout.artifact(path))
    layout.tag("hello", layout.artifact(example("c")))
    return layout


def registry():
    r = FaultyRegistry()
    r.add_layout(programs().dir)
    return r


def blobs_of(tag):
    """{digest: size} of what the image leads to."""
    top = next(m for m in programs().manifests
               if m["annotations"]["org.opencontainers.image.ref.name"] == tag)
    manifest = programs().read(top["digest"])
    found = {d["digest"]: d["size"] for d in [top, manifest.get("config"),
                                              *manifest.get("layers", [])] if d}
    for inner in manifest.get("manifests", []):
        found[inner["digest"]] = inner["size"]
        inner = programs().read(inner["digest"])
        found.update({d["digest"]: d["size"] for d in [inner["config"], *inner["layers"]]})
    return found


def stored(m):
    return {"sha256:" + name for name in m.files("blobs/sha256")}


def is_well(m):
    """As `wherry system check` says, and as hashing finds."""
    return m.wherry("system", "check", "-q")[0] == 0 and not m.damaged()


def unused_since(m, name, seconds):
    """As if the image, record and blobs, had not been used for so long."""
    record = f"names/{name.rpartition(':')[0]}/:{name.rpartition(':')[2]}"
    then = time.time() - seconds
    for path in (record, *("blobs/sha256/" + d[7:] for d in blobs_of(name.rpartition(":")[2]))):
        if os.path.exists(m.path(path)):
            os.utime(m.path(path), (then, then))


# ---- What there is, and removing it ----------------------------------------------------------


def life():
    m = Machine()
    with registry() as r:
        name = f"{r.address}/test/app"
        for tag in ("v0", "shared", "multi", "v1"):
            m.wherry("pull", "-q", f"{name}:{tag}")
        everything = {**blobs_of("v0"), **blobs_of("shared"), **blobs_of("multi"), **blobs_of("v1")}
        tap.equal("the index is kept with its image", stored(m), set(everything))
        df = m.json("system", "df", "-v")
        tap.equal("df: images and blobs",
                  (df["images"]["count"], df["images"]["bytes"], df["blobs"]),
                  (4, sum(everything.values()),
                   {"count": len(everything), "bytes": sum(everything.values()),
                    "reclaimableBytes": 0}))
        by_tag = {i["name"].rpartition(":")[2]: i for i in df["imageList"]}
        tap.equal("df -v: of an image, and what it shares",
                  (by_tag["v1"]["bytes"], by_tag["v1"]["sharedBytes"], by_tag["v0"]["sharedBytes"]),
                  (sum(blobs_of("v1").values()), 0, PROGRAM_BYTES))
        tap.ok("df: as a table", "Compile cache" in m.wherry("system", "df")[1])

        status, out, _ = m.wherry("rmi", f"{name}:v0")
        gone = set(blobs_of("v0")) - set(blobs_of("shared"))
        tap.equal("rmi: frees what no other image needs, and says so",
                  (status, sorted(out.splitlines())),
                  (0, sorted([f"Untagged: {name}:v0"] + [f"Deleted: {d}" for d in gone])))
        m.wherry("rmi", f"{name}:shared")
        tap.equal("rmi: an image by its index still leads to everything",
                  stored(m), set(blobs_of("multi")) | set(blobs_of("v1")))

        # What a pull that was killed leaves: a part, and blobs that no name leads to.
        r.inject(faults.hangs(1 << 20), where="GET .*/blobs/")
        pull = m.start("pull", "-q", f"{name}:big")
        r.wait_requests(1, "GET", "/blobs/" + max(blobs_of("big"), key=blobs_of("big").get))
        tap.ok("prune: does not touch what a pull has", m.wherry("system", "prune", "-f")[0] == 0 and
               pull.poll() is None and set(blobs_of("big")) & stored(m))
        pull.kill()
        pull.wait()
        r.heal()
        before = m.files("partial"), m.files("blobs/sha256")
        tap.ok("a pull that was killed leaves something", before[0], before)
        tap.ok("prune --dry-run: removes nothing",
               "Total reclaimable" in m.wherry("system", "prune", "--dry-run")[1] and
               (m.files("partial"), m.files("blobs/sha256")) == before)
        status, _, said = m.wherry("system", "prune")
        tap.ok("prune: does not go on when it cannot ask", status == 125 and "--force" in said, said)
        for answer, is_kept in ((b"n\n", True), (b"y\n", False)):
            main, terminal = pty.openpty()
            os.write(main, answer)
            status, _, said = m.wherry("system", "prune", stdin=terminal)
            os.close(main), os.close(terminal)
            tap.ok(f"prune: asks, and takes {answer} for an answer", status == 0 and "[y/N]" in said
                   and (m.files("partial") != []) == is_kept, (status, said))
        tap.equal("prune: what is named stays", stored(m), set(blobs_of("multi")) | set(blobs_of("v1")))

        unused_since(m, f"{name}:v1", 7200)
        m.wherry("system", "prune", "-af", "--filter", "until=1h", "--cache-dir", m.dir)
        tap.equal("prune --all --filter until=1h: what was used stays",
                  [i["name"] for i in m.json("images")], [f"{name}:multi"])
        m.wherry("pull", "-q", f"{name}:hello")
        wanted = m.wherry("run", f"{name}:hello")
        m.wherry("system", "prune", "-a", "--force", "--cache-dir", m.dir)
        tap.equal("prune --all: nothing stays", (m.json("images"), stored(m)), ([], set()))
        tap.equal("and what is run is fetched again", m.wherry("run", f"{name}:hello")[:2],
                  wanted[:2])
        m.wherry("system", "prune", "-af", "--cache-dir",
                 os.path.join(BOX, "cache/wherry"))
        tap.equal("prune --all: compiled code goes as well",
                  m.json("system", "df")["compileCache"]["count"], 0)


def retaining():
    with registry() as r:
        name = f"{r.address}/test/app"
        m = Machine(WHERRY_GC_HIGH="200Ki", WHERRY_GC_LOW="150Ki",
                    XDG_CACHE_HOME=os.path.join(BOX, "retained"))
        for tag in ("v0", "v1", "v2"):
            m.wherry("pull", "-q", f"{name}:{tag}")
        tap.equal("above the high mark what was just used stays", len(m.json("images")), 3)
        unused_since(m, f"{name}:v0", 600)
        unused_since(m, f"{name}:v1", 1200)
        m.wherry("pull", "-q", f"{name}:v3")
        tap.equal("what was not used for longest goes, until the low mark",
                  [i["name"].rpartition(":")[2] for i in m.json("images")], ["v2", "v3"])
        m.env.update({"WHERRY_GC_HIGH": "100Ki", "WHERRY_GC_LOW": "0", "WHERRY_GC_MIN_AGE": "0"})
        m.wherry("pull", "-q", f"{name}:v4")
        tap.equal("but never the image that was pulled",
                  ([i["name"].rpartition(":")[2] for i in m.json("images")], is_well(m)),
                  (["v4"], True))
        m.env.update({"WHERRY_GC_HIGH": "100%", "WHERRY_GC_LOW": "95%"})
        m.wherry("pull", "-q", f"{name}:v5")
        tap.equal("a mark of the file system that is not reached", len(m.json("images")), 2)
        m.env.update({"WHERRY_GC_HIGH": "1%", "WHERRY_GC_LOW": "0%"})
        m.wherry("pull", "-q", f"{name}:v6")
        tap.equal("a mark of the file system that is", len(m.json("images")), 1)
        m.env["WHERRY_GC_HIGH"] = "lots"
        status, _, said = m.wherry("pull", f"{name}:v7")
        tap.ok("a setting that is wrong is said, and the pull goes through", status == 0 and
               "WHERRY_GC_HIGH is 'lots'" in said, (status, said))

        m = Machine(WHERRY_GC_MAX_AGE="1h")
        m.wherry("pull", "-q", f"{name}:v0")
        unused_since(m, f"{name}:v0", 7200)
        m.wherry("pull", "-q", f"{name}:v1")
        tap.equal("by age: at most once a day", len(m.json("images")), 2)
        os.utime(m.path(".collecting"), (0, 0))
        m.wherry("pull", "-q", f"{name}:v1")
        tap.equal("by age: what was not used for so long", [i["name"] for i in m.json("images")],
                  [f"{name}:v1"])
        m.wherry("pull", "-q", f"{name}:hello")
        unused_since(m, f"{name}:hello", 7200)
        m.wherry("run", f"{name}:hello")
        os.utime(m.path(".collecting"), (0, 0))
        m.wherry("pull", "-q", f"{name}:v1")
        tap.equal("an image that is run is used", len(m.json("images")), 2)


# ---- Damage ----------------------------------------------------------------------------------


def damage():
    with registry() as r:
        name = f"{r.address}/test/app"
        m = Machine(XDG_CACHE_HOME=os.path.join(BOX, "damaged"))
        for tag in ("v0", "v1", "v2", "v3", "hello"):
            m.wherry("pull", "-q", f"{name}:{tag}")
        wanted = m.wherry("run", f"{name}:hello")
        status, out, _ = m.wherry("system", "check")
        tap.ok("check: all is well", status == 0 and "5 images" in out and "all is well" in out, out)

        def blob(tag):
            sizes = blobs_of(tag)
            return m.path("blobs/sha256/" + max(sizes, key=sizes.get)[7:])

        def record(tag):
            return m.path(f"names/{name}/:{tag}")

        code = os.path.join(BOX, "damaged/wherry/code")
        for tag in ("hello", "v0"):
            os.chmod(blob(tag), 0o644)
        with open(blob("hello"), "r+b") as f:
            f.seek(100)
            f.write(b"\xff\xfe\xfd")
        os.truncate(blob("v0"), 10)
        os.unlink(blob("v1"))
        with open(record("v2"), "w", encoding="ascii") as f:
            f.write("{")
        os.chmod(record("v3"), 0o666)
        for path in (m.path("stranger"), m.path("blobs/sha256/stranger"), code + "/stranger"):
            with open(path, "w", encoding="ascii") as f:
                f.write("x")
        with open(record("v3").replace("/:v3", "/.:v3.1.0.tmp"), "w", encoding="ascii"):
            pass
        os.utime(record("v3").replace("/:v3", "/.:v3.1.0.tmp"), (0, 0))
        entry = next(n for n in os.listdir(code) if len(n) == 64)
        os.chmod(os.path.join(code, entry), 0o666)
        with open(os.path.join(code, f".{entry[::-1]}.new"), "w", encoding="ascii"):
            pass

        def found():
            return sorted((f["in"], os.path.basename(f["path"])) for f in
                          json.loads(m.wherry("system", "check", "-o", "json")[1]))

        strangers = [("compile cache", "stranger"), ("images", "stranger"), ("images", "stranger")]
        everything = sorted([
            *strangers, ("compile cache", entry), ("compile cache", f".{entry[::-1]}.new"),
            ("images", os.path.basename(blob("hello"))), ("images", os.path.basename(blob("v0"))),
            ("images", ":hello"), ("images", ":v0"), ("images", ":v1"), ("images", ":v2"),
            ("images", ":v3"), ("images", ".:v3.1.0.tmp")])
        tap.equal("check: finds all of it", found(), everything)
        status, out, _ = m.wherry("system", "check")
        tap.ok("check: the status tells, and what to type", status == 1 and "--repair" in out, out)
        before = len(m.json("system", "df", "-v")["imageList"]), stored(m)
        status, _, said = m.wherry("system", "prune", "-af")
        tap.ok("prune: removes nothing while it is not known what an image needs", status == 1 and
               "check --repair" in said and
               (len(m.json("system", "df", "-v")["imageList"]), stored(m)) == before, said)
        status, out, _ = m.wherry("system", "check", "--repair")
        tap.ok("check --repair: says what was done", status == 1 and
               f"wherry pull {name}:v0" in out and "removed" in out, out)
        tap.equal("check --repair: strangers are left", found(), strangers)
        for path in (m.path("stranger"), m.path("blobs/sha256/stranger"), code + "/stranger"):
            os.unlink(path)
        tap.equal("then all is well", (m.wherry("system", "check")[0],
                                       [i["name"] for i in m.json("images")]), (0, [f"{name}:v3"]))
        tap.equal("what was damaged is fetched again", m.wherry("run", f"{name}:hello")[:2],
                  wanted[:2])
        tap.ok("and is well", is_well(m))


# ---- Killed at every step --------------------------------------------------------------------

STEPS = "mkdirat,flock,fchmod,ftruncate,fdatasync,fsync,renameat,unlinkat"


def killed_at(step):
    """A command that is killed when a thread makes its step-th such call."""
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + STEPS,
            "-e", f"inject={STEPS}:signal=SIGKILL:when={step}")


def killed_pulls():
    with registry() as r:
        name = f"{r.address}/test/app:multi"
        bad, step, status = [], 1, None
        while status != 0:
            m = Machine(killed_at(step))
            status = m.wherry("pull", "-q", name)[0]
            m.prefix = ()
            if not is_well(m):
                bad.append(("check", step, m.wherry("system", "check")))
            if m.wherry("pull", "-q", name)[0] or not is_well(m) or m.files("partial") \
                    or stored(m) != set(blobs_of("multi")):
                bad.append(("the next pull", step))
            shutil.rmtree(m.dir)
            step += STRIDE
        tap.ok("a pull has more steps than a few", step > 10, step)
        tap.equal(f"killed at every{'' if IS_FULL else ' fourth'} step of a pull: the store is well, "
                  "the next goes through", bad, [])

        m = Machine()
        name = f"{r.address}/test/app:big"
        digest = max(blobs_of("big"), key=blobs_of("big").get)
        r.inject(faults.trickles(1 << 16, 0.002), where="GET .*/blobs/" + digest)
        for i in range(KILLS):
            # Once the registry has sent some of the program.
            wanted = (4 << 20) * (i + 1) // (KILLS + 2)
            p = m.start("pull", "-q", name)
            deadline = time.monotonic() + PATIENCE_S
            while p.poll() is None and time.monotonic() < deadline and \
                    sum(q.sent for q in r.requests("GET", digest)) < wanted:
                threading.Event().wait(0.001)
            p.kill()
            p.wait()
            if not is_well(m) or m.json("images"):
                bad.append(i)
        r.heal()
        tap.equal(f"{KILLS} times killed in the middle: nothing half-written is visible", bad, [])
        tap.ok("and then it goes on where it was", m.wherry("pull", "-q", name)[0] == 0 and
               is_well(m) and r.requests("GET", digest)[-1].range, r.requests("GET", digest)[-1])


def killed_collections():
    with registry() as r:
        template = Machine()
        for tag in ("v0", "shared", "multi", "v1"):
            template.wherry("pull", "-q", f"{r.address}/test/app:{tag}")
        left = os.path.join(template.state, "images/blobs/sha256")
        data = b"left over"
        with open(os.path.join(left, faults.digest_of(data)[7:]), "wb") as f:
            f.write(data)
    for command in (("system", "prune", "-af"), ("system", "prune", "-f"),
                    ("rmi", f"{r.address}/test/app:v0", f"{r.address}/test/app:multi")):
        bad, step, status = [], 1, None
        while status != 0:
            m = Machine(killed_at(step), XDG_CACHE_HOME=os.path.join(BOX, "nothing"))
            shutil.copytree(template.state, m.state)
            status = m.wherry(*command)[0]
            m.prefix = ()
            if not is_well(m):
                bad.append((step, m.wherry("system", "check")))
            m.wherry(*command)
            if not is_well(m) or (command[-1] == "-af" and stored(m)):
                bad.append(("again", step))
            shutil.rmtree(m.dir)
            step += STRIDE
        tap.equal(f"{' '.join(command[:2])} killed at its steps: every name leads to what is there",
                  bad, [])


# ---- The order -------------------------------------------------------------------------------

CALL = re.compile(r"^(\d+) (\d+\.\d+) (\w+)\((.*)\) += (-?\d+).*<(\d+\.\d+)>$")


def traced(folder):
    """[(begin, end, call, arguments)] of those that succeeded, of all threads."""
    found = []
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for line in f:
                match = CALL.match(f"{name.rpartition('.')[2]} {line.rstrip()}")
                if match and int(match[5]) >= 0:
                    begin = float(match[2])
                    found.append((begin, begin + float(match[6]), match[3], match[4]))
    return sorted(found)


def order():
    with registry() as r:
        m = Machine()
        folder = os.path.join(m.dir, "trace")
        os.mkdir(folder)
        m.prefix = ("strace", "-ff", "-qq", "-y", "-s", "0", "-ttt", "-T", "-o", folder + "/t", "-e",
                    "trace=write,fdatasync,fsync,renameat,renameat2")
        tap.equal("a pull is traced", m.wherry("pull", "-q", f"{r.address}/test/app:multi")[0], 0)
    events = traced(folder)
    store = os.path.realpath(m.path(""))

    def calls(kind, *parts):
        return [(b, e) for b, e, call, arguments in events
                if call in kind and all(p in arguments for p in parts)]

    syncs, renames = ("fsync", "fdatasync"), ("renameat", "renameat2")
    named = calls(renames, "/names/", '":multi"')
    tap.equal("one name is given", len(named), 1)
    for digest in blobs_of("multi"):
        name = digest[7:]
        written = calls(("write",), f"/partial/{name}")
        synced = calls(syncs, f"/partial/{name}")
        visible = calls(renames, f'"partial/{name}"', f'"blobs/sha256/{name}"')
        if not (written and len(synced) == 1 and len(visible) == 1):
            tap.ok(f"{digest:.19}: is written, made durable and renamed", False,
                   (written, synced, visible))
            continue
        durable = [e for b, e in calls(syncs, f"{store}/blobs/sha256>") if b >= visible[0][1]]
        tap.ok(f"{digest:.19}: write, fsync, rename, fsync of the folder, name",
               written[-1][1] <= synced[0][0] and synced[0][1] <= visible[0][0] and
               durable and min(durable) <= named[0][0],
               (written[-1], synced, visible, durable, named))
    written = calls(("write",), "/names/")
    synced = [e for b, e in calls(syncs, "/names/") if b >= written[-1][1]]
    tap.ok("the name: write, fsync, rename, fsync of the folder", synced and
           synced[0] <= named[0][0] and
           any(b >= named[0][1] for b, _ in calls(syncs, "/names/", "/app>")), (written, synced))


# ---- A full disk -----------------------------------------------------------------------------


class Disk:
    """A file system of memory at `path`, in a mount namespace of its own; `enter` is put before
    what is to see it."""

    def __init__(self, path):
        self.path = path
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.holder = subprocess.Popen(
            ["unshare", *own, "--mount", "sh", "-c", "echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.is_there = self.holder.stdout.readline() == b"ready\n"
        self.enter = ("nsenter", "--target", str(self.holder.pid), "--mount",
                      *(["--user", "--preserve-credentials"] if own else []))
        self.is_there = self.is_there and self.mount("size=64k") == 0

    def mount(self, options):
        """Anew, and empty."""
        subprocess.run([*self.enter, "umount", self.path], stderr=subprocess.DEVNULL, check=False)
        return output(*self.enter, "mount", "-t", "tmpfs", "-o", options, "none", self.path)[0]

    def enlarge(self):
        output(*self.enter, "mount", "-o", "remount,size=64m,nr_inodes=10000", self.path)

    def list(self, folder):
        return output(*self.enter, "find", os.path.join(self.path, folder), "-type",
                      "f")[1].decode().split()

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()


def full_disk():
    m = Machine()
    os.mkdir(m.state)
    disk = Disk(m.state)
    if not disk.is_there:
        disk.end()
        tap.skip("a full disk", "no file system can be mounted")
        return
    m.prefix = disk.enter
    with registry() as r:
        name = f"{r.address}/test/app:multi"
        statuses, bad = collections.Counter(), []
        sizes = [f"size={4 * pages}k" for pages in range(2, 40, DISK_STEP)]
        inodes = [f"size=1m,nr_inodes={n}" for n in range(4, 30, DISK_STEP)]
        for options in sizes + inodes:
            disk.mount(options)
            status, _, said = m.wherry("pull", "-q", name)
            statuses[options.partition("=")[0], status == 0] += 1
            if status and "No space left" not in said:
                bad.append((options, said))
            disk.enlarge()
            if m.wherry("system", "check", "-q")[0] or (status and m.json("images")):
                bad.append((options, "check", m.wherry("system", "check")))
            if m.wherry("pull", "-q", name)[0] or m.wherry("system", "check", "-q")[0] or \
                    len(m.json("images")) != 1 or disk.list("images/partial"):
                bad.append((options, "the next pull"))
        tap.ok("disks that are too small, and one that is not", len(statuses) >= 2 and
               statuses["size", False] > 1, statuses)
        tap.equal("a full disk at every step: said, nothing half-written, and then it goes on", bad,
                  [])
        disk.mount("size=1m")
        m.wherry("pull", "-q", f"{r.address}/test/app:big")
        tap.equal("a blob that does not fit is not kept to fill the disk",
                  [p for p in disk.list("images/partial")
                   if output(*disk.enter, "stat", "-c", "%s", p)[1] != b"0\n"], [])
        disk.mount("size=1m")
        m.env.update({"WHERRY_GC_HIGH": "1%", "WHERRY_GC_LOW": "0%", "WHERRY_GC_MIN_AGE": "0",
                      "XDG_CACHE_HOME": os.path.join(BOX, "elsewhere")})
        hello = f"{r.address}/test/app:hello"
        tap.equal("an image is run from that disk", m.wherry("run", hello)[0],
                  m.wherry("run", example("c"))[0])
        before = m.json("system", "df")["compileCache"]["count"]
        m.wherry("pull", "-q", name)
        tap.equal("above its mark images go, not compiled code on another disk",
                  ([i["name"] for i in m.json("images")],
                   m.json("system", "df")["compileCache"]["count"]), ([name], before))
        tap.ok("there was some", before > 0, before)
    disk.end()


# ---- Many, while all that is not needed is collected -----------------------------------------


class Collecting:
    """Removes what is not needed, again and again."""

    def __init__(self, m):
        self.machine = m
        self.statuses = collections.Counter()
        self.is_ending = threading.Event()
        self.thread = threading.Thread(target=self.go_on)

    def go_on(self):
        while not self.is_ending.is_set():
            self.statuses[self.machine.wherry("system", "prune", "-f")[0]] += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        self.thread.join()


def at_once():
    with registry() as r:
        m = Machine()
        with Collecting(m) as collecting:
            pulls = [m.start("pull", "-q", f"{r.address}/test/app:v0") for _ in range(MANY)]
            tap.equal(f"{MANY} pulls of one image while all unneeded is collected",
                      {p.wait() for p in pulls}, {0})
            blobs = [q.path for q in r.requests("GET", "/blobs/")]
            tap.equal("one complete GET of each blob", len(blobs), len(set(blobs)))
            pulls = [m.start("pull", "-q", f"{r.address}/test/app:v{i}") for i in range(MANY)]
            tap.equal(f"{MANY} pulls of different images while all unneeded is collected",
                      {p.wait() for p in pulls}, {0})
            blobs = [q.path for q in r.requests("GET", "/blobs/")]
            tap.equal("one complete GET of each of theirs", len(blobs), len(set(blobs)))
        tap.ok("it was collected many times", collecting.statuses[0] > 5 and
               set(collecting.statuses) == {0}, collecting.statuses)
        tap.equal("all are there, and whole", (len(m.json("images")), is_well(m), m.files("partial")),
                  (MANY, True, []))


run(life, retaining, damage, killed_pulls, killed_collections, order, full_disk, at_once,
    needs=("strace",))

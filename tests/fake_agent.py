# SPDX-License-Identifier: Apache-2.0
"""A fake agent, for the commands that speak to one: it keeps objects in memory and runs nothing.
Tests say what becomes of its pods."""
import copy
import http.server
import json
import os
import re
import socketserver
import threading
import urllib.parse

KINDS = {"pods": "Pod", "configmaps": "ConfigMap", "secrets": "Secret",
         "persistentvolumeclaims": "PersistentVolumeClaim", "events": "Event"}
PATH = re.compile(r"/api/v1(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+)(?:/([a-z]+))?)?$")


class Failure(Exception):
    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code, self.status = code, {"kind": "Status", "status": "Failure", "message": message,
                                        "reason": reason, "code": code}


class FakeAgent:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Condition()  # of an RLock: put() is called with it held
        self.version = 0
        self.objects = {}  # (resource, namespace, name) to object
        self.changes = []  # (version, type, resource, object)
        self.logs = {}  # (pod, container) to bytes
        self.requests = []  # what was asked: "PATCH /api/..."
        self.runs = True  # pods that are made become ready at once
        self.keeps = False  # pods that are deleted stay, ending
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                agent.handle(self)

            do_GET = do_PATCH = do_DELETE = do_POST = handle_any

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

            def get_request(self):
                return super().get_request()[0], ("unix", 0)

        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)

    # ---- Objects ----

    def change(self, kind, resource, item):
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.changes.append((self.version, kind, resource, copy.deepcopy(item)))
        self.lock.notify_all()

    def put(self, resource, item):
        """Adds or replaces it."""
        with self.lock:
            meta = item["metadata"]
            key = (resource, meta.setdefault("namespace", "default"), meta["name"])
            old = self.objects.get(key)
            meta.setdefault("uid", f"uid-{self.version}")
            meta.setdefault("creationTimestamp", "2026-11-27T04:05:37Z")
            item.setdefault("kind", KINDS[resource])
            item.setdefault("apiVersion", "v1")
            self.objects[key] = item
            self.change("MODIFIED" if old else "ADDED", resource, item)

    def status(self, name, phase, state, ready=False, namespace="default",
               since="2020-01-01T00:00:00Z", **more):
        """The pod's phase, and the state of all its containers; since when it is (not) ready."""
        with self.lock:
            pod = self.objects["pods", namespace, name]
            pod["status"] = {
                "phase": phase,
                "conditions": [{"type": "Ready", "status": "True" if ready else "False",
                                "lastTransitionTime": since}],
                "containerStatuses": [{"name": c["name"], "ready": ready, "restartCount": 0,
                                       "state": state, **more} for c in pod["spec"]["containers"]]}
            self.change("MODIFIED", "pods", pod)

    def remove(self, resource, namespace, name):
        with self.lock:
            self.change("DELETED", resource, self.objects.pop((resource, namespace, name)))

    # ---- Requests ----

    def handle(self, h):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        self.requests.append(f"{h.command} {h.path}")
        try:
            self.route(h, url.path, query, body)
        except Failure as f:
            self.answer(h, f.status, f.code)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def answer(self, h, value, code=200):
        data = json.dumps(value).encode()
        h.send_response(code)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def route(self, h, path, query, body):
        if path == "/configz":
            return self.answer(h, {"log": {"level": "info"}})
        namespace, resource, name, verb = PATH.match(path).groups()
        if resource == "top" or verb == "top":
            return self.top(h, namespace, name)
        if not name:
            return self.lists(h, namespace, resource, query)
        key = (resource, namespace, name)
        if h.command == "PATCH":
            return self.apply(h, key, json.loads(body))
        with self.lock:
            item = self.objects.get(key)
            if not item:
                raise Failure(404, "NotFound", f'{resource} "{name}" not found')
        if verb == "log":
            return self.log(h, name, query)
        if h.command == "DELETE":
            return self.delete(h, key, item)
        return self.answer(h, item)

    def apply(self, h, key, item):
        with self.lock:
            old = self.objects.get(key)
            if old and all(old.get(k) == item.get(k) for k in ("spec", "data", "type")):
                return self.answer(h, old)
            self.put(key[0], item)
        if key[0] == "pods" and self.runs:
            self.status(key[2], "Running", {"running": {}}, True, key[1])
        return self.answer(h, item, 200 if old else 201)

    def delete(self, h, key, item):
        with self.lock:
            item["metadata"]["deletionTimestamp"] = "2026-11-27T04:06:00Z"
            self.change("MODIFIED", key[0], item)
        self.answer(h, item)
        if not (key[0] == "pods" and self.keeps):
            self.remove(*key)

    def chosen(self, item, namespace, query):
        if namespace and item["metadata"]["namespace"] != namespace:
            return False
        for term in filter(None, query.get("fieldSelector", "").split(",")):
            path, value = term.split("=")
            at = item
            for step in path.split("."):
                at = at.get(step, {})
            if at != value:
                return False
        for term in filter(None, query.get("labelSelector", "").split(",")):
            key, value = term.split("=")
            if item["metadata"].get("labels", {}).get(key) != value:
                return False
        return True

    def lists(self, h, namespace, resource, query):
        with self.lock:
            items = [copy.deepcopy(v) for k, v in sorted(self.objects.items())
                     if k[0] == resource and self.chosen(v, namespace, query)]
            version = self.version
        if "watch" in query:
            return self.watch(h, namespace, resource, query, items, version)
        return self.answer(h, {"kind": KINDS[resource] + "List", "apiVersion": "v1",
                               "metadata": {"resourceVersion": str(version)}, "items": items})

    def begin_chunks(self, h):
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()

    def chunk(self, h, data):
        h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        h.wfile.flush()

    def watch(self, h, namespace, resource, query, items, version):
        self.begin_chunks(h)
        seen = int(query.get("resourceVersion", version))
        for item in [] if "resourceVersion" in query else items:
            self.chunk(h, json.dumps({"type": "ADDED", "object": item}).encode() + b"\n")
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.version > seen)
                new = [c for c in self.changes if c[0] > seen]
                seen = self.version
            for _, kind, of, item in new:
                if of == resource and self.chosen(item, namespace, query):
                    self.chunk(h, json.dumps({"type": kind, "object": item}).encode() + b"\n")

    def log(self, h, name, query):
        self.begin_chunks(h)
        sent = 0
        while True:
            with self.lock:
                data = self.logs.get((name, query.get("container")), b"")
            if "tailLines" in query and not sent:
                data = b"".join(data.splitlines(True)[-int(query["tailLines"]):])
            if data[sent:]:
                self.chunk(h, data[sent:])
                sent = len(data)
            if "follow" not in query:
                break
            with self.lock:
                if self.lock.wait_for(lambda: ("pods", "default", name) not in self.objects, 0.05):
                    break
        self.chunk(h, b"")

    def top(self, h, namespace, name):
        one = {"metadata": {"name": name or "web", "namespace": namespace or "default"},
               "containers": [{"name": "app", "usage": {"cpu": "12m", "memory": "34Mi"}},
                              {"name": "side", "usage": {"cpu": "1m", "memory": "1Mi"}}]}
        self.answer(h, one if name else {"kind": "PodMetricsList", "items": [one]})

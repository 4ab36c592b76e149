# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts with WebAssembly programs, written by the book (image-spec 1.1)."""
import gzip
import hashlib
import json
import os

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
# Of a container's layers, without their compression, and of its config.
TYPES = {"oci": ("application/vnd.oci.image.layer.v1.tar",
                 "application/vnd.oci.image.config.v1+json"),
         "docker": ("application/vnd.docker.image.rootfs.diff.tar",
                    "application/vnd.docker.container.image.v1+json")}


class Layout:
    """A new layout in the folder `path`."""

    def __init__(self, path):
        self.dir = path
        self.manifests = []
        os.makedirs(os.path.join(self.dir, "blobs/sha256"))
        self.write("oci-layout", {"imageLayoutVersion": "1.0.0"})

    def write(self, name, document):
        with open(os.path.join(self.dir, name + ".new"), "wb") as f:
            f.write(json.dumps(document).encode())
        os.rename(os.path.join(self.dir, name + ".new"), os.path.join(self.dir, name))

    def blob_path(self, digest):
        return os.path.join(self.dir, "blobs/sha256", digest.partition(":")[2])

    def read(self, digest):
        """The document with this digest."""
        with open(self.blob_path(digest), "rb") as f:
            return json.load(f)

    def blob(self, media_type, data, **more):
        """Its descriptor."""
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with open(self.blob_path(digest), "wb") as f:
            f.write(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def artifact(self, path, layer_type="application/wasm", **more):
        """The CNCF wasm artifact (tag-runtime, wasm OCI artifact layout)."""
        with open(path, "rb") as f:
            layer = self.blob(layer_type, f.read())
        config = self.blob("application/vnd.wasm.config.v0+json", {
            "created": "2026-11-26T00:00:00Z", "architecture": "wasm", "os": "wasip2",
            "layerDigests": [layer["digest"]]})
        return self.blob(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                    "layers": [layer]}, **more)

    def container(self, layers, config=None, *, kind="oci", architecture="wasm", os_name="wasi",
                  diff_ids=None, annotations=None, **more):
        """The image of a container with these layers: [(what the media type ends in, bytes)], or
        tar files alone, which are compressed by gzip here."""
        layers = [("+gzip", gzip.compress(x, mtime=0)) if isinstance(x, bytes) else x
                  for x in layers]
        base, config_type = TYPES[kind]
        content = [{"+gzip": gzip.decompress, ".gzip": gzip.decompress}.get(end, bytes)(data)
                   for end, data in layers] if diff_ids is None else []
        ids = diff_ids or ["sha256:" + hashlib.sha256(data).hexdigest() for data in content]
        config = self.blob(config_type, {
            "architecture": architecture, "os": os_name,
            "config": {"Entrypoint": ["/app.wasm"]} if config is None else config,
            "rootfs": {"type": "layers", "diff_ids": ids}})
        return self.blob(MANIFEST, {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [self.blob(base + end, data) for end, data in layers],
            **({"annotations": annotations} if annotations else {})}, **more)

    def tag(self, tag, descriptor):
        name = "org.opencontainers.image.ref.name"
        kept = [m for m in self.manifests if m["annotations"][name] != tag]
        self.manifests = [*kept, {**descriptor, "annotations": {name: tag}}]
        self.write("index.json", {"schemaVersion": 2, "mediaType": INDEX,
                                  "manifests": self.manifests})

    def name(self, tag):
        return f"oci:{self.dir}:{tag}"

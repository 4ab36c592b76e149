# SPDX-License-Identifier: Apache-2.0
"""What `docker save` of docker 20.10 writes, made without docker (which cannot be had everywhere),
from the configuration and the layers of an image that another tool made. After moby v20.10,
image/tarexport/save.go and pkg/archive: a folder for each layer by its ID of docker 1.x, with
VERSION, json and layer.tar, which is a symbolic link when that layer is in the archive already;
then HEX.json, manifest.json and repositories; all of it in the order of names."""
import hashlib
import io
import json
import tarfile


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def encode(document):
    return json.dumps(document, separators=(",", ":")).encode()


def legacy_ids(config):
    """The IDs of the layers, each of which depends on those below it (image/v1, CreateID)."""
    chain, parent, ids = "", "", []
    diff_ids = config["rootfs"]["diff_ids"]
    for i, diff_id in enumerate(diff_ids):
        chain = "sha256:" + sha256(f"{chain} {diff_id}".encode()) if chain else diff_id
        image = {"created": "1970-01-01T00:00:00Z"} if i + 1 < len(diff_ids) else {
            k: v for k, v in config.items() if k not in ("rootfs", "history")}
        parent = sha256(encode({**image, "layer_id": chain, **(
            {"parent": "sha256:" + parent} if parent else {})}))
        ids.append(parent)
    return ids


def entries(images):
    """{name: bytes, or the target of a symbolic link} of [(config, {diff_id: layer}, [name])]"""
    found, written, manifest, repositories = {}, {}, [], {}
    for text, layers, tags in images:
        config = json.loads(text)
        ids = legacy_ids(config)
        for i, (own, diff_id) in enumerate(zip(ids, config["rootfs"]["diff_ids"])):
            if f"{own}/layer.tar" in found:
                continue
            found[f"{own}/VERSION"] = b"1.0"
            found[f"{own}/json"] = encode({"id": own, **({"parent": ids[i - 1]} if i else {}),
                                           "created": "1970-01-01T00:00:00Z", "os": "linux"})
            found[f"{own}/layer.tar"] = f"../{written[diff_id]}/layer.tar" \
                if diff_id in written else layers[diff_id]
            written.setdefault(diff_id, own)
        found[sha256(text) + ".json"] = text
        manifest.append({"Config": sha256(text) + ".json", "RepoTags": tags or None,
                         "Layers": [f"{own}/layer.tar" for own in ids]})
        for tag in tags:
            name, _, version = tag.rpartition(":")
            repositories.setdefault(name, {})[version] = ids[-1]
    found["manifest.json"] = encode(manifest) + b"\n"
    if repositories:
        found["repositories"] = encode(repositories) + b"\n"
    return found


def write(path, found, *, link_type=tarfile.SYMTYPE, mode="w"):
    """The archive of entries(), with the folders."""
    folders = set()
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(found, key=lambda n: n.split("/")):
            folder = name.rpartition("/")[0]
            if folder and folder not in folders:
                folders.add(folder)
                info = tarfile.TarInfo(folder)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            info = tarfile.TarInfo(name)
            if isinstance(found[name], str):
                info.type, info.mode = link_type, 0o777
                info.linkname = found[name].removeprefix(
                    "" if link_type == tarfile.SYMTYPE else "../")
                tar.addfile(info)
            else:
                info.size = len(found[name])
                tar.addfile(info, io.BytesIO(found[name]))
    return path


def read(path):
    """(config, {diff_id: layer}) of the only image in an archive of podman, buildah or skopeo."""
    with tarfile.open(path) as tar:
        image, = json.load(tar.extractfile("manifest.json"))
        layers = [tar.extractfile(name).read() for name in image["Layers"]]
        return (tar.extractfile(image["Config"]).read(),
                {"sha256:" + sha256(layer): layer for layer in layers})

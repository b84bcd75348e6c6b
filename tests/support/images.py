"""Images made for a test: layers, archives of both kinds, and a real registry for them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


Entry = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def tar(files: Mapping[str, bytes | str], *more: Entry) -> bytes:
    """Return a tar with ``files`` by name, a text value being the target of a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        for entry in more:
            info, data = entry if isinstance(entry, tuple) else (entry, b"")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def program(name: str, text: str) -> Entry:
    """Return an entry that is a script."""
    return member(name, tarfile.REGTYPE, mode=0o755), text.encode()


def member(name: str, kind: bytes, **fields: Any) -> tarfile.TarInfo:
    """Return one entry without data: a link, a device, a fifo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(layers: Iterable[bytes], **more: Any) -> bytes:
    """Return an image config over the uncompressed ``layers``."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["cat", "/said"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        **more,
    }
    return json.dumps(document).encode()


def docker_archive(
    layers: Mapping[str, bytes], name: str = "test:1", **more: Any
) -> dict[str, bytes]:
    """Return the files of ``docker save``: layers by their path in it, config and manifest."""
    document = config(layers.values(), **more)
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}]
    return {**layers, "config.json": document, "manifest.json": json.dumps(manifest).encode()}


class Blob(NamedTuple):
    """Bytes with what they are."""

    media_type: str
    data: bytes

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """Return the descriptor of these bytes."""
        place = {"mediaType": self.media_type, "digest": sha256(self.data), "size": len(self.data)}
        return {**place, **more}


def oci_manifest(document: bytes, *layers: Blob) -> Blob:
    """Return the manifest of a config and layers."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Blob(OCI_CONFIG, document).descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    return Blob(OCI_MANIFEST, json.dumps(manifest).encode())


def oci_layout(index: list[dict[str, Any]], *blobs: Blob) -> dict[str, bytes]:
    """Return the files of an OCI layout."""
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": index}).encode(),
        **{f"blobs/sha256/{sha256(b.data)[7:]}": b.data for b in blobs},
    }


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@contextlib.contextmanager
def registry(directory: Path, **settings: Any) -> Iterator[str]:
    """Run Debian's docker-registry with its storage in ``directory``; gives its ``host:port``."""
    directory.mkdir(exist_ok=True)
    whole = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": "127.0.0.1:0"},
        **settings,
    }
    (directory / "config.yml").write_text(json.dumps(whole))
    child = subprocess.Popen(
        ["docker-registry", "serve", str(directory / "config.yml")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert child.stderr
    try:
        for line in child.stderr:
            if "listening on " in (said := json.loads(line)["msg"]):
                threading.Thread(target=child.stderr.read, daemon=True).start()
                yield said.removeprefix("listening on ")
                return
        raise AssertionError("docker-registry did not start")
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


def passwords(path: Path) -> dict[str, Any]:
    """Return settings of a registry that only lets bob in, with the password ``secret``."""
    path.write_text("bob:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
    return {"auth": {"htpasswd": {"realm": "test", "path": str(path)}}}

"""Images between us and skopeo: archives and registries, both ways."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engine import RunningEngine
from support.engines import Start
from support.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    Blob,
    config,
    oci_layout,
    oci_manifest,
    registry,
    tar,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("skopeo"), reason="needs skopeo: apt install skopeo"),
]


def skopeo(*words: str) -> str:
    """Run skopeo without a policy of the machine and without TLS; return what it says."""
    command = ["skopeo", "--insecure-policy", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(place: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(skopeo("inspect", *_plain(place), place))
    return found


def _plain(place: str) -> tuple[str, ...]:
    return ("--tls-verify=false",) if place.startswith("docker://") else ()


@pytest.fixture
def image(engine: RunningEngine) -> Iterator[str]:
    """An image of two layers that the engine made."""
    engine.import_image(tar({"bin/": "", "one": b"1"}), "base:1", 'CMD ["a"]', "LABEL x=y")
    id_ = engine.create("base:1")
    engine.client.post(f"/commit?container={id_}&repo=peer/app&tag=1")
    engine.client.call("DELETE", f"/containers/{id_}")
    yield "peer/app:1"
    for name in ("peer/app:1", "base:1"):
        engine.client.call("DELETE", f"/images/{name}?force=1")


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_what_we_save_skopeo_reads(
    engine: RunningEngine, image: str, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "saved.tar").write_bytes(engine.save(image))
    found = inspected(f"{kind}:{tmp_path}/saved.tar")
    ours = engine.image(image)
    assert found["Labels"] == {"x": "y"}
    assert (found["Architecture"], found["Os"]) == (ours["Architecture"], "linux")
    assert found["Layers"] == ours["RootFS"]["Layers"]  # layers go out as the tars they are
    assert found["Created"].rstrip("Z")[:23] == ours["Created"].rstrip("Z")[:23]
    raw = json.loads(skopeo("inspect", "--config", "--raw", f"{kind}:{tmp_path}/saved.tar"))
    assert raw["rootfs"]["diff_ids"] == ours["RootFS"]["Layers"]


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_writes_we_load(
    engine: RunningEngine, image: str, tmp_path: Path, kind: str, compression: str
) -> None:
    (tmp_path / "saved.tar").write_bytes(engine.save(image))
    before = engine.image(image)
    target = f"{kind}:{tmp_path}/copied.tar:peer/copied:2"
    packed = ["--dest-compress-format", compression] if kind == "oci-archive" else []
    skopeo("copy", *packed, f"docker-archive:{tmp_path}/saved.tar", target)
    engine.load((tmp_path / "copied.tar").read_bytes())
    after = engine.image("peer/copied:2")
    assert (after["RootFS"], after["Config"]) == (before["RootFS"], before["Config"])
    # For a layout skopeo writes the config anew.
    assert (after["Id"] == before["Id"]) == (kind == "docker-archive")
    engine.client.call("DELETE", "/images/peer/copied:2")


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_registries_between_us(start_engine: Start, tmp_path: Path, form: str) -> None:
    engine = start_engine()
    with registry(tmp_path / "hub") as host:
        engine.import_image(tar({"one": b"1"}), f"{host}/ours:1", 'CMD ["a"]', "ENV A=1")
        digest = engine.push(f"{host}/ours:1")[-1]["aux"]["Digest"]
        found = inspected(f"docker://{host}/ours:1")
        assert (found["Digest"], found["Env"]) == (digest, ["A=1"])
        skopeo(
            *("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", form),
            *(f"docker://{host}/ours:1", f"docker://{host}/theirs:2"),
        )
        engine.pull(f"{host}/theirs:2")
        theirs = inspected(f"docker://{host}/theirs:2")
        assert engine.image(f"{host}/theirs:2")["RepoDigests"][-1].endswith(theirs["Digest"])
        layers = engine.image(f"{host}/ours:1")["RootFS"]["Layers"]
        assert engine.image(f"{host}/theirs:2")["RootFS"]["Layers"] == layers


def test_an_index_that_skopeo_copied(start_engine: Start, tmp_path: Path) -> None:
    """The whole of an index goes through; ours takes its own platform of it."""
    entries, blobs = [], []
    for architecture in ("amd64", "arm64"):
        plain = tar({architecture: b"x"})
        document = config([plain], architecture=architecture)
        layer = Blob(OCI_LAYER, plain)
        manifest = oci_manifest(document, layer)
        blobs += [manifest, layer, Blob(OCI_CONFIG, document)]
        platform = {"os": "linux", "architecture": architecture}
        entries.append(manifest.descriptor(platform=platform))
    index = Blob(OCI_INDEX, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    for path, data in oci_layout([index.descriptor()], index, *blobs).items():
        place = tmp_path / "layout" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    engine = start_engine()
    with registry(tmp_path / "hub") as host:
        skopeo(
            *("copy", "--all", "--dest-tls-verify=false"),
            *(f"oci:{tmp_path}/layout", f"docker://{host}/multi:1"),
        )
        engine.pull(f"{host}/multi:1")
        assert engine.image(f"{host}/multi:1")["Architecture"] == "amd64"
        digest = inspected(f"docker://{host}/multi:1")["Digest"]
        assert engine.image(f"{host}/multi:1")["RepoDigests"] == [f"{host}/multi@{digest}"]
